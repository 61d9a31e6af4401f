//! Logins and token renewals through auth methods.

use std::collections::BTreeMap;

use strongroom_core::Error;
use strongroom_core::request::{CoreRequest, Verb};
use strongroom_core::request_span::RequestSpan;
use strongroom_engine::{EngineAuth, EngineError, Operation, TokenTypeSetting};
use strongroom_types::entropy::SeededEntropy;
use strongroom_types::{Clock, ErrorKind, Fields, RawObject, RequestId, Secret, Ttl};

use super::TestCore;
use super::blocking_storage::BlockingStorage;
use super::test_core::{ReportedMessages, TestResponse};
use super::wrapping::{try_send_wrapped, wrap_info};

fn auth_for_bob() -> EngineAuth {
    EngineAuth {
        policies: vec!["b".to_owned(), " A".to_owned()],
        metadata: [("username".to_owned(), "bob".to_owned())].into(),
        internal: RawObject::from_json(r#"{"user":"bob"}"#).unwrap(),
        renewable: true,
        ttl: Ttl::from_secs(60),
        ..EngineAuth::new("bob")
    }
}

/// A server with an auth method that accepts every login.
async fn core_with_login() -> TestCore {
    let bench = TestCore::new().await;
    bench.write("sys/auth/gate", r#"{"type":"door"}"#).await;
    bench.auth_method().set_login(auth_for_bob());
    bench
}

async fn log_in(bench: &TestCore) -> TestResponse {
    bench.succeeds_as("", Verb::Write, "auth/gate/login/bob", r#"{"password":"p"}"#).await
}

fn client_token(got: &TestResponse) -> String {
    got.auth.text("client_token").unwrap()
}

async fn lookup_self(bench: &TestCore, token: &str) -> Result<TestResponse, Error> {
    let path = "auth/token/lookup-self";
    bench.send(Verb::Read, path, token, "").await.map(super::test_core::into_test_response)
}

async fn renew_self(bench: &TestCore, token: &str, body: &str) -> Result<TestResponse, Error> {
    let path = "auth/token/renew-self";
    bench.send(Verb::Write, path, token, body).await.map(super::test_core::into_test_response)
}

#[tokio::test]
async fn a_login_token_follows_the_auth_methods_response() {
    let bench = core_with_login().await;
    let got = log_in(&bench).await;
    let json = |name: &str| got.auth.get(name).unwrap().get().to_owned();
    assert_eq!(json("policies"), r#"["a","b","default"]"#);
    assert_eq!(json("token_policies"), r#"["a","b","default"]"#);
    assert_eq!(json("metadata"), r#"{"username":"bob"}"#);
    assert_eq!((json("lease_duration"), json("renewable")), ("60".into(), "true".into()));
    assert_eq!((json("orphan"), json("token_type")), ("true".into(), "\"service\"".into()));
    assert_eq!((json("entity_id"), json("num_uses")), ("\"\"".into(), "0".into()));
    let known = lookup_self(&bench, &client_token(&got)).await.unwrap();
    assert_eq!(known.text("path"), "auth/gate/login/bob");
    assert_eq!(known.text("display_name"), "gate-bob");
    assert_eq!((known.json("ttl"), known.json("orphan")), ("60", "true"));
    let leases = bench.succeeds(Verb::List, "sys/leases/lookup/auth/gate/login/bob", "").await;
    assert!(leases.json("keys").starts_with("[\"h"), "{}", leases.json("keys"));
    bench.advance_secs(61).await;
    assert!(lookup_self(&bench, &client_token(&got)).await.is_err());
}

#[tokio::test]
async fn lifetimes_are_bounded_by_method_and_mount() {
    let bench = core_with_login().await;
    bench.write("sys/auth/gate/tune", r#"{"default_lease_ttl":"20m","max_lease_ttl":"1h"}"#).await;
    let duration = async |auth: EngineAuth| {
        bench.auth_method().set_login(auth);
        let got = log_in(&bench).await;
        (got.auth.get("lease_duration").unwrap().get().to_owned(), got.warnings.len())
    };
    let secs = Ttl::from_secs;
    assert_eq!(duration(EngineAuth { ttl: Ttl::ZERO, ..auth_for_bob() }).await, ("1200".into(), 0));
    assert_eq!(
        duration(EngineAuth { ttl: secs(7200), ..auth_for_bob() }).await,
        ("3600".into(), 1)
    );
    assert_eq!(
        duration(EngineAuth { max_ttl: secs(30), ..auth_for_bob() }).await,
        ("30".into(), 1)
    );
    assert_eq!(
        duration(EngineAuth { explicit_max_ttl: secs(10), ..auth_for_bob() }).await,
        ("10".into(), 1)
    );
    assert_eq!(duration(EngineAuth { period: secs(90), ..auth_for_bob() }).await, ("90".into(), 0));
    assert_eq!(
        duration(EngineAuth { period: secs(7200), ..auth_for_bob() }).await,
        ("3600".into(), 1)
    );
}

#[tokio::test]
async fn cve_2025_5999_no_spelling_of_root_is_granted() {
    let bench = core_with_login().await;
    for name in ["root", "ROOT", " Root ", "rOOt\t"] {
        bench
            .auth_method()
            .set_login(EngineAuth { policies: vec![name.to_owned()], ..auth_for_bob() });
        let error = bench.fails_as("", Verb::Write, "auth/gate/login/bob", "").await;
        assert_eq!(error.to_string(), "auth methods cannot create root tokens", "{name:?}");
    }
    let accessors = bench.succeeds(Verb::List, "auth/token/accessors", "").await;
    assert_eq!(accessors.json("keys").matches(',').count(), 0, "the root token's alone");
}

#[tokio::test]
async fn logins_with_unenforceable_restrictions_are_refused() {
    let bench = core_with_login().await;
    for (auth, text) in [
        (
            EngineAuth { bound_cidrs: vec!["10.0.0.0/8".to_owned()], ..auth_for_bob() },
            "permission denied",
        ),
        (
            EngineAuth { bound_cidrs: vec!["everywhere".to_owned()], ..auth_for_bob() },
            "invalid bound CIDR",
        ),
        (
            EngineAuth { token_type: Some(TokenTypeSetting::Batch), num_uses: 2, ..auth_for_bob() },
            "\"num_uses\"",
        ),
        (
            EngineAuth { policies: vec![" Response-Wrapping".to_owned()], ..auth_for_bob() },
            "wrapping tokens",
        ),
        (
            EngineAuth { policies: vec!["a\u{200b}".to_owned()], ..auth_for_bob() },
            "an invalid policy",
        ),
    ] {
        bench.auth_method().set_login(auth);
        let error = bench.fails_as("", Verb::Write, "auth/gate/login/bob", "").await;
        assert!(error.to_string().contains(text), "{error}");
    }
    bench.write("sys/auth/gate/tune", r#"{"token_type":"batch"}"#).await;
    bench.auth_method().set_login(auth_for_bob());
    let got = log_in(&bench).await;
    assert_eq!(got.auth.text("token_type").unwrap(), "batch");
    assert_eq!(got.auth.text("accessor").unwrap(), "");
    assert_eq!(got.auth.get("renewable").unwrap().get(), "false");
    assert!(lookup_self(&bench, &client_token(&got)).await.is_ok());
    let wrapped =
        try_send_wrapped(&bench, "", Verb::Write, "auth/gate/login/bob", "").await.unwrap();
    assert_eq!(wrap_info(wrapped).wrapped_accessor, None, "it has none");
    let error = bench.fails_as(&client_token(&got), Verb::Write, "cubbyhole/x", r#"{"a":1}"#).await;
    assert!(error.to_string().contains("only supported by 'service' type tokens"), "{error}");
    bench.write("sys/auth/gate/tune", r#"{"token_type":"service"}"#).await;
    bench.auth_method().set_login(EngineAuth {
        token_type: Some(TokenTypeSetting::Batch),
        num_uses: 2,
        ..auth_for_bob()
    });
    let got = log_in(&bench).await;
    assert_eq!(got.auth.get("num_uses").unwrap().get(), "2", "the mount decides");
    assert!(lookup_self(&bench, &client_token(&got)).await.is_ok());
    assert!(lookup_self(&bench, &client_token(&got)).await.is_ok());
    assert!(lookup_self(&bench, &client_token(&got)).await.is_err());
}

#[tokio::test]
async fn a_login_needs_an_auth_method_and_an_unauthenticated_path() {
    let bench = core_with_login().await;
    let inside = bench.fails(Verb::Write, "auth/gate/inside/bob", "").await;
    assert_eq!(inside.kind(), ErrorKind::Internal);
    bench.write("sys/mounts/gate", r#"{"type":"door-engine"}"#).await;
    let engine = bench.fails_as("", Verb::Write, "gate/login/bob", "").await;
    assert!(engine.to_string().contains("where none is allowed"), "{engine}");
    let accessors = bench.succeeds(Verb::List, "auth/token/accessors", "").await;
    assert_eq!(accessors.json("keys").matches(',').count(), 0);
    // Errors on unauthenticated paths are plain messages, not lists.
    bench.auth_method().fail_with(EngineError::internal("it fails"));
    let error = bench.fails_as("", Verb::Write, "auth/gate/login/bob", "").await;
    assert_eq!(error.messages(), ["it fails"]);
    // The method's other paths require a token.
    for path in ["auth/gate/users", "auth/gate/login", "auth/gate/logins/x"] {
        let error = bench.fails_as("", Verb::Read, path, "").await;
        assert_eq!(error.kind(), ErrorKind::Denied, "{path}");
    }
}

#[tokio::test]
async fn a_login_ignores_the_requests_token() {
    let bench = core_with_login().await;
    let once = bench
        .token_with_policy(r#"path "a" { capabilities = ["read"] }"#, r#","num_uses":1"#)
        .await;
    for sent in ["no-such-token", &once] {
        bench.succeeds_as(sent, Verb::Write, "auth/gate/login/bob", "").await;
        let seen = bench.auth_method().last_request();
        assert_eq!((seen.caller.accessor.as_str(), seen.caller.token_hash), ("", None));
        assert!(seen.caller.unauthenticated);
    }
    let left = bench.succeeds_as(&once, Verb::Write, "auth/gate/login/bob", "").await;
    assert!(left.auth.contains("client_token"), "no use was counted");
}

#[tokio::test]
async fn cve_2026_115356_the_auth_method_decides_on_renewal() {
    let bench = core_with_login().await;
    let token = client_token(&log_in(&bench).await);
    bench.advance_secs(30).await;
    let got = renew_self(&bench, &token, r#"{"increment":"50s"}"#).await.unwrap();
    assert_eq!(got.auth.get("lease_duration").unwrap().get(), "50");
    let asked = bench.auth_method().last_request();
    let (auth, lease) = (asked.auth.unwrap(), asked.lease.unwrap());
    assert_eq!((asked.operation, asked.path.as_str()), (Operation::Renew, "login/bob"));
    assert_eq!(auth.internal.as_bytes(), br#"{"user":"bob"}"#);
    assert_eq!(
        (auth.policies.join(","), auth.display_name.as_str()),
        ("a,b,default".into(), "bob")
    );
    assert_eq!((lease.increment, asked.caller.token_hash), (Ttl::from_secs(50), None));
    assert_eq!(bench.clock.now().since(lease.issued).as_secs(), 30);
    // New terms, which are passed back to the method at the next renewal.
    bench
        .auth_method()
        .set_renewal(Ok(Some(EngineAuth { period: Ttl::from_secs(25), ..auth_for_bob() })));
    let got = renew_self(&bench, &token, r#"{"increment":"50s"}"#).await.unwrap();
    assert_eq!(got.auth.get("lease_duration").unwrap().get(), "25");
    assert_eq!(lookup_self(&bench, &token).await.unwrap().json("period"), "25");
    renew_self(&bench, &token, "").await.unwrap();
    assert_eq!(bench.auth_method().last_request().auth.unwrap().period, Ttl::from_secs(25));
    // The method makes the token non-renewable.
    bench.auth_method().set_renewal(Ok(Some(EngineAuth { renewable: false, ..auth_for_bob() })));
    renew_self(&bench, &token, "").await.unwrap();
    let error = renew_self(&bench, &token, "").await.unwrap_err();
    assert_eq!(error.to_string(), "lease is not renewable");
}

#[tokio::test]
async fn renewal_errors_match_vaults() {
    let bench = core_with_login().await;
    let token = client_token(&log_in(&bench).await);
    bench
        .auth_method()
        .set_renewal(Err(EngineError::internal("policies have changed, not renewing")));
    let error = renew_self(&bench, &token, "").await.unwrap_err();
    let text = "failed to renew entry: policies have changed, not renewing (collected)";
    assert_eq!((error.messages(), error.kind()), (vec![text.to_owned()], ErrorKind::Internal));
    bench.auth_method().set_renewal(Err(EngineError::user("you are gone")));
    let error = renew_self(&bench, &token, "").await.unwrap_err();
    assert_eq!((error.to_string().as_str(), error.kind()), ("you are gone", ErrorKind::Invalid));
    bench.auth_method().set_renewal(Ok(None));
    let path = "auth/token/renew-self";
    let answer = bench.send(Verb::Write, path, &token, "").await.unwrap();
    assert!(matches!(answer, strongroom_core::CoreResponse::Nothing), "{answer:?}");
    assert_eq!(lookup_self(&bench, &token).await.unwrap().json("ttl"), "60", "nothing changed");
}

#[tokio::test]
async fn nothing_extends_an_explicit_maximum() {
    let bench = core_with_login().await;
    let hour = Ttl::from_secs(3600);
    bench
        .auth_method()
        .set_login(EngineAuth { explicit_max_ttl: Ttl::from_secs(100), ..auth_for_bob() });
    let token = client_token(&log_in(&bench).await);
    bench.auth_method().set_renewal(Ok(Some(EngineAuth {
        ttl: hour,
        explicit_max_ttl: Ttl::ZERO,
        ..auth_for_bob()
    })));
    bench.advance_secs(50).await;
    let got = renew_self(&bench, &token, "").await.unwrap();
    assert_eq!(got.auth.get("lease_duration").unwrap().get(), "50");
    bench.auth_method().set_renewal(Ok(Some(EngineAuth { period: hour, ..auth_for_bob() })));
    let got = renew_self(&bench, &token, "").await.unwrap();
    assert_eq!(got.auth.get("lease_duration").unwrap().get(), "50");
}

#[tokio::test]
async fn cve_2026_42186_disabling_an_auth_method_revokes_its_tokens() {
    let bench = core_with_login().await;
    let first = client_token(&log_in(&bench).await);
    let accessor = lookup_self(&bench, &first).await.unwrap().text("accessor");
    bench.succeeds(Verb::Delete, "sys/auth/gate", "").await;
    assert!(lookup_self(&bench, &first).await.is_err());
    bench.run_until_idle().await;
    let accessors = bench.succeeds(Verb::List, "auth/token/accessors", "").await;
    assert!(!accessors.json("keys").contains(&accessor));
    let error = bench.fails_as("", Verb::Write, "auth/gate/login/bob", "").await;
    assert_eq!(error.kind(), ErrorKind::Denied);
}

#[tokio::test]
async fn cve_2026_42186_no_token_survives_a_login_that_races_with_the_end_of_its_method() {
    let bench = core_with_login().await;
    bench.auth_method().block_logins(true);
    let login = bench.send(Verb::Write, "auth/gate/login/bob", "", "");
    let others = async {
        bench.run_until_idle().await;
        let disable = bench.send(Verb::Delete, "sys/auth/gate", &bench.root, "");
        let meanwhile = async {
            bench.run_until_idle().await;
            let late = bench.fails_as("", Verb::Write, "auth/gate/login/eve", "").await;
            assert_eq!(late.to_string(), "the mount is being removed");
            bench.auth_method().unblock();
        };
        tokio::join!(disable, meanwhile).0.unwrap();
    };
    let (login, ()) = tokio::join!(login, others);
    let made = super::test_core::into_test_response(login.unwrap());
    assert!(lookup_self(&bench, &client_token(&made)).await.is_err());
}

#[tokio::test]
async fn disabling_an_auth_method_waits_for_dropped_logins() {
    let held = BlockingStorage::default();
    let bench = TestCore::with_storage(std::sync::Arc::new(held.clone())).await;
    bench.write("sys/auth/gate", r#"{"type":"door"}"#).await;
    bench.auth_method().set_login(auth_for_bob());
    let request = login_request("auth/gate/login/bob", &[], None);
    let admitted = strongroom_core::pipeline::admit::admit(request).unwrap();
    let core = bench.core.unsealed().unwrap();
    let mut permit = bench.admit("auth/gate/login/bob", "").await.unwrap();
    held.block_writes("token/id/");
    {
        let login = strongroom_core::pipeline::run_unsealed(core.clone(), &mut permit, admitted);
        tokio::select! {
            answer = login => panic!("it can't have ended: {answer:?}"),
            () = bench.run_until_idle() => {}
        }
    }
    let disable = bench.send(Verb::Delete, "sys/auth/gate", &bench.root, "");
    let meanwhile = async {
        bench.run_until_idle().await;
        held.unblock();
    };
    tokio::join!(disable, meanwhile).0.unwrap();
    bench.run_until_idle().await;
    let accessors = bench.succeeds(Verb::List, "auth/token/accessors", "").await;
    assert_eq!(accessors.json("keys").matches(',').count(), 0, "the root token's alone");
}

fn login_request(path: &str, headers: &[(&str, &str)], token: Option<&str>) -> CoreRequest {
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in headers {
        all.entry((*name).to_owned()).or_default().push((*value).to_owned());
    }
    CoreRequest {
        span: RequestSpan::new(RequestId::random(&SeededEntropy::new(1))),
        verb: Verb::Write,
        path: path.to_owned(),
        fields: Fields::new(),
        raw_body: None,
        token: token.map(Secret::from_text),
        headers: all.into(),
        connection: None,
    }
}

#[tokio::test]
async fn cve_2026_4525_the_servers_token_never_reaches_an_engine() {
    let bench = core_with_login().await;
    let body = r#"{"passthrough_request_headers":["AUTHORIZATION","X-Mine"]}"#;
    bench.write("sys/auth/gate/tune", body).await;
    let other = bench.token_with_policy(r#"path "a" { capabilities = ["read"] }"#, "").await;
    bench.write("auth/token/create", r#"{"id":"chosen"}"#).await;
    let basic = data_encoding::BASE64.encode(format!("u:{other}").as_bytes());
    let root = bench.root.clone();
    let paths = ["auth/gate/login/bob", "auth/gate/users"];
    for path in paths {
        for (name, value) in [
            ("authorization", format!("Bearer {root}")),
            ("authorization", format!("bearer {root}")),
            ("authorization", format!("BEARER\t{root}")),
            ("authorization", root.clone()),
            ("authorization", format!("Bearer {other}")),
            ("authorization", "Bearer chosen".to_owned()),
            ("authorization", format!("Basic {basic}")),
            ("x-mine", root.clone()),
            ("x-mine", format!("token={other}")),
        ] {
            bench.handle(login_request(path, &[(name, &value)], Some(&root))).await.unwrap();
            assert!(bench.auth_method().last_request().headers.is_empty(), "{name}: {value}");
        }
        let foreign = [("authorization", "Bearer eyJhbGciOi.J9.x"), ("x-mine", "v"), ("x-no", "v")];
        bench.handle(login_request(path, &foreign, Some(&root))).await.unwrap();
        let seen = bench.auth_method().last_request().headers;
        assert_eq!(seen.keys().collect::<Vec<_>>(), ["authorization", "x-mine"], "{path}");
    }
    for name in ["X-Vault-Token", "x_vault_token", "Connection", "Transfer-Encoding"] {
        let body = format!(r#"{{"passthrough_request_headers":"{name}"}}"#);
        let error = bench.fails(Verb::Write, "sys/auth/gate/tune", &body).await;
        assert!(error.to_string().ends_with("can't be let through"), "{error}");
    }
}

#[tokio::test]
async fn allowed_response_headers_are_passed_through() {
    let bench = core_with_login().await;
    bench.auth_method().set_response_header("X-Yes", "1");
    bench.auth_method().set_response_header("Set-Cookie", "2");
    let headers = async || match bench.send(Verb::Read, "auth/gate/x", &bench.root, "").await {
        Ok(strongroom_core::CoreResponse::Envelope(envelope)) => {
            envelope.headers.into_keys().collect::<Vec<_>>()
        }
        other => panic!("{other:?}"),
    };
    assert!(headers().await.is_empty());
    bench.write("sys/auth/gate/tune", r#"{"allowed_response_headers":"x-yes"}"#).await;
    assert_eq!(headers().await, ["X-Yes"]);
}

#[tokio::test]
async fn a_credential_without_an_owner_is_revoked() {
    let bench = core_with_login().await;
    bench.auth_method().issue_leases();
    let path = "auth/gate/login/bob";
    let refused = bench.send(Verb::Write, path, "", "{}").await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Internal);
    assert_eq!(bench.auth_method().revoke_count(), 1);
    // If that fails, the expiration manager retries.
    bench.auth_method().fail_with(EngineError::user("not now"));
    bench.send(Verb::Write, path, "", "{}").await.unwrap_err();
    let tried = bench.auth_method().revoke_count();
    assert!(tried >= 2);
    bench.auth_method().stop_failing();
    for _ in 0..2 {
        bench.advance_secs(60).await;
        assert_eq!(bench.auth_method().revoke_count(), tried + 1);
    }
}
