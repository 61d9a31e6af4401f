//! Regression tests about features that are not implemented: namespaces and inline authentication.
//! Requests that use them are refused on every kind of route, before they have an effect.

use strongroom_core::request::Verb;
use strongroom_types::ErrorKind;

use super::TestCore;
use crate::{auth_token, status, sys};

const VERBS: [Verb; 6] =
    [Verb::Read, Verb::Write, Verb::Delete, Verb::Patch, Verb::List, Verb::Help];

const ALL: &str =
    r#"capabilities = ["create", "read", "update", "patch", "delete", "list", "sudo"]"#;

/// Every path of the server's own, from the endpoint declarations, and one path of each other kind:
/// engines, logins, cubbyholes and unmounted paths. `plug` and `auth/door` are mounted.
fn all_routes() -> Vec<String> {
    let own = |folder: &'static str, groups: &[&'static [crate::endpoint::ApiEndpoint]]| {
        let endpoints = groups.iter().flat_map(|group| group.iter());
        let path = |endpoint: &crate::endpoint::ApiEndpoint| {
            let segments = endpoint.pattern.split('/');
            let plain =
                segments.map(|segment| if segment.starts_with('{') { "x" } else { segment });
            format!("{folder}{}", plain.collect::<Vec<_>>().join("/"))
        };
        endpoints.map(path).collect::<Vec<_>>()
    };
    let mut routes = own("sys/", sys::ENDPOINTS);
    routes.extend(own("auth/token/", auth_token::ENDPOINTS));
    routes.extend(status::STATUS_PATHS.iter().map(|path| format!("sys/{}", path.name)));
    let others = ["plug/a", "plug/admin/a", "auth/door/login/bob", "cubbyhole/a", "nowhere/a"];
    routes.extend(others.map(str::to_owned));
    assert!(routes.len() > 60, "{routes:?}");
    routes
}

async fn core_with_fake_mounts() -> TestCore {
    let bench = TestCore::new().await;
    bench.write("sys/mounts/plug", r#"{"type":"door-engine"}"#).await;
    bench.write("sys/auth/door", r#"{"type":"door"}"#).await;
    bench
}

/// The state that a request would change if it weren't refused.
async fn visible_state(bench: &TestCore) -> [String; 4] {
    let policies = bench.succeeds(Verb::List, "sys/policies/acl", "").await.json("keys").to_owned();
    let catalog = bench.read("sys/plugins/catalog").await.json("detailed").to_owned();
    let mounts = format!("{:?}", bench.read("sys/mounts").await.data);
    let methods = format!("{:?}", bench.read("sys/auth").await.data);
    [policies, catalog, mounts, methods]
}

/// Sends a root request to every route with every verb. Each must fail with the text `wanted`.
async fn assert_refused(bench: &TestCore, headers: &[(&str, &str)], wanted: &str) {
    for path in all_routes() {
        for verb in VERBS {
            let asked = bench.send_with(verb, &path, &bench.root, "{}", headers).await;
            let error = asked.expect_err(&path).to_string();
            assert!(error.contains(wanted), "{verb:?} {path} {headers:?}: {error}");
        }
    }
}

/// An accessor may only be used in the token's own namespace. There is only the root namespace, and
/// no route serves another, by header or by path.
#[tokio::test]
async fn cve_2026_40264_no_route_serves_another_namespace() {
    let bench = core_with_fake_mounts().await;
    let rules = format!(r#"path "sys/*" {{ {ALL} }} path "auth/*" {{ {ALL} }}"#);
    let ordinary = bench.token_with_policy(&rules, "").await;
    let before = visible_state(&bench).await;
    let made = bench.write("auth/token/create", r#"{"policies":["default"]}"#).await.auth;
    let accessor = made.text("accessor").unwrap();
    for namespace in ["team", "root/team/"] {
        assert_refused(&bench, &[("x-vault-namespace", namespace)], "namespace").await;
    }
    let named = format!(r#"{{"accessor":"{accessor}"}}"#);
    for endpoint in ["lookup-accessor", "renew-accessor", "revoke-accessor"] {
        let path = format!("auth/token/{endpoint}");
        let headers = [("x-vault-namespace", "team")];
        let asked = bench.send_with(Verb::Write, &path, &bench.root, &named, &headers).await;
        assert!(asked.is_err(), "{path}");
        let error = bench.fails(Verb::Write, &format!("team/{path}"), &named).await;
        assert_eq!(error.kind(), ErrorKind::NotFound, "{path}");
    }
    // A path with a namespace prefix is not below any mount, and rules for the plain path don't
    // grant it.
    for path in all_routes() {
        let path = format!("team/{path}");
        for verb in [Verb::Read, Verb::Write, Verb::Delete, Verb::List] {
            let error = bench.fails(verb, &path, "{}").await;
            assert_eq!(error.kind(), ErrorKind::NotFound, "{verb:?} {path}");
            let error = bench.fails_as(&ordinary, verb, &path, "{}").await;
            assert_eq!(error.kind(), ErrorKind::Denied, "{verb:?} {path}");
        }
    }
    for path in ["sys/namespaces", "sys/namespaces/team"] {
        for verb in [Verb::Read, Verb::Write, Verb::Delete, Verb::List] {
            let error = bench.fails(verb, path, "{}").await;
            assert_eq!(error.kind(), ErrorKind::NotFound, "{verb:?} {path}");
        }
    }
    let token = made.text("client_token").unwrap();
    bench.succeeds_as(&token, Verb::Read, "auth/token/lookup-self", "").await;
    assert!(bench.auth_method().seen_operations().is_empty(), "no engine was asked");
    assert_eq!(visible_state(&bench).await, before);
}

/// Only four spellings name the root namespace, and naming it grants nothing more.
#[tokio::test]
async fn cve_2026_55775_no_spelling_of_the_root_namespace_gives_more() {
    let bench = core_with_fake_mounts().await;
    let token = bench.token_with_policy(r#"path "plug/a" { capabilities = ["read"] }"#, "").await;
    let asked = |namespace: &str, path: &str| {
        let (bench, token, path) = (&bench, &token, path.to_owned());
        let namespace = namespace.to_owned();
        async move {
            let headers = [("x-vault-namespace", namespace.as_str())];
            bench.send_with(Verb::Read, &path, token, "", &headers).await
        }
    };
    for namespace in ["", "/", "root", "root/", " root "] {
        assert!(asked(namespace, "plug/a").await.is_ok(), "{namespace:?}");
        for path in ["plug/b", "sys/mounts", "sys/auth", "sys/policies/acl/default"] {
            let error = asked(namespace, path).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Denied, "{namespace:?} {path}");
        }
    }
    for namespace in [
        "Root",
        "ROOT",
        "/root",
        "root//",
        "//",
        "./root",
        "root/.",
        "root/..",
        "..",
        "../root",
        "root/root",
        "root%2f",
        "r\u{f6}\u{f6}t",
        "root\u{200b}",
        "root,team",
    ] {
        let error = asked(namespace, "plug/a").await.unwrap_err().to_string();
        assert!(error.contains("namespace"), "{namespace:?}: {error}");
    }
}

/// The plug-in catalog, mounts, policies and sealing are server-wide. Neither a namespace header
/// nor a mount whose path looks like a namespace reaches them.
#[tokio::test]
async fn cve_2026_115366_what_holds_for_the_whole_server_is_changed_without_a_namespace_only() {
    let bench = core_with_fake_mounts().await;
    bench.write("sys/mounts/team", r#"{"type":"kv"}"#).await;
    let before = visible_state(&bench).await;
    let registration = format!(r#"{{"sha256":"{}","command":"x","type":"kv"}}"#, "00".repeat(32));
    let policy = r#"{"policy":"path \"*\" { capabilities = [\"sudo\"] }"}"#;
    for (path, body) in [
        ("sys/plugins/catalog/secret/x", registration.as_str()),
        ("sys/mounts/x", r#"{"type":"kv"}"#),
        ("sys/mounts/plug/tune", r#"{"description":"changed"}"#),
        ("sys/auth/x", r#"{"type":"door"}"#),
        ("sys/policies/acl/x", policy),
        ("sys/policies/acl/default", policy),
        ("sys/rotate", r#"{"a":"b"}"#),
        ("sys/seal", r#"{"a":"b"}"#),
        ("sys/audit/x", r#"{"type":"file"}"#),
    ] {
        for namespace in ["team", "team/"] {
            let headers = [("x-vault-namespace", namespace)];
            let asked = bench.send_with(Verb::Write, path, &bench.root, body, &headers).await;
            assert!(asked.unwrap_err().to_string().contains("namespace"), "{path}");
        }
        // A mount's own keys may have any names.
        let below = format!("team/{path}");
        bench.write(&below, body).await;
        assert!(!bench.read(&below).await.data.is_empty(), "{below}");
    }
    assert_eq!(visible_state(&bench).await, before);
    assert_eq!(bench.read("sys/key-status").await.json("term"), "1", "nor was it sealed");
}

/// A request with inline authentication is refused: no login is performed, the request isn't
/// handled as if the headers were absent, and no engine sees them.
#[tokio::test]
async fn cve_2026_46358_inline_authentication_is_refused() {
    let bench = core_with_fake_mounts().await;
    let before = visible_state(&bench).await;
    let login = [
        ("x-vault-inline-auth-path", "auth/door/login/bob"),
        ("x-vault-inline-auth-operation", "update"),
        ("x-vault-inline-auth-parameter-password", "hunter2"),
    ];
    for headers in [&login[..1], &login[..]] {
        assert_refused(&bench, headers, "inline authentication").await;
        for token in ["", "invalid"] {
            let asked = bench.send_with(Verb::Read, "plug/a", token, "", headers).await;
            let error = asked.unwrap_err().to_string();
            assert!(error.contains("inline authentication"), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
    assert!(bench.auth_method().seen_operations().is_empty(), "no login was made");
    assert_eq!(visible_state(&bench).await, before);
    for name in ["X-Vault-Inline-Auth-Path", "x_vault_inline_auth_parameter_password"] {
        let body = format!(r#"{{"passthrough_request_headers":"{name}"}}"#);
        let error = bench.fails(Verb::Write, "sys/mounts/plug/tune", &body).await;
        assert!(error.to_string().contains("can't be let through"), "{error}");
    }
    // Unrelated headers are allowed, and so is one login header without the one that names a path.
    bench.write("sys/mounts/plug/tune", r#"{"passthrough_request_headers":"x-other"}"#).await;
    let headers = [("x-other", "kept"), login[2]];
    let asked = bench.send_with(Verb::Read, "plug/a", &bench.root, "", &headers).await;
    assert!(asked.is_ok(), "{asked:?}");
    let seen = bench.auth_method().last_request().headers;
    assert_eq!(seen.keys().collect::<Vec<_>>(), ["x-other"]);
}
