//! Policies are evaluated on the form of a path that the backend uses.

use strongroom_core::request::Verb;
use strongroom_types::ErrorKind;

use super::TestCore;

const ALL: &str = r#"capabilities = ["create", "read", "update", "delete", "list"]"#;

async fn is_denied(bench: &TestCore, token: &str, verb: Verb, path: &str) -> bool {
    match bench.send(verb, path, token, "{}").await {
        Ok(_) => false,
        Err(error) => error.kind() == ErrorKind::Denied,
    }
}

/// The engine `door-engine` doesn't declare whether its paths are case-sensitive, like hosted
/// plug-ins.
#[tokio::test]
async fn cve_2026_93335_a_denial_matches_whatever_the_case_if_the_plug_in_may_fold() {
    let bench = TestCore::new().await;
    bench.write("sys/mounts/plug", r#"{"type":"door-engine"}"#).await;
    bench.write("sys/mounts/kv", r#"{"type":"kv"}"#).await;
    let rules = |mount: &str| {
        format!(
            r#"path "{mount}/*" {{ {ALL} }}
               path "{mount}/roles/hidden" {{ capabilities = ["deny"] }}
               path "{mount}/Teams/*" {{ capabilities = ["deny"] }}
               path "{mount}/Teams/open" {{ {ALL} }}"#
        )
    };
    let token = bench.token_with_policy(&rules("plug"), "").await;
    for verb in [Verb::Read, Verb::Write, Verb::Delete, Verb::List] {
        for path in ["plug/roles/hidden", "plug/roles/Hidden", "plug/ROLES/HIDDEN", "plug/TEAMS/a"]
        {
            assert!(is_denied(&bench, &token, verb, path).await, "{verb:?} {path}");
        }
        for path in ["plug/roles/hidden2", "plug/Teams/open", "plug/other"] {
            assert!(!is_denied(&bench, &token, verb, path).await, "{verb:?} {path}");
        }
    }
    let shown = |path: &'static str, token: String| {
        let bench = &bench;
        async move {
            let body = format!(r#"{{"path":"{path}"}}"#);
            let shown =
                bench.succeeds_as(&token, Verb::Write, "sys/capabilities-self", &body).await;
            shown.json("capabilities").to_owned()
        }
    };
    assert_eq!(shown("plug/roles/HIDDEN", token.clone()).await, r#"["deny"]"#);
    // KV declares its paths case-sensitive.
    let token = bench.token_with_policy(&rules("kv"), "").await;
    assert!(is_denied(&bench, &token, Verb::Read, "kv/roles/hidden").await);
    assert!(!is_denied(&bench, &token, Verb::Read, "kv/roles/Hidden").await);
    assert!(shown("kv/roles/Hidden", token).await.contains("read"));
}

/// Changing the case doesn't evade a more specific rule, whatever it restricts and for every verb.
#[tokio::test]
async fn cve_2026_93335_a_narrower_rule_restricts_whatever_the_case_if_the_plug_in_may_fold() {
    let bench = TestCore::new().await;
    bench.write("sys/mounts/plug", r#"{"type":"door-engine"}"#).await;
    bench.write("sys/mounts/kv", r#"{"type":"kv"}"#).await;
    let rules = |mount: &str| {
        format!(
            r#"path "{mount}/*" {{ {ALL} }}
               path "{mount}/read" {{ capabilities = ["read"] }}
               path "{mount}/Teams/*" {{ capabilities = ["read"] }}
               path "{mount}/field" {{ {ALL} denied_parameters = {{ "f" = ["bad"] }} }}
               path "{mount}/wrap" {{ {ALL} min_wrapping_ttl = "1m" }}"#
        )
    };
    let is_denied = |mount: &str, verb, path: &str, body: &'static str, token: &str| {
        let (bench, path, token) = (&bench, format!("{mount}/{path}"), token.to_owned());
        async move {
            let answer = bench.send(verb, &path, &token, body).await;
            answer.is_err_and(|error| error.kind() == ErrorKind::Denied)
        }
    };
    let of_plug = bench.token_with_policy(&rules("plug"), "").await;
    let of_kv = bench.token_with_policy(&rules("kv"), "").await;
    for (verb, path, body) in [
        (Verb::Write, "READ", "{}"),
        (Verb::Delete, "Read", ""),
        (Verb::List, "READ", ""),
        (Verb::Write, "teams/a", "{}"),
        (Verb::List, "TEAMS", ""),
        (Verb::Write, "Field", r#"{"f":"bad"}"#),
        (Verb::Read, "WRAP", ""),
    ] {
        assert!(is_denied("plug", verb, path, body, &of_plug).await, "{verb:?} {path}");
        // KV declares its paths case-sensitive.
        assert!(!is_denied("kv", verb, path, body, &of_kv).await, "{verb:?} {path}");
    }
    for (verb, path, body) in [
        (Verb::Read, "READ", ""),
        (Verb::Read, "teams/a", ""),
        (Verb::Write, "FIELD", r#"{"f":"good"}"#),
        (Verb::Write, "reads", "{}"),
        (Verb::List, "FIELD", ""),
    ] {
        assert!(!is_denied("plug", verb, path, body, &of_plug).await, "{verb:?} {path}");
    }
    let asked = r#"{"paths":["plug/READ","plug/teams/a","plug/Field","kv/READ"]}"#;
    let shown = bench.succeeds_as(&of_plug, Verb::Write, "sys/capabilities-self", asked).await;
    assert_eq!(shown.json("plug/READ"), r#"["read"]"#);
    assert_eq!(shown.json("plug/teams/a"), r#"["read"]"#);
    assert!(shown.json("plug/Field").contains("update"));
    assert_eq!(shown.json("kv/READ"), r#"["deny"]"#);
    let sudo = r#"path "plug/*" { capabilities = ["read", "sudo"] }
        path "plug/admin/*" { capabilities = ["read"] }"#;
    let sudo = bench.token_with_policy(sudo, "").await;
    for path in ["admin/a", "ADMIN/a"] {
        assert!(is_denied("plug", Verb::Read, path, "", &sudo).await, "{path}");
    }
    assert!(!is_denied("plug", Verb::Read, "other", "", &sudo).await);
}

/// The server itself folds the case of policy names, and the engine `outside` that of its roles.
#[tokio::test]
async fn cve_2026_89322_a_narrower_rule_in_another_case_than_the_backend_uses_restricts() {
    let bench = TestCore::new().await;
    bench.write("sys/mounts/out", r#"{"type":"outside"}"#).await;
    bench.write("out/config", r#"{"password":"p"}"#).await;
    let rules = format!(
        r#"path "sys/policies/acl/*" {{ {ALL} }}
           path "sys/policies/acl/Admin" {{ capabilities = ["read"] }}
           path "out/folded/*" {{ {ALL} }}
           path "out/folded/Dev" {{ capabilities = ["read"] }}"#
    );
    let token = bench.token_with_policy(&rules, "").await;
    for path in ["sys/policies/acl/admin", "sys/policies/acl/ADMIN", "out/folded/dev"] {
        assert!(is_denied(&bench, &token, Verb::Write, path).await, "{path}");
        assert!(is_denied(&bench, &token, Verb::Delete, path).await, "{path}");
        assert!(!is_denied(&bench, &token, Verb::Read, path).await, "{path}");
    }
    assert!(!is_denied(&bench, &token, Verb::Delete, "sys/policies/acl/admins").await);
}

/// The case of the names is declared with the document; the path below it follows.
#[tokio::test]
async fn a_path_below_a_document_that_folds_case_is_restricted_in_every_case() {
    let bench = TestCore::new().await;
    bench.write("sys/mounts/out", r#"{"type":"outside"}"#).await;
    bench.write("out/folded/Bob@Example.com", r#"{"note":"n"}"#).await;
    let rules = format!(
        r#"path "out/folded/*" {{ {ALL} }}
           path "out/folded/bob@example.com/note" {{ capabilities = ["deny"] }}"#
    );
    let token = bench.token_with_policy(&rules, "").await;
    for name in ["bob@example.com", "Bob@Example.com", "BOB@EXAMPLE.COM"] {
        let path = format!("out/folded/{name}");
        assert!(!is_denied(&bench, &token, Verb::Read, &path).await, "{path}");
        assert!(is_denied(&bench, &token, Verb::Read, &format!("{path}/note")).await, "{path}");
    }
    let root = bench.root.clone();
    let read = bench.succeeds_as(&root, Verb::Read, "out/folded/BOB@example.com/note", "").await;
    assert_eq!(read.json("note"), "\"n\"");
}

#[tokio::test]
async fn cve_2026_93335_grants_stay_exact() {
    let bench = TestCore::new().await;
    bench.write("sys/mounts/plug", r#"{"type":"door-engine"}"#).await;
    let token = bench.token_with_policy(&format!(r#"path "plug/roles/dev" {{ {ALL} }}"#), "").await;
    assert!(!is_denied(&bench, &token, Verb::Read, "plug/roles/dev").await);
    assert!(is_denied(&bench, &token, Verb::Read, "plug/roles/DEV").await);
    assert!(is_denied(&bench, &token, Verb::Read, "PLUG/roles/dev").await);
}

#[tokio::test]
async fn cve_2026_93335_root_paths_need_sudo_whatever_the_case() {
    let bench = TestCore::new().await;
    bench.write("sys/mounts/plug", r#"{"type":"door-engine"}"#).await;
    let ordinary = bench.token_with_policy(&format!(r#"path "plug/*" {{ {ALL} }}"#), "").await;
    for path in ["plug/admin/echo", "plug/ADMIN/echo", "plug/Admin/x/y"] {
        for verb in [Verb::Read, Verb::Write, Verb::Delete, Verb::List] {
            assert!(is_denied(&bench, &ordinary, verb, path).await, "{verb:?} {path}");
            assert!(!is_denied(&bench, &bench.root, verb, path).await, "{verb:?} {path}");
        }
    }
    assert!(!is_denied(&bench, &ordinary, Verb::Read, "plug/administer").await);
}

/// The engine `outside` declares that it folds the case of role names.
#[tokio::test]
async fn cve_2026_89322_and_ghsa_fg5x_7whg_6c28_the_form_that_the_engine_uses_is_judged() {
    let bench = TestCore::new().await;
    bench.write("sys/mounts/out", r#"{"type":"outside"}"#).await;
    bench.write("out/config", r#"{"password":"p"}"#).await;
    bench.write("out/folded/Dev", r#"{"note":"one"}"#).await;
    assert_eq!(bench.read("out/folded/DEV").await.text("note"), "one");
    assert_eq!(bench.succeeds(Verb::List, "out/folded", "").await.json("keys"), r#"["dev"]"#);
    let all_but = |name: &str| {
        format!(
            r#"path "out/folded/*" {{ {ALL} }}
               path "out/folded/{name}" {{ capabilities = ["deny"] }}"#
        )
    };
    for denied in ["dev", "Dev"] {
        let token = bench.token_with_policy(&all_but(denied), "").await;
        for path in ["out/folded/dev", "out/folded/Dev", "out/folded/DEV"] {
            assert!(is_denied(&bench, &token, Verb::Read, path).await, "{denied} {path}");
            assert!(is_denied(&bench, &token, Verb::Write, path).await, "{denied} {path}");
        }
        assert!(!is_denied(&bench, &token, Verb::Read, "out/folded/dev2").await);
    }
    // A grant on the canonical form applies to every spelling.
    let token = bench.token_with_policy(&format!(r#"path "out/folded/dev" {{ {ALL} }}"#), "").await;
    assert!(!is_denied(&bench, &token, Verb::Read, "out/folded/DEV").await);
    assert!(is_denied(&bench, &token, Verb::Read, "out/folded/ops").await);
}

#[tokio::test]
async fn cve_2026_89322_a_denied_policy_cannot_be_assigned_or_changed_by_another_spelling() {
    let bench = TestCore::new().await;
    let rules = format!(
        r#"path "sys/policies/acl/*" {{ {ALL} }}
           path "sys/policy/*" {{ {ALL} }}
           path "sys/policies/acl/Admin" {{ capabilities = ["deny"] }}
           path "sys/policy/admin" {{ capabilities = ["deny"] }}
           path "auth/token/create" {{
             capabilities = ["create", "update", "sudo"]
             denied_parameters = {{ "policies" = ["Admin"] }}
           }}"#
    );
    let token = bench.token_with_policy(&rules, "").await;
    for name in ["admin", "ADMIN", "Admin", "admin ", " aDmin"] {
        for folder in ["sys/policies/acl", "sys/policy"] {
            let path = format!("{folder}/{name}");
            assert!(is_denied(&bench, &token, Verb::Write, &path).await, "{path:?}");
            assert!(is_denied(&bench, &token, Verb::Read, &path).await, "{path:?}");
        }
        for body in
            [format!(r#"{{"policies":["{name}"]}}"#), format!(r#"{{"policies":"x,{name}"}}"#)]
        {
            let error = bench.fails_as(&token, Verb::Write, "auth/token/create", &body).await;
            assert_eq!(error.kind(), ErrorKind::Denied, "{body}");
        }
    }
}
