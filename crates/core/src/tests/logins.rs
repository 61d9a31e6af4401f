//! Auth methods: what their logins and renewals come to.

use std::collections::BTreeMap;

use strongroom_sdk::engine::{Auth, EngineError, Operation, TokenType};
use strongroom_types::{Clock, ErrorKind, Fields, RawObject, Secret, Ttl};

use super::Bench;
use super::bench::Got;
use super::held::Held;
use super::wrapping::{info, try_wrapped};
use crate::Error;
use crate::request::{Request, Verb};

fn bob() -> Auth {
    Auth {
        policies: vec!["b".to_owned(), " A".to_owned()],
        metadata: [("username".to_owned(), "bob".to_owned())].into(),
        internal: RawObject::from_json(r#"{"user":"bob"}"#).unwrap(),
        renewable: true,
        ttl: Ttl::from_secs(60),
        ..Auth::new("bob")
    }
}

/// A server with a door that lets everybody in.
async fn bench() -> Bench {
    let bench = Bench::new().await;
    bench.write("sys/auth/gate", r#"{"type":"door"}"#).await;
    bench.door().lets_in(bob());
    bench
}

async fn log_in(bench: &Bench) -> Got {
    bench.ok_as("", Verb::Write, "auth/gate/login/bob", r#"{"password":"p"}"#).await
}

fn token(got: &Got) -> String {
    got.auth.text("client_token").unwrap()
}

async fn lookup(bench: &Bench, token: &str) -> Result<Got, Error> {
    let path = "auth/token/lookup-self";
    bench.send(Verb::Read, path, token, "").await.map(super::bench::got)
}

async fn renew(bench: &Bench, token: &str, body: &str) -> Result<Got, Error> {
    let path = "auth/token/renew-self";
    bench.send(Verb::Write, path, token, body).await.map(super::bench::got)
}

#[tokio::test]
async fn a_login_becomes_a_token_on_the_terms_of_the_method() {
    let bench = bench().await;
    let got = log_in(&bench).await;
    let json = |name: &str| got.auth.get(name).unwrap().get().to_owned();
    assert_eq!(json("policies"), r#"["a","b","default"]"#);
    assert_eq!(json("token_policies"), r#"["a","b","default"]"#);
    assert_eq!(json("metadata"), r#"{"username":"bob"}"#);
    assert_eq!((json("lease_duration"), json("renewable")), ("60".into(), "true".into()));
    assert_eq!((json("orphan"), json("token_type")), ("true".into(), "\"service\"".into()));
    assert_eq!((json("entity_id"), json("num_uses")), ("\"\"".into(), "0".into()));
    let known = lookup(&bench, &token(&got)).await.unwrap();
    assert_eq!(known.text("path"), "auth/gate/login/bob");
    assert_eq!(known.text("display_name"), "gate-bob");
    assert_eq!((known.json("ttl"), known.json("orphan")), ("60", "true"));
    let leases = bench.ok(Verb::List, "sys/leases/lookup/auth/gate/login/bob", "").await;
    assert!(leases.json("keys").starts_with("[\"h"), "{}", leases.json("keys"));
    bench.pass(61).await;
    assert!(lookup(&bench, &token(&got)).await.is_err());
}

#[tokio::test]
async fn lifetimes_are_bounded_by_method_and_mount() {
    let bench = bench().await;
    bench.write("sys/auth/gate/tune", r#"{"default_lease_ttl":"20m","max_lease_ttl":"1h"}"#).await;
    let duration = async |auth: Auth| {
        bench.door().lets_in(auth);
        let got = log_in(&bench).await;
        (got.auth.get("lease_duration").unwrap().get().to_owned(), got.warnings.len())
    };
    let secs = Ttl::from_secs;
    assert_eq!(duration(Auth { ttl: Ttl::ZERO, ..bob() }).await, ("1200".into(), 0));
    assert_eq!(duration(Auth { ttl: secs(7200), ..bob() }).await, ("3600".into(), 1));
    assert_eq!(duration(Auth { max_ttl: secs(30), ..bob() }).await, ("30".into(), 1));
    assert_eq!(duration(Auth { explicit_max_ttl: secs(10), ..bob() }).await, ("10".into(), 1));
    assert_eq!(duration(Auth { period: secs(90), ..bob() }).await, ("90".into(), 0));
    assert_eq!(duration(Auth { period: secs(7200), ..bob() }).await, ("3600".into(), 1));
}

#[tokio::test]
async fn cve_2025_5999_no_spelling_of_root_is_granted() {
    let bench = bench().await;
    for name in ["root", "ROOT", " Root ", "rOOt\t"] {
        bench.door().lets_in(Auth { policies: vec![name.to_owned()], ..bob() });
        let error = bench.fails_as("", Verb::Write, "auth/gate/login/bob", "").await;
        assert_eq!(error.to_string(), "auth methods cannot create root tokens", "{name:?}");
    }
    let accessors = bench.ok(Verb::List, "auth/token/accessors", "").await;
    assert_eq!(accessors.json("keys").matches(',').count(), 0, "the root token's alone");
}

#[tokio::test]
async fn what_restricts_a_token_and_cannot_be_kept_makes_none() {
    let bench = bench().await;
    for (auth, text) in [
        (Auth { bound_cidrs: vec!["10.0.0.0/8".to_owned()], ..bob() }, "permission denied"),
        (Auth { bound_cidrs: vec!["everywhere".to_owned()], ..bob() }, "no network"),
        (Auth { token_type: TokenType::Batch, num_uses: 2, ..bob() }, "\"num_uses\""),
        (Auth { policies: vec![" Response-Wrapping".to_owned()], ..bob() }, "wrapping tokens"),
        (Auth { policies: vec!["a\u{200b}".to_owned()], ..bob() }, "an invalid policy"),
    ] {
        bench.door().lets_in(auth);
        let error = bench.fails_as("", Verb::Write, "auth/gate/login/bob", "").await;
        assert!(error.to_string().contains(text), "{error}");
    }
    bench.write("sys/auth/gate/tune", r#"{"token_type":"batch"}"#).await;
    bench.door().lets_in(bob());
    let got = log_in(&bench).await;
    assert_eq!(got.auth.text("token_type").unwrap(), "batch");
    assert_eq!(got.auth.text("accessor").unwrap(), "");
    assert_eq!(got.auth.get("renewable").unwrap().get(), "false");
    assert!(lookup(&bench, &token(&got)).await.is_ok());
    let wrapped = try_wrapped(&bench, "", Verb::Write, "auth/gate/login/bob", "").await.unwrap();
    assert_eq!(info(wrapped).wrapped_accessor, None, "it has none");
    let error = bench.fails_as(&token(&got), Verb::Write, "cubbyhole/x", r#"{"a":1}"#).await;
    assert!(error.to_string().contains("only supported by 'service' type tokens"), "{error}");
    bench.write("sys/auth/gate/tune", r#"{"token_type":"service"}"#).await;
    bench.door().lets_in(Auth { token_type: TokenType::Batch, num_uses: 2, ..bob() });
    let got = log_in(&bench).await;
    assert_eq!(got.auth.get("num_uses").unwrap().get(), "2", "the mount decides");
    assert!(lookup(&bench, &token(&got)).await.is_ok());
    assert!(lookup(&bench, &token(&got)).await.is_ok());
    assert!(lookup(&bench, &token(&got)).await.is_err());
}

#[tokio::test]
async fn a_login_comes_from_an_auth_method_on_an_open_path_only() {
    let bench = bench().await;
    let inside = bench.fails(Verb::Write, "auth/gate/inside/bob", "").await;
    assert_eq!(inside.kind(), ErrorKind::Internal);
    bench.write("sys/mounts/gate", r#"{"type":"door-engine"}"#).await;
    let engine = bench.fails_as("", Verb::Write, "gate/login/bob", "").await;
    assert!(engine.to_string().contains("where none can be"), "{engine}");
    let accessors = bench.ok(Verb::List, "auth/token/accessors", "").await;
    assert_eq!(accessors.json("keys").matches(',').count(), 0);
    // Errors of open paths are no lists.
    bench.door().fails(EngineError::internal("it fails"));
    let error = bench.fails_as("", Verb::Write, "auth/gate/login/bob", "").await;
    assert_eq!(error.texts(), ["it fails"]);
    // The rest of the method is closed.
    for path in ["auth/gate/users", "auth/gate/login", "auth/gate/logins/x"] {
        let error = bench.fails_as("", Verb::Read, path, "").await;
        assert_eq!(error.kind(), ErrorKind::Denied, "{path}");
    }
}

#[tokio::test]
async fn a_login_takes_no_notice_of_a_token() {
    let bench = bench().await;
    let once = bench.token(r#"path "a" { capabilities = ["read"] }"#, r#","num_uses":1"#).await;
    for sent in ["no-such-token", &once] {
        bench.ok_as(sent, Verb::Write, "auth/gate/login/bob", "").await;
        let seen = bench.door().seen();
        assert_eq!((seen.caller.accessor.as_str(), seen.caller.token_hash), ("", None));
        assert!(seen.caller.unauthenticated);
    }
    let left = bench.ok_as(&once, Verb::Write, "auth/gate/login/bob", "").await;
    assert!(left.auth.contains("client_token"), "no use was counted");
}

#[tokio::test]
async fn cve_2026_115356_a_renewal_is_the_methods_to_decide() {
    let bench = bench().await;
    let token = token(&log_in(&bench).await);
    bench.pass(30).await;
    let got = renew(&bench, &token, r#"{"increment":"50s"}"#).await.unwrap();
    assert_eq!(got.auth.get("lease_duration").unwrap().get(), "50");
    let asked = bench.door().seen();
    let (auth, lease) = (asked.auth.unwrap(), asked.lease.unwrap());
    assert_eq!((asked.operation, asked.path.as_str()), (Operation::Renew, "login/bob"));
    assert_eq!(auth.internal.as_bytes(), br#"{"user":"bob"}"#);
    assert_eq!(
        (auth.policies.join(","), auth.display_name.as_str()),
        ("a,b,default".into(), "bob")
    );
    assert_eq!((lease.increment, asked.caller.token_hash), (Ttl::from_secs(50), None));
    assert_eq!(bench.clock.now().since(lease.issued).as_secs(), 30);
    // Other terms, which are asked with the next time.
    bench.door().renews(Ok(Some(Auth { period: Ttl::from_secs(25), ..bob() })));
    let got = renew(&bench, &token, r#"{"increment":"50s"}"#).await.unwrap();
    assert_eq!(got.auth.get("lease_duration").unwrap().get(), "25");
    assert_eq!(lookup(&bench, &token).await.unwrap().json("period"), "25");
    renew(&bench, &token, "").await.unwrap();
    assert_eq!(bench.door().seen().auth.unwrap().period, Ttl::from_secs(25));
    // It doesn't want any more.
    bench.door().renews(Ok(Some(Auth { renewable: false, ..bob() })));
    renew(&bench, &token, "").await.unwrap();
    let error = renew(&bench, &token, "").await.unwrap_err();
    assert_eq!(error.to_string(), "lease is not renewable");
}

#[tokio::test]
async fn a_renewal_fails_in_the_words_clients_know() {
    let bench = bench().await;
    let token = token(&log_in(&bench).await);
    bench.door().renews(Err(EngineError::internal("policies have changed, not renewing")));
    let error = renew(&bench, &token, "").await.unwrap_err();
    let text =
        "1 error occurred:\n\t* failed to renew entry: policies have changed, not renewing\n\n";
    assert_eq!((error.texts(), error.kind()), (vec![text.to_owned()], ErrorKind::Internal));
    bench.door().renews(Err(EngineError::user("you are gone")));
    let error = renew(&bench, &token, "").await.unwrap_err();
    assert_eq!((error.to_string().as_str(), error.kind()), ("you are gone", ErrorKind::Invalid));
    bench.door().renews(Ok(None));
    let path = "auth/token/renew-self";
    let answer = bench.send(Verb::Write, path, &token, "").await.unwrap();
    assert!(matches!(answer, crate::Answer::Nothing), "{answer:?}");
    assert_eq!(lookup(&bench, &token).await.unwrap().json("ttl"), "60", "nothing changed");
}

#[tokio::test]
async fn nothing_extends_an_explicit_maximum() {
    let bench = bench().await;
    let hour = Ttl::from_secs(3600);
    bench.door().lets_in(Auth { explicit_max_ttl: Ttl::from_secs(100), ..bob() });
    let token = token(&log_in(&bench).await);
    bench.door().renews(Ok(Some(Auth { ttl: hour, explicit_max_ttl: Ttl::ZERO, ..bob() })));
    bench.pass(50).await;
    let got = renew(&bench, &token, "").await.unwrap();
    assert_eq!(got.auth.get("lease_duration").unwrap().get(), "50");
    bench.door().renews(Ok(Some(Auth { period: hour, ..bob() })));
    let got = renew(&bench, &token, "").await.unwrap();
    assert_eq!(got.auth.get("lease_duration").unwrap().get(), "50");
}

#[tokio::test]
async fn cve_2026_42186_a_method_that_goes_takes_its_tokens_along() {
    let bench = bench().await;
    let first = token(&log_in(&bench).await);
    let accessor = lookup(&bench, &first).await.unwrap().text("accessor");
    bench.ok(Verb::Delete, "sys/auth/gate", "").await;
    assert!(lookup(&bench, &first).await.is_err());
    bench.settle().await;
    let accessors = bench.ok(Verb::List, "auth/token/accessors", "").await;
    assert!(!accessors.json("keys").contains(&accessor));
    let error = bench.fails_as("", Verb::Write, "auth/gate/login/bob", "").await;
    assert_eq!(error.kind(), ErrorKind::Denied);
}

#[tokio::test]
async fn cve_2026_42186_no_token_survives_a_login_that_races_with_the_end_of_its_method() {
    let bench = bench().await;
    bench.door().is_slow(true);
    let login = bench.send(Verb::Write, "auth/gate/login/bob", "", "");
    let others = async {
        bench.settle().await;
        let disable = bench.send(Verb::Delete, "sys/auth/gate", &bench.root, "");
        let meanwhile = async {
            bench.settle().await;
            let late = bench.fails_as("", Verb::Write, "auth/gate/login/eve", "").await;
            assert_eq!(late.to_string(), "the mount is being removed");
            bench.door().go_on();
        };
        tokio::join!(disable, meanwhile).0.unwrap();
    };
    let (login, ()) = tokio::join!(login, others);
    let made = super::bench::got(login.unwrap());
    assert!(lookup(&bench, &token(&made)).await.is_err());
}

#[tokio::test]
async fn a_login_that_is_given_up_after_the_method_answered_is_waited_for() {
    let held = Held::default();
    let bench = Bench::over(std::sync::Arc::new(held.clone())).await;
    bench.write("sys/auth/gate", r#"{"type":"door"}"#).await;
    bench.door().lets_in(bob());
    let request = request("auth/gate/login/bob", &[], None);
    let admitted = crate::pipeline::admit::admit(request, bench.core.request_ids()).unwrap();
    let open = bench.core.open().unwrap();
    let mut permit = bench.permit("auth/gate/login/bob", "").await.unwrap();
    held.hold("token/id/");
    {
        let login = crate::pipeline::through(open.clone(), &mut permit, admitted);
        tokio::select! {
            answer = login => panic!("it can't have ended: {answer:?}"),
            () = bench.settle() => {}
        }
    }
    let disable = bench.send(Verb::Delete, "sys/auth/gate", &bench.root, "");
    let meanwhile = async {
        bench.settle().await;
        held.let_go();
    };
    tokio::join!(disable, meanwhile).0.unwrap();
    bench.settle().await;
    let accessors = bench.ok(Verb::List, "auth/token/accessors", "").await;
    assert_eq!(accessors.json("keys").matches(',').count(), 0, "the root token's alone");
}

fn request(path: &str, headers: &[(&str, &str)], token: Option<&str>) -> Request {
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in headers {
        all.entry((*name).to_owned()).or_default().push((*value).to_owned());
    }
    Request {
        verb: Verb::Write,
        path: path.to_owned(),
        fields: Fields::new(),
        token: token.map(Secret::from_text),
        headers: all.into(),
        connection: None,
    }
}

#[tokio::test]
async fn cve_2026_4525_the_servers_token_never_reaches_an_engine() {
    let bench = bench().await;
    let body = r#"{"passthrough_request_headers":["AUTHORIZATION","X-Mine"]}"#;
    bench.write("sys/auth/gate/tune", body).await;
    let other = bench.token(r#"path "a" { capabilities = ["read"] }"#, "").await;
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
            bench.handle(request(path, &[(name, &value)], Some(&root))).await.unwrap();
            assert!(bench.door().seen().headers.is_empty(), "{name}: {value}");
        }
        let foreign = [("authorization", "Bearer eyJhbGciOi.J9.x"), ("x-mine", "v"), ("x-no", "v")];
        bench.handle(request(path, &foreign, Some(&root))).await.unwrap();
        let seen = bench.door().seen().headers;
        assert_eq!(seen.keys().collect::<Vec<_>>(), ["authorization", "x-mine"], "{path}");
    }
    for name in ["X-Vault-Token", "x_vault_token", "Connection", "Transfer-Encoding"] {
        let body = format!(r#"{{"passthrough_request_headers":"{name}"}}"#);
        let error = bench.fails(Verb::Write, "sys/auth/gate/tune", &body).await;
        assert!(error.to_string().ends_with("can't be let through"), "{error}");
    }
}

#[tokio::test]
async fn answer_headers_pass_where_the_mount_allows_them() {
    let bench = bench().await;
    bench.door().says("X-Yes", "1");
    bench.door().says("Set-Cookie", "2");
    let headers = async || match bench.send(Verb::Read, "auth/gate/x", &bench.root, "").await {
        Ok(crate::Answer::Envelope(envelope)) => envelope.headers.into_keys().collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    assert!(headers().await.is_empty());
    bench.write("sys/auth/gate/tune", r#"{"allowed_response_headers":"x-yes"}"#).await;
    assert_eq!(headers().await, ["X-Yes"]);
}

#[tokio::test]
async fn a_credential_that_nobody_can_own_is_taken_back() {
    let bench = bench().await;
    bench.door().issues();
    let path = "auth/gate/login/bob";
    let refused = bench.send(Verb::Write, path, "", "{}").await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Internal);
    assert_eq!(bench.door().revoked(), 1);
    // If that fails the keeper goes on trying.
    bench.door().fails(EngineError::user("not now"));
    bench.send(Verb::Write, path, "", "{}").await.unwrap_err();
    let tried = bench.door().revoked();
    assert!(tried >= 2);
    bench.door().fails_no_more();
    for _ in 0..2 {
        bench.pass(60).await;
        assert_eq!(bench.door().revoked(), tried + 1);
    }
}
