//! Wrapping and unwrapping, as clients do it.

use std::sync::Arc;

use strongroom_sdk::engine::Raw;
use strongroom_storage::memory::Memory;
use strongroom_storage::testing::Faulty;
use strongroom_token::TokenKey;
use strongroom_types::{ErrorKind, Fields, Secret};

use super::Bench;
use super::bench::{Got, got};
use super::cubbyhole::kept;
use crate::Error;
use crate::pipeline::admit::admit;
use crate::pipeline::authenticate::authenticate;
use crate::pipeline::route::route;
use crate::request::{Answer, Envelope, Verb, WrapInfo};
use crate::wrapping::Order;

pub(super) const NOT_VALID: &str = "wrapping token is not valid or does not exist";
const TTL: &str = "x-vault-wrap-ttl";

/// Sends a request whose answer must come wrapped.
pub(super) async fn wrapped(
    bench: &Bench,
    token: &str,
    verb: Verb,
    path: &str,
    body: &str,
) -> Box<WrapInfo> {
    let answer = try_wrapped(bench, token, verb, path, body).await;
    info(answer.unwrap_or_else(|error| panic!("{path}: {error}")))
}

pub(super) async fn try_wrapped(
    bench: &Bench,
    token: &str,
    verb: Verb,
    path: &str,
    body: &str,
) -> Result<Answer, Error> {
    bench.send_with(verb, path, token, body, &[(TTL, "60")]).await
}

pub(super) fn info(answer: Answer) -> Box<WrapInfo> {
    let Answer::Envelope(envelope) = answer else { panic!("not wrapped: {answer:?}") };
    let Envelope { request_id, data, auth, warnings, lease_id, mount_type, .. } = &*envelope;
    assert!(data.is_none() && auth.is_none() && warnings.is_empty(), "{envelope:?}");
    assert_eq!((&**request_id, &**lease_id, &**mount_type), ("", "", ""));
    envelope.wrap_info.expect("the answer is wrapped")
}

/// A wrapping token for `{"a":"b"}`.
pub(super) async fn a_wrapping_token(bench: &Bench) -> String {
    let info = wrapped(bench, &bench.root, Verb::Write, "sys/wrapping/wrap", r#"{"a":"b"}"#).await;
    info.token.expose_secret().clone()
}

pub(super) async fn unwrap(bench: &Bench, token: &str) -> Result<Answer, Error> {
    bench.send(Verb::Write, "sys/wrapping/unwrap", token, "").await
}

pub(super) async fn unwrap_by(bench: &Bench, client: &str, token: &str) -> Result<Answer, Error> {
    bench.send(Verb::Write, "sys/wrapping/unwrap", client, &body(token)).await
}

pub(super) async fn look_up(bench: &Bench, token: &str) -> Result<Got, Error> {
    let answer = bench.send(Verb::Write, "sys/wrapping/lookup", "", &body(token)).await;
    answer.map(got)
}

pub(super) fn body(token: &str) -> String {
    format!(r#"{{"token":"{token}"}}"#)
}

/// What a token orders when it asks for its answer to be wrapped, and the token's key.
pub(super) async fn order(bench: &Bench, token: &str) -> (Order, TokenKey) {
    let request = crate::Request {
        verb: Verb::Write,
        path: "sys/wrapping/wrap".to_owned(),
        fields: Fields::new(),
        token: Some(Secret::from_text(token)),
        headers: std::collections::BTreeMap::from([(TTL.to_owned(), vec!["60".to_owned()])]).into(),
        connection: None,
    };
    let open = bench.core.open().unwrap();
    let routed = route(&open, admit(request, bench.core.request_ids()).unwrap());
    let caller = authenticate(&open, &routed).await.unwrap();
    let order = Order::of(&routed, caller.as_ref()).unwrap();
    (order, caller.unwrap().found.key)
}

async fn bench() -> Bench {
    let bench = Bench::new().await;
    bench.write("sys/mounts/kv", r#"{"type":"kv"}"#).await;
    bench.write("kv/a", r#"{"n":1.10,"big":12345678901234567890}"#).await;
    bench
}

#[tokio::test]
async fn an_answer_is_wrapped_and_unwrapped_as_it_was() {
    let bench = bench().await;
    let info = wrapped(&bench, &bench.root, Verb::Read, "kv/a", "").await;
    assert_eq!((info.creation_path.as_str(), info.ttl.as_secs()), ("kv/a", 60));
    assert_eq!(info.wrapped_accessor, None);
    let token = info.token.expose_secret();
    let shown = look_up(&bench, token).await.unwrap();
    assert_eq!((shown.text("creation_path"), shown.json("creation_ttl")), ("kv/a".into(), "60"));
    assert_eq!(shown.text("creation_time"), info.creation_time.to_rfc3339());
    let Ok(Answer::Envelope(envelope)) = unwrap(&bench, token).await else { panic!() };
    assert!(!envelope.request_id.is_empty() && envelope.wrap_info.is_none());
    assert_eq!((envelope.mount_type.as_str(), envelope.injected), ("kv", false));
    assert_eq!(envelope.lease_duration, bench.settings.lifetimes.default);
    let json = envelope.data.unwrap().into_bytes();
    assert_eq!(json, r#"{"big":12345678901234567890,"n":1.10}"#);
    bench.settle().await;
    assert_eq!(kept(&bench).await, Vec::<String>::new());
    for again in [unwrap(&bench, token).await, unwrap_by(&bench, &bench.root, token).await] {
        assert_eq!(again.unwrap_err().to_string(), NOT_VALID);
    }
    assert_eq!(look_up(&bench, token).await.unwrap_err().to_string(), NOT_VALID);
}

#[tokio::test]
async fn a_wrapping_token_is_what_clients_expect() {
    let bench = bench().await;
    let info = wrapped(&bench, &bench.root, Verb::Read, "kv/a", "").await;
    let seen = bench.write("auth/token/lookup", &body(info.token.expose_secret())).await;
    assert_eq!(seen.text("accessor"), info.accessor.as_str());
    assert_eq!(seen.json("policies"), r#"["response-wrapping"]"#);
    for (name, json) in [
        ("num_uses", "1"),
        ("ttl", "60"),
        ("creation_ttl", "60"),
        ("explicit_max_ttl", "60"),
        ("renewable", "false"),
        ("orphan", "true"),
        ("path", "\"kv/a\""),
        ("display_name", "\"root\""),
        ("meta", "null"),
    ] {
        assert_eq!(seen.json(name), json, "{name}");
    }
    let named = body(info.token.expose_secret());
    let renewal = bench.fails(Verb::Write, "auth/token/renew", &named).await;
    assert_eq!(renewal.to_string(), "lease is not renewable");
    bench.settle().await;
    bench.pass(60).await;
    assert_eq!(
        unwrap(&bench, info.token.expose_secret()).await.unwrap_err().to_string(),
        NOT_VALID
    );
    assert_eq!(kept(&bench).await, Vec::<String>::new(), "it expires with its secret");
}

#[tokio::test]
async fn what_has_no_content_is_not_wrapped() {
    let bench = bench().await;
    let send = |verb, path: &'static str, body: &'static str| {
        try_wrapped(&bench, &bench.root, verb, path, body)
    };
    assert!(matches!(send(Verb::Write, "kv/b", r#"{"x":1}"#).await, Ok(Answer::Nothing)));
    assert!(matches!(send(Verb::Delete, "kv/b", "").await, Ok(Answer::Nothing)));
    for (verb, path) in [(Verb::Read, "kv/none"), (Verb::List, "kv/none")] {
        assert_eq!(send(verb, path, "").await.unwrap_err().kind(), ErrorKind::NotFound);
    }
    for path in ["sys/health", "sys/seal-status"] {
        assert!(matches!(send(Verb::Read, path, "").await, Ok(Answer::Bare { .. })), "{path}");
    }
    assert!(matches!(send(Verb::Help, "kv/a", "").await, Ok(Answer::Bare { .. })));
    assert_eq!(kept(&bench).await, Vec::<String>::new());
    // Lists are wrapped, at their path with its slash.
    assert_eq!(info(send(Verb::List, "kv", "").await.unwrap()).creation_path, "kv/");
    assert_eq!(info(send(Verb::Read, "sys/mounts", "").await.unwrap()).creation_path, "sys/mounts");
}

#[tokio::test]
async fn the_header_says_whether_and_for_how_long() {
    let bench = bench().await;
    let ask = async |value: &str| {
        bench.send_with(Verb::Read, "kv/a", &bench.root, "", &[(TTL, value)]).await
    };
    for none in ["0", "0s", ""] {
        let Ok(Answer::Envelope(envelope)) = ask(none).await else { panic!() };
        assert!(envelope.wrap_info.is_none() && envelope.data.is_some());
    }
    assert_eq!(info(ask("1h").await.unwrap()).ttl.as_secs(), 3600);
    assert_eq!(info(ask("100ms").await.unwrap()).ttl.as_secs(), 1);
    // Other servers set no bound here (SR-2026-19).
    let Ok(Answer::Envelope(envelope)) = ask("1000000h").await else { panic!() };
    assert_eq!(envelope.wrap_info.unwrap().ttl.as_secs(), 768 * 3600);
    assert!(envelope.warnings.iter().any(|text| text.contains("capped")));
    assert_eq!(
        ask("-5").await.unwrap_err().to_string(),
        "error parsing X-Vault-Wrap-TTL header: requested wrap ttl cannot be negative"
    );
    let jwt = [(TTL, "60"), ("x-vault-wrap-format", "JWT")];
    let error = bench.send_with(Verb::Read, "kv/a", &bench.root, "", &jwt).await.unwrap_err();
    assert!(error.to_string().ends_with("is not supported by this server"), "{error}");
}

#[tokio::test]
async fn anything_can_be_wrapped_by_request() {
    let bench = Bench::new().await;
    let error = bench.fails(Verb::Write, "sys/wrapping/wrap", r#"{"a":"b"}"#).await;
    assert_eq!(
        (error.kind(), error.to_string().as_str()),
        (ErrorKind::Invalid, "endpoint requires response wrapping to be used")
    );
    let token = bench.token(r#"path "nothing" { capabilities = ["read"] }"#, "").await;
    let object = r#"{"n":1e3,"token":"not one"}"#;
    for sent in [object, "{}", ""] {
        let info = wrapped(&bench, &token, Verb::Write, "sys/wrapping/wrap", sent).await;
        assert_eq!(info.creation_path, "sys/wrapping/wrap");
        let answer = unwrap(&bench, info.token.expose_secret()).await.unwrap();
        let Answer::Envelope(envelope) = answer else { panic!() };
        let whole = if sent.is_empty() { "{}" } else { sent };
        assert_eq!(envelope.data.unwrap().as_bytes(), whole.as_bytes());
        assert_eq!(envelope.warnings, Vec::<String>::new());
    }
}

#[tokio::test]
async fn tokens_are_wrapped_with_their_accessor_beside() {
    let bench = Bench::new().await;
    let create = r#"{"policies":["default","p9"],"ttl":"1h"}"#;
    let info = wrapped(&bench, &bench.root, Verb::Write, "auth/token/create", create).await;
    let got = got(unwrap(&bench, info.token.expose_secret()).await.unwrap());
    assert_eq!(info.wrapped_accessor, got.auth.text("accessor"));
    assert_eq!(got.warnings, ["Policy \"p9\" does not exist"]);
    let token = got.auth.text("client_token").unwrap();
    bench.ok_as(&token, Verb::Read, "auth/token/lookup-self", "").await;
}

#[tokio::test]
async fn credentials_are_wrapped_with_their_lease() {
    let bench = Bench::new().await.with_credentials().await;
    let info = wrapped(&bench, &bench.root, Verb::Read, "out/creds/dev", "").await;
    let got = got(unwrap(&bench, info.token.expose_secret()).await.unwrap());
    assert!(got.lease.starts_with("out/creds/dev/") && got.ttl == 60);
    assert_eq!(got.text("key"), "s3cr3t");
    assert_eq!(bench.outside.alive(), 1);
    bench.write("sys/leases/revoke", &format!(r#"{{"lease_id":"{}"}}"#, got.lease)).await;
    assert_eq!(bench.outside.alive(), 0);
}

#[tokio::test]
async fn raw_answers_come_out_as_they_went_in() {
    let bench = Bench::new().await;
    let open = bench.core.open().unwrap();
    let raw = Raw {
        status: 404,
        content_type: "text/plain".to_owned(),
        body: vec![0, 159, 146, 150],
        headers: [("pragma".to_owned(), "no-cache".to_owned())].into(),
    };
    let wrap = async |raw: &Raw| {
        let (order, _) = order(&bench, &bench.root).await;
        order.wrap(&open, Answer::Raw(raw.clone())).await.unwrap()
    };
    let first = info(wrap(&raw).await);
    let Answer::Raw(got) = unwrap(&bench, first.token.expose_secret()).await.unwrap() else {
        panic!()
    };
    assert!(got == raw, "{got:?}");
    let second = info(wrap(&raw).await);
    let token = second.token.expose_secret();
    let text = bench.ok_as(token, Verb::Read, "cubbyhole/response", "").await.text("response");
    let fields = Fields::from_trusted(text.as_bytes()).unwrap();
    assert_eq!(
        fields.get("data").unwrap().get(),
        r#"{"http_content_type":"text/plain","http_raw_body":"AJ+Slg==","http_status_code":404}"#
    );
    // Without content there is nothing to wrap.
    let empty = Raw { status: 204, body: Vec::new(), ..raw };
    assert!(matches!(wrap(&empty).await, Answer::Raw(_)));
}

#[tokio::test]
async fn a_wrapped_answer_outlives_who_wrapped_it() {
    let bench = Bench::new().await;
    let short = bench.token(r#"path "a" { capabilities = ["read"] }"#, r#","num_uses":1"#).await;
    let info = wrapped(&bench, &short, Verb::Write, "sys/wrapping/wrap", r#"{"a":"b"}"#).await;
    bench.settle().await;
    assert_eq!(
        got(unwrap(&bench, info.token.expose_secret()).await.unwrap()).text("a"),
        "b",
        "its maker was used up by making it"
    );
}

#[tokio::test]
async fn old_clients_read_it_out_of_their_cubbyhole() {
    let bench = bench().await;
    let info = wrapped(&bench, &bench.root, Verb::Read, "kv/a", "").await;
    let token = info.token.expose_secret();
    let got = bench.ok_as(token, Verb::Read, "cubbyhole/response", "").await;
    let text = got.text("response");
    let fields = Fields::from_trusted(text.as_bytes()).unwrap();
    assert_eq!(fields.get("data").unwrap().get(), r#"{"big":12345678901234567890,"n":1.10}"#);
    assert_eq!(fields.get("lease_duration").unwrap().get(), "2764800");
    for (name, json) in [("wrap_info", "null"), ("warnings", "null"), ("auth", "null")] {
        assert_eq!(fields.get(name).unwrap().get(), json);
    }
    assert_eq!(got.warnings.len(), 1);
    let error = bench.fails_as(token, Verb::Read, "cubbyhole/response", "").await;
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert_eq!(unwrap(&bench, token).await.unwrap_err().to_string(), NOT_VALID);
}

#[tokio::test]
async fn rewrapping_gives_another_token_and_ends_the_first() {
    let bench = bench().await;
    let first = wrapped(&bench, &bench.root, Verb::Read, "kv/a", "").await;
    bench.pass(10).await;
    let first_body = body(first.token.expose_secret());
    let rewrap = async |body: &str| {
        // What the header asks for is not asked again: the lifetime stays what it was.
        let (root, headers) = (bench.root.as_str(), [(TTL, "99")]);
        bench.send_with(Verb::Write, "sys/wrapping/rewrap", root, body, &headers).await.map(info)
    };
    let second = rewrap(&first_body).await.unwrap();
    assert_eq!((second.creation_path.as_str(), second.ttl.as_secs()), ("kv/a", 60));
    assert_eq!(second.creation_time.since(first.creation_time).as_secs(), 10);
    let gone = look_up(&bench, first.token.expose_secret()).await.unwrap_err();
    assert_eq!(gone.to_string(), NOT_VALID);
    assert_eq!(rewrap(&first_body).await.unwrap_err().to_string(), NOT_VALID);
    let seen = bench.write("auth/token/lookup", &body(second.token.expose_secret())).await;
    assert_eq!(seen.text("path"), "sys/wrapping/rewrap");
    let shown = look_up(&bench, second.token.expose_secret()).await.unwrap();
    assert_eq!(shown.text("creation_path"), "kv/a");
    let got = got(unwrap(&bench, second.token.expose_secret()).await.unwrap());
    assert_eq!(got.json("n"), "1.10");
    // Whom no policy allows it.
    let token = bench.token(r#"path "nothing" { capabilities = ["read"] }"#, "").await;
    let third = a_wrapping_token(&bench).await;
    let denied = bench.fails_as(&token, Verb::Write, "sys/wrapping/rewrap", &body(&third)).await;
    assert_eq!(denied.kind(), ErrorKind::Denied);
    assert!(look_up(&bench, &third).await.is_ok());
}

#[tokio::test]
async fn an_unwrapped_answer_can_be_wrapped_again() {
    let bench = Bench::new().await;
    let first = a_wrapping_token(&bench).await;
    let again = wrapped(&bench, &first, Verb::Write, "sys/wrapping/unwrap", "").await;
    assert_eq!(again.creation_path, "sys/wrapping/unwrap");
    assert_eq!(unwrap(&bench, &first).await.unwrap_err().to_string(), NOT_VALID);
    let got = got(unwrap(&bench, again.token.expose_secret()).await.unwrap());
    assert_eq!(got.text("a"), "b");
}

#[tokio::test]
async fn errors_are_those_clients_know() {
    let bench = Bench::new().await;
    let cases = [
        ("", "", ErrorKind::Denied, "error validating wrapping token: token is empty"),
        (
            "",
            r#"{"token":null}"#,
            ErrorKind::Denied,
            "error validating wrapping token: token is empty",
        ),
        (
            "root",
            r#"{"token":""}"#,
            ErrorKind::Denied,
            "error validating wrapping token: empty token in request body",
        ),
        (
            "root",
            r#"{"token":5}"#,
            ErrorKind::Denied,
            "error validating wrapping token: could not decode token in request body",
        ),
        ("root", "", ErrorKind::Invalid, NOT_VALID),
        ("nope", "", ErrorKind::Invalid, NOT_VALID),
        ("", r#"{"token":"nope"}"#, ErrorKind::Invalid, NOT_VALID),
        ("root", r#"{"token":"nope"}"#, ErrorKind::Invalid, NOT_VALID),
    ];
    for path in ["sys/wrapping/lookup", "sys/wrapping/unwrap", "sys/wrapping/rewrap"] {
        for (token, body, kind, text) in cases {
            let token = if token == "root" { bench.root.as_str() } else { token };
            let error = bench.fails_as(token, Verb::Write, path, body).await;
            assert_eq!((error.kind(), error.to_string().as_str()), (kind, text), "{path} {body}");
        }
    }
    let token = a_wrapping_token(&bench).await;
    for client in ["", "nope"] {
        let error = unwrap_by(&bench, client, &token).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied, "naming a wrapping token needs a token");
    }
    assert_eq!(got(unwrap_by(&bench, &bench.root, &token).await.unwrap()).text("a"), "b");
}

/// The batch that wraps fails, before it is applied or after: the client gets an error, and what was
/// issued is revoked at once.
#[tokio::test]
async fn what_could_not_be_wrapped_is_taken_back() {
    let fault = || strongroom_storage::Error::Io("gone for a moment".to_owned());
    for applied in [false, true] {
        let store = Arc::new(Faulty::new(Memory::new()));
        let plan = store.plan();
        let bench = Bench::over(store).await.with_credentials().await;
        let tokens = async || bench.ok(Verb::List, "auth/token/accessors", "").await;
        let fail_at = |commit| match applied {
            false => plan.fail_before_commit(commit, fault()),
            true => plan.fail_after_commit(commit, fault()),
        };
        bench.settle().await;
        // Intent, lease, and the wrapping token.
        fail_at(3);
        let answer = try_wrapped(&bench, &bench.root, Verb::Read, "out/creds/dev", "").await;
        assert_eq!(answer.unwrap_err().kind(), ErrorKind::Internal);
        plan.heal();
        assert_eq!(bench.outside.alive(), 0, "applied: {applied}");
        bench.settle().await;
        let before = tokens().await.json("keys").to_owned();
        // The token, and the wrapping token.
        fail_at(2);
        let create = try_wrapped(&bench, &bench.root, Verb::Write, "auth/token/create", "{}").await;
        assert_eq!(create.unwrap_err().kind(), ErrorKind::Internal);
        plan.heal();
        bench.settle().await;
        let after = tokens().await.json("keys").matches(',').count();
        assert_eq!(after, before.matches(',').count(), "applied: {applied}");
        assert_eq!(kept(&bench).await, Vec::<String>::new(), "applied: {applied}");
    }
}
