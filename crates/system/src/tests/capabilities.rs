//! The capabilities that the server reports match what requests are allowed to do.

use strongroom_core::request::Verb;
use strongroom_types::ErrorKind;

use super::TestCore;

const ALL: &str = r#"capabilities = ["create", "read", "update", "delete", "list"]"#;

const VERBS: [(Verb, &str); 4] =
    [(Verb::Read, "read"), (Verb::List, "list"), (Verb::Write, "update"), (Verb::Delete, "delete")];

/// Whether policies permit the request, even if it fails later for another reason.
async fn is_permitted(bench: &TestCore, token: &str, verb: Verb, path: &str) -> bool {
    match bench.send(verb, path, token, "{}").await {
        Ok(_) => true,
        Err(error) => error.kind() != ErrorKind::Denied,
    }
}

/// Compares reported capabilities with actual requests. `root`: the path requires `sudo` as well.
async fn assert_capabilities_match(bench: &TestCore, token: &str, path: &str, root: bool) {
    let accessor = bench.write("auth/token/lookup", &format!(r#"{{"token":"{token}"}}"#)).await;
    let accessor = accessor.text("accessor");
    for (verb, needed) in VERBS {
        let list = verb == Verb::List && !path.ends_with('/');
        let asked = if list { format!("{path}/") } else { path.to_owned() };
        let own = format!(r#"{{"paths":["{asked}"]}}"#);
        let of_token = format!(r#"{{"paths":["{asked}"],"token":"{token}"}}"#);
        let of_accessor = format!(r#"{{"paths":["{asked}"],"accessor":"{accessor}"}}"#);
        let gets = is_permitted(bench, token, verb, path).await;
        for shown in [
            bench.succeeds_as(token, Verb::Write, "sys/capabilities-self", &own).await,
            bench.write("sys/capabilities", &of_token).await,
            bench.write("sys/capabilities-accessor", &of_accessor).await,
        ] {
            let shown = shown.json("capabilities").to_owned();
            let has = |name: &str| shown.contains(&format!("{name:?}"));
            assert_eq!(has(needed) && (!root || has("sudo")), gets, "{verb:?} {path:?} {shown}");
        }
    }
}

#[tokio::test]
async fn reported_capabilities_match_authorization() {
    let bench = TestCore::new().await.with_credential_engine().await;
    bench.write("sys/mounts/plug", r#"{"type":"door-engine"}"#).await;
    bench.write("sys/mounts/kv", r#"{"type":"kv"}"#).await;
    let rules = format!(
        r#"path "sys/policies/acl/*" {{ {ALL} }}
           path "sys/policies/acl/locked" {{ capabilities = ["read"] }}
           path "sys/policies/acl/Gone" {{ capabilities = ["deny"] }}
           path "sys/policy/*" {{ {ALL} }}
           path "sys/policy/Locked" {{ capabilities = ["read"] }}
           path "sys/mounts/*" {{ {ALL} }}
           path "sys/mounts/shut" {{ capabilities = ["deny"] }}
           path "sys/mounts/auth/open" {{ {ALL} }}
           path "sys/auth/shut" {{ capabilities = ["deny"] }}
           path "sys/auth/shut/tune" {{ capabilities = ["deny"] }}
           path "sys/auth/sudo" {{ capabilities = ["read", "update", "sudo"] }}
           path "sys/auth/plain" {{ {ALL} }}
           path "plug/*" {{ {ALL} }}
           path "plug/locked" {{ capabilities = ["read"] }}
           path "plug/admin/*" {{ {ALL} }}
           path "plug/admin/sudo" {{ capabilities = ["read", "sudo"] }}
           path "out/folded/*" {{ {ALL} }}
           path "out/folded/dev" {{ capabilities = ["read"] }}
           path "out/folded/Ops" {{ capabilities = ["deny"] }}
           path "kv/folder" {{ capabilities = ["read", "list"] }}
           path "kv/both" {{ {ALL} }}
           path "kv/both/" {{ capabilities = ["read"] }}
           path "kv/denied" {{ capabilities = ["deny"] }}
           path "kv/denied/" {{ {ALL} }}"#
    );
    let token = bench.token_with_policy(&rules, "").await;
    for path in [
        "sys/policies/acl/free",
        "sys/policies/acl/locked",
        "sys/policies/acl/LOCKED",
        "sys/policies/acl/gone",
        "sys/policies/acl/GONE",
        "sys/policy/locked",
        "sys/policy/LOCKED",
        "sys/mounts/new",
        "sys/mounts/shut",
        "sys/mounts/shut/",
        "sys/mounts/auth/open",
        "sys/mounts/auth/shut",
        "sys/mounts/auth/shut/",
        "sys/mounts/auth/shut/tune",
        "plug/free",
        "plug/locked",
        "plug/LOCKED",
        "PLUG/free",
        "out/folded/dev",
        "out/folded/DEV",
        "out/folded/ops",
        "out/folded/OPS",
        "out/folded/other",
        "kv/folder",
        "kv/folder/",
        "kv/both",
        "kv/both/",
        "kv/denied",
        "kv/denied/",
        "kv/nothing",
        "nowhere/a",
    ] {
        assert_capabilities_match(&bench, &token, path, false).await;
    }
    for path in [
        "sys/auth/sudo",
        "sys/auth/sudo/",
        "sys/auth/plain",
        "plug/admin/a",
        "plug/ADMIN/a",
        "plug/admin/sudo",
        "plug/admin/SUDO",
    ] {
        assert_capabilities_match(&bench, &token, path, true).await;
    }
    // Paths that are rejected before authorization are granted to nobody.
    for path in ["plug//free", "plug/./free", "plug/x/../free"] {
        let asked = format!(r#"{{"paths":["{path}"]}}"#);
        let shown = bench.succeeds_as(&token, Verb::Write, "sys/capabilities-self", &asked).await;
        assert_eq!(shown.json("capabilities"), r#"["deny"]"#, "{path}");
        assert!(bench.send(Verb::Read, path, &token, "").await.is_err(), "{path}");
    }
}

#[tokio::test]
async fn a_mount_is_listed_if_any_path_below_it_is_allowed() {
    let bench = TestCore::new().await;
    bench.write("sys/mounts/kv", r#"{"type":"kv"}"#).await;
    let rule = |(path, capability): &(&str, &str)| {
        format!("path \"{path}\" {{ capabilities = [\"{capability}\"] }}\n")
    };
    for rules in [
        &[("kv/*", "read")] as &[_],
        &[("kv/a/*", "read")],
        &[("kv/", "list")],
        &[("kv", "read")],
        &[("k*", "read"), ("kv/*", "deny")],
        &[("*", "read"), ("kv/*", "deny"), ("kv/a", "read")],
        &[("*", "read"), ("kv/*", "deny"), ("kv/a", "deny")],
        &[("+/*", "read"), ("kv/*", "deny")],
        &[("+/a", "read"), ("kv/*", "deny")],
        &[("kv/*", "read"), ("kv/+", "deny")],
        &[("kv/*", "deny"), ("kv/+", "read")],
    ] {
        let text: String = rules.iter().map(rule).collect();
        let token = bench.token_with_policy(&text, "").await;
        let mut gets = false;
        for path in ["kv/", "kv/a", "kv/a/b"] {
            gets |= is_permitted(&bench, &token, Verb::Read, path).await;
            gets |= is_permitted(&bench, &token, Verb::List, path).await;
        }
        let shown = bench.succeeds_as(&token, Verb::Read, "sys/internal/ui/mounts", "").await;
        assert_eq!(shown.json("secret").contains("\"kv/\""), gets, "{text}");
        let one = bench.send(Verb::Read, "sys/internal/ui/mounts/kv/a", &token, "").await;
        assert_eq!(one.is_ok(), gets, "{text}");
    }
}
