//! Policies are judged on the form of a path that its backend uses.

use strongroom_types::ErrorKind;

use super::Bench;
use crate::request::Verb;

const ALL: &str = r#"capabilities = ["create", "read", "update", "delete", "list"]"#;

async fn is_denied(bench: &Bench, token: &str, verb: Verb, path: &str) -> bool {
    match bench.send(verb, path, token, "{}").await {
        Ok(_) => false,
        Err(error) => error.kind() == ErrorKind::Denied,
    }
}

/// The engine `door-engine` says nothing of how it takes case, as hosted plug-ins do.
#[tokio::test]
async fn cve_2026_93335_a_denial_matches_whatever_the_case_if_the_plug_in_may_fold() {
    let bench = Bench::new().await;
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
    let token = bench.token(&rules("plug"), "").await;
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
            let shown = bench.ok_as(&token, Verb::Write, "sys/capabilities-self", &body).await;
            shown.json("capabilities").to_owned()
        }
    };
    assert_eq!(shown("plug/roles/HIDDEN", token.clone()).await, r#"["deny"]"#);
    // This server's own engine tells its paths apart, and says so.
    let token = bench.token(&rules("kv"), "").await;
    assert!(is_denied(&bench, &token, Verb::Read, "kv/roles/hidden").await);
    assert!(!is_denied(&bench, &token, Verb::Read, "kv/roles/Hidden").await);
    assert!(shown("kv/roles/Hidden", token).await.contains("read"));
}

#[tokio::test]
async fn cve_2026_93335_grants_stay_exact() {
    let bench = Bench::new().await;
    bench.write("sys/mounts/plug", r#"{"type":"door-engine"}"#).await;
    let token = bench.token(&format!(r#"path "plug/roles/dev" {{ {ALL} }}"#), "").await;
    assert!(!is_denied(&bench, &token, Verb::Read, "plug/roles/dev").await);
    assert!(is_denied(&bench, &token, Verb::Read, "plug/roles/DEV").await);
    assert!(is_denied(&bench, &token, Verb::Read, "PLUG/roles/dev").await);
}

#[tokio::test]
async fn cve_2026_93335_root_paths_need_sudo_whatever_the_case() {
    let bench = Bench::new().await;
    bench.write("sys/mounts/plug", r#"{"type":"door-engine"}"#).await;
    let ordinary = bench.token(&format!(r#"path "plug/*" {{ {ALL} }}"#), "").await;
    for path in ["plug/admin/echo", "plug/ADMIN/echo", "plug/Admin/x/y"] {
        for verb in [Verb::Read, Verb::Write, Verb::Delete, Verb::List] {
            assert!(is_denied(&bench, &ordinary, verb, path).await, "{verb:?} {path}");
            assert!(!is_denied(&bench, &bench.root, verb, path).await, "{verb:?} {path}");
        }
    }
    assert!(!is_denied(&bench, &ordinary, Verb::Read, "plug/administer").await);
}

/// The engine `outside` declares that the names of its roles are folded.
#[tokio::test]
async fn cve_2026_89322_policies_are_judged_on_the_form_that_the_engine_uses() {
    let bench = Bench::new().await;
    bench.write("sys/mounts/out", r#"{"type":"outside"}"#).await;
    bench.write("out/config", r#"{"password":"p"}"#).await;
    bench.write("out/folded/Dev", r#"{"note":"one"}"#).await;
    assert_eq!(bench.read("out/folded/DEV").await.text("note"), "one");
    assert_eq!(bench.ok(Verb::List, "out/folded", "").await.json("keys"), r#"["dev"]"#);
    let all_but = |name: &str| {
        format!(
            r#"path "out/folded/*" {{ {ALL} }}
               path "out/folded/{name}" {{ capabilities = ["deny"] }}"#
        )
    };
    for denied in ["dev", "Dev"] {
        let token = bench.token(&all_but(denied), "").await;
        for path in ["out/folded/dev", "out/folded/Dev", "out/folded/DEV"] {
            assert!(is_denied(&bench, &token, Verb::Read, path).await, "{denied} {path}");
            assert!(is_denied(&bench, &token, Verb::Write, path).await, "{denied} {path}");
        }
        assert!(!is_denied(&bench, &token, Verb::Read, "out/folded/dev2").await);
    }
    // A grant of the canonical form holds for every spelling.
    let token = bench.token(&format!(r#"path "out/folded/dev" {{ {ALL} }}"#), "").await;
    assert!(!is_denied(&bench, &token, Verb::Read, "out/folded/DEV").await);
    assert!(is_denied(&bench, &token, Verb::Read, "out/folded/ops").await);
}

#[tokio::test]
async fn cve_2026_89322_a_denied_policy_cannot_be_assigned_or_changed_by_another_spelling() {
    let bench = Bench::new().await;
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
    let token = bench.token(&rules, "").await;
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
