//! Regression tests for published advisories about similar servers that fit in no other test file.

use std::sync::Arc;

use strongroom_core::request::{CoreResponse, Verb};
use strongroom_types::ErrorKind;

use super::TestCore;
use super::blocking_storage::BlockingStorage;

const ALL: &str =
    r#"path "*" { capabilities = ["create", "read", "update", "patch", "delete", "list"] }"#;

/// The wrapping token in a response, and the response's warnings.
fn wrapping_token(answer: CoreResponse) -> (String, Vec<String>) {
    let CoreResponse::Envelope(envelope) = answer else { panic!("not wrapped: {answer:?}") };
    let info = envelope.wrap_info.expect("the answer is wrapped");
    (info.token.expose_secret().clone(), envelope.warnings)
}

/// Only the server itself can send engines renew, revoke and periodic operations. No verb, field or
/// header of a request leads to one.
#[tokio::test]
async fn ghsa_rh46_vc3j_w2w3_internal_operations_cannot_be_asked_for() {
    let bench = TestCore::new().await;
    bench.write("sys/mounts/plug", r#"{"type":"door-engine"}"#).await;
    let token = bench.token_with_policy(ALL, "").await;
    let headers = [
        ("x-http-method-override", "REVOKE"),
        ("x-vault-operation", "rollback"),
        ("x-vault-request", "true"),
    ];
    for verb in [Verb::Read, Verb::Write, Verb::Delete, Verb::Patch, Verb::List, Verb::Help] {
        for operation in ["renew", "revoke", "rollback", "alias-lookahead", "resolve-role"] {
            for path in ["plug/a", "plug/renew", "plug/revoke/a", "plug/rollback"] {
                let body = format!(
                    r#"{{"operation":"{operation}","op":"{operation}","_method":"{operation}","lease":{{}}}}"#
                );
                drop(bench.send_with(verb, path, &token, &body, &headers).await);
            }
        }
    }
    let asked = bench.auth_method().seen_operations();
    assert!(asked.len() > 50, "the engine was asked {} times", asked.len());
    let internal =
        asked.iter().filter(|operation| matches!(operation.as_str(), "renew" | "revoke"));
    assert_eq!(internal.count(), 0);
    assert_eq!(bench.auth_method().revoke_count(), 0);
    // Rollback would arrive as the periodic call.
    assert_eq!(bench.auth_method().periodic_calls(), 0);
    bench.advance_secs(bench.settings.periodic_interval.as_secs()).await;
    assert!(bench.auth_method().periodic_calls() > 0, "the server itself calls it");
}

/// Every endpoint that takes a lease, derived from the endpoint declarations so that none is
/// missed.
fn lease_routes() -> Vec<(Verb, String)> {
    let mut routes = Vec::new();
    for endpoint in crate::sys::lease_endpoints() {
        let path = format!("sys/{}", endpoint.pattern);
        let verbs = [
            (Verb::Read, endpoint.handlers.read.is_some()),
            (Verb::Write, endpoint.handlers.write.is_some()),
            (Verb::Delete, endpoint.handlers.delete.is_some()),
            (Verb::List, endpoint.handlers.list.is_some()),
        ];
        routes.extend(verbs.iter().filter(|(_, has)| *has).map(|(verb, _)| (*verb, path.clone())));
    }
    routes
}

/// Namespaces are not supported: a request for one reaches no lease on any route, and every route
/// checks the caller's policies.
#[tokio::test]
async fn cve_2026_45808_and_cve_2026_55774_every_lease_route_checks_namespace_and_policy() {
    let bench = TestCore::new().await.with_credential_engine().await;
    let lease = bench.read("out/creds/dev").await.lease_id;
    let routes = lease_routes();
    for known in ["leases/renew", "renew", "leases/revoke", "revoke", "leases/lookup"] {
        let path = format!("sys/{known}");
        assert!(routes.iter().any(|(_, route)| *route == path), "{known} is no route any more");
    }
    assert!(routes.len() >= 14, "{routes:?}");
    let rule = r#"path "other" { capabilities = ["read"] }"#;
    let nothing = bench.token_with_policy(rule, r#","no_default_policy":true"#).await;
    let body = format!(r#"{{"lease_id":"{lease}","sync":true,"type":"irrevocable"}}"#);
    for (verb, pattern) in &routes {
        let path = pattern.replace("{url_lease_id..}", &lease).replace("{prefix..}", "out/creds");
        assert!(!path.contains('{'), "{path}: say what stands here");
        for namespace in ["team", "team/", "root/team", "../team", "ROOT"] {
            let headers = [("x-vault-namespace", namespace)];
            let asked = bench.send_with(*verb, &path, &bench.root, &body, &headers).await;
            let error = asked.expect_err(&path);
            assert!(error.to_string().contains("namespace"), "{verb:?} {path}: {error}");
        }
        let error = bench.fails_as(&nothing, *verb, &path, &body).await;
        assert_eq!(error.kind(), ErrorKind::Denied, "{verb:?} {path}");
        let error = bench.fails_as("", *verb, &path, &body).await;
        assert_eq!(error.kind(), ErrorKind::Denied, "{verb:?} {path}");
    }
    assert_eq!(bench.outside.live_credentials(), 1, "no route touched it");
    let headers = [("x-vault-namespace", "root")];
    let asked =
        bench.send_with(Verb::Write, "sys/leases/lookup", &bench.root, &body, &headers).await;
    assert!(asked.is_ok(), "{asked:?}");
}

/// Expiration is blocked: no commit of the task that revokes expired leases gets through.
#[tokio::test]
async fn cve_2026_115362_expiry_is_checked_at_use_with_the_sweeper_stopped() {
    let held = BlockingStorage::default();
    let bench = TestCore::with_storage(Arc::new(held.clone())).await.with_credential_engine().await;
    let body = r#"{"policies":["default"],"ttl":"60s"}"#;
    let made = bench.write("auth/token/create", body).await;
    let token = made.auth.text("client_token").unwrap();
    let accessor = made.auth.text("accessor").unwrap();
    let batch = r#"{"policies":["default"],"ttl":"60s","type":"batch"}"#;
    let batch = bench.write("auth/token/create", batch).await.auth.text("client_token").unwrap();
    let lease = bench.read("out/creds/dev").await.lease_id;
    let headers = [("x-vault-wrap-ttl", "60s")];
    let wrap = || bench.send_with(Verb::Read, "sys/mounts", &bench.root, "", &headers);
    let (wrapped, _) = wrapping_token(wrap().await.unwrap());
    for token in [&token, &batch] {
        bench.succeeds_as(token, Verb::Read, "auth/token/lookup-self", "").await;
    }
    held.block_writes("sys/");
    bench.clock.advance(std::time::Duration::from_secs(61));
    bench.run_until_idle().await;
    let core = bench.core.unsealed().unwrap();
    let key = core.tokens.store.key_of(&token);
    assert!(
        core.tokens.store.find_by_key(&key).await.unwrap().is_some(),
        "the record is there still"
    );
    let id = strongroom_types::LeaseId::parse(&lease).unwrap();
    assert!(core.leases.store.get(&id).await.unwrap().is_some(), "the record is there still");
    for token in [&token, &batch, &wrapped] {
        for (verb, path) in [
            (Verb::Read, "auth/token/lookup-self"),
            (Verb::Write, "auth/token/renew-self"),
            (Verb::Read, "cubbyhole/response"),
        ] {
            let error = bench.fails_as(token, verb, path, "").await;
            assert_eq!(error.kind(), ErrorKind::Denied, "{verb:?} {path}");
        }
        let named = format!(r#"{{"token":"{token}"}}"#);
        for path in ["auth/token/lookup", "auth/token/renew", "sys/wrapping/unwrap"] {
            let asked = bench.send(Verb::Write, path, &bench.root, &named).await;
            assert!(asked.is_err(), "{path}: {asked:?}");
        }
    }
    let named = format!(r#"{{"accessor":"{accessor}"}}"#);
    assert!(
        bench.send(Verb::Write, "auth/token/lookup-accessor", &bench.root, &named).await.is_err()
    );
    let named = format!(r#"{{"lease_id":"{lease}"}}"#);
    for path in ["sys/leases/renew", "sys/renew"] {
        let error = bench.fails(Verb::Write, path, &named).await;
        assert_eq!(error.to_string(), "lease not found", "{path}");
    }
    held.unblock();
}

/// Wrapped responses always expire within the maximum TTL, whether requested by header, through
/// `sys/wrapping/wrap`, or by rewrapping one with a longer lifetime than is allowed now.
#[tokio::test]
async fn sr_2026_19_a_wrapped_answer_ends_with_the_longest_lifetime() {
    let bench = TestCore::new().await;
    let longest = bench.settings.lifetimes.max.as_secs();
    for (verb, path, body) in
        [(Verb::Read, "sys/mounts", ""), (Verb::Write, "sys/wrapping/wrap", r#"{"a":"b"}"#)]
    {
        for (asked, wanted, warned) in [
            ("9223372036s".to_owned(), longest, true),
            (format!("{}s", longest + 1), longest, true),
            (format!("{longest}s"), longest, false),
            ("60s".to_owned(), 60, false),
        ] {
            let headers = [("x-vault-wrap-ttl", asked.as_str())];
            let answer = bench.send_with(verb, path, &bench.root, body, &headers).await.unwrap();
            let (token, warnings) = wrapping_token(answer);
            assert_eq!(warnings.iter().any(|text| text.contains("capped")), warned, "{asked}");
            let named = format!(r#"{{"token":"{token}"}}"#);
            let shown = bench.write("sys/wrapping/lookup", &named).await;
            assert_eq!(shown.json("creation_ttl"), wanted.to_string(), "{path} {asked}");
            let again = bench.send(Verb::Write, "sys/wrapping/rewrap", &bench.root, &named).await;
            let (token, _) = wrapping_token(again.unwrap());
            let named = format!(r#"{{"token":"{token}"}}"#);
            let shown = bench.write("sys/wrapping/lookup", &named).await;
            assert_eq!(shown.json("creation_ttl"), wanted.to_string(), "{path} {asked}");
        }
    }
    // Policies are checked against the capped lifetime.
    let rule = |bound: u64| {
        format!(r#"path "sys/mounts" {{ capabilities = ["read"] min_wrapping_ttl = {bound} }}"#)
    };
    let headers = [("x-vault-wrap-ttl", "9223372036s")];
    for (bound, allowed) in [(longest, true), (longest + 1, false)] {
        let token = bench.token_with_policy(&rule(bound), "").await;
        let asked = bench.send_with(Verb::Read, "sys/mounts", &token, "", &headers).await;
        assert_eq!(asked.is_ok(), allowed, "{bound}");
    }
}
