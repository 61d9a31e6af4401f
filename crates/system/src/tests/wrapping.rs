//! Wrapping and unwrapping responses as clients do.

use std::sync::Arc;

use strongroom_core::Error;
use strongroom_core::pipeline::admit::admit;
use strongroom_core::pipeline::authenticate::authenticate;
use strongroom_core::pipeline::route::route;
use strongroom_core::request::{CoreResponse, ResponseEnvelope, Verb, WrapInfo};
use strongroom_core::wrapping::WrapRequest;
use strongroom_engine::RawResponse;
use strongroom_storage::memory::MemoryStorage;
use strongroom_storage::testing::FaultyStorage;
use strongroom_token::TokenKey;
use strongroom_types::{ErrorKind, Fields};

use super::TestCore;
use super::cubbyhole::stored_keys;
use super::test_core::{TestResponse, into_test_response, new_request};

pub(super) const NOT_VALID: &str = "wrapping token is not valid or does not exist";
const WRAP_TTL_HEADER: &str = "x-vault-wrap-ttl";

/// Sends a request whose response must be wrapped.
pub(super) async fn send_wrapped(
    bench: &TestCore,
    token: &str,
    verb: Verb,
    path: &str,
    body: &str,
) -> Box<WrapInfo> {
    let answer = try_send_wrapped(bench, token, verb, path, body).await;
    wrap_info(answer.unwrap_or_else(|error| panic!("{path}: {error}")))
}

pub(super) async fn try_send_wrapped(
    bench: &TestCore,
    token: &str,
    verb: Verb,
    path: &str,
    body: &str,
) -> Result<CoreResponse, Error> {
    bench.send_with(verb, path, token, body, &[(WRAP_TTL_HEADER, "60")]).await
}

pub(super) fn wrap_info(answer: CoreResponse) -> Box<WrapInfo> {
    let CoreResponse::Envelope(envelope) = answer else { panic!("not wrapped: {answer:?}") };
    let ResponseEnvelope { request_id, data, auth, warnings, lease_id, mount_type, .. } =
        &*envelope;
    assert!(data.is_none() && auth.is_none() && warnings.is_empty(), "{envelope:?}");
    assert_eq!((&**request_id, &**lease_id, &**mount_type), ("", "", ""));
    envelope.wrap_info.expect("the answer is wrapped")
}

/// Creates a wrapping token for `{"a":"b"}`.
pub(super) async fn create_wrapping_token(bench: &TestCore) -> String {
    let info =
        send_wrapped(bench, &bench.root, Verb::Write, "sys/wrapping/wrap", r#"{"a":"b"}"#).await;
    info.token.expose_secret().clone()
}

pub(super) async fn unwrap_own(bench: &TestCore, token: &str) -> Result<CoreResponse, Error> {
    bench.send(Verb::Write, "sys/wrapping/unwrap", token, "").await
}

pub(super) async fn unwrap_as(
    bench: &TestCore,
    client: &str,
    token: &str,
) -> Result<CoreResponse, Error> {
    bench.send(Verb::Write, "sys/wrapping/unwrap", client, &token_body(token)).await
}

pub(super) async fn lookup_wrapping_token(
    bench: &TestCore,
    token: &str,
) -> Result<TestResponse, Error> {
    let answer = bench.send(Verb::Write, "sys/wrapping/lookup", "", &token_body(token)).await;
    answer.map(into_test_response)
}

pub(super) fn token_body(token: &str) -> String {
    format!(r#"{{"token":"{token}"}}"#)
}

/// The wrap request of a token, and the token's key.
pub(super) async fn wrap_request(bench: &TestCore, token: &str) -> (WrapRequest, TokenKey) {
    let header = (WRAP_TTL_HEADER.to_owned(), vec!["60".to_owned()]);
    let headers = std::collections::BTreeMap::from([header]).into();
    let request = new_request(&bench.core, Verb::Write, "sys/wrapping/wrap", token);
    let request = strongroom_core::CoreRequest { headers, ..request };
    let core = bench.core.unsealed().unwrap();
    let routed = route(&core, admit(request).unwrap());
    let caller = authenticate(&core, &routed).await.unwrap();
    let order = WrapRequest::from_request(&routed, caller.as_ref()).unwrap();
    (order, caller.unwrap().stored_token.key)
}

async fn core_with_kv() -> TestCore {
    let bench = TestCore::new().await;
    bench.write("sys/mounts/kv", r#"{"type":"kv"}"#).await;
    bench.write("kv/a", r#"{"n":1.10,"big":12345678901234567890}"#).await;
    bench
}

#[tokio::test]
async fn an_answer_is_wrapped_and_unwrapped_as_it_was() {
    let bench = core_with_kv().await;
    let info = send_wrapped(&bench, &bench.root, Verb::Read, "kv/a", "").await;
    assert_eq!((info.creation_path.as_str(), info.ttl.as_secs()), ("kv/a", 60));
    assert_eq!(info.wrapped_accessor, None);
    let token = info.token.expose_secret();
    let shown = lookup_wrapping_token(&bench, token).await.unwrap();
    assert_eq!((shown.text("creation_path"), shown.json("creation_ttl")), ("kv/a".into(), "60"));
    assert_eq!(shown.text("creation_time"), info.creation_time.to_rfc3339());
    let Ok(CoreResponse::Envelope(envelope)) = unwrap_own(&bench, token).await else { panic!() };
    assert!(!envelope.request_id.is_empty() && envelope.wrap_info.is_none());
    assert_eq!((envelope.mount_type.as_str(), envelope.mirrors_data_at_top_level), ("kv", false));
    assert_eq!(envelope.lease_duration, bench.settings.lifetimes.default);
    let json = envelope.data.unwrap().into_bytes();
    assert_eq!(json, r#"{"big":12345678901234567890,"n":1.10}"#);
    bench.run_until_idle().await;
    assert_eq!(stored_keys(&bench).await, Vec::<String>::new());
    for again in [unwrap_own(&bench, token).await, unwrap_as(&bench, &bench.root, token).await] {
        assert_eq!(again.unwrap_err().to_string(), NOT_VALID);
    }
    assert_eq!(lookup_wrapping_token(&bench, token).await.unwrap_err().to_string(), NOT_VALID);
}

#[tokio::test]
async fn a_wrapping_token_is_what_clients_expect() {
    let bench = core_with_kv().await;
    let info = send_wrapped(&bench, &bench.root, Verb::Read, "kv/a", "").await;
    let seen = bench.write("auth/token/lookup", &token_body(info.token.expose_secret())).await;
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
    let named = token_body(info.token.expose_secret());
    let renewal = bench.fails(Verb::Write, "auth/token/renew", &named).await;
    assert_eq!(renewal.to_string(), "lease is not renewable");
    bench.run_until_idle().await;
    bench.advance_secs(60).await;
    assert_eq!(
        unwrap_own(&bench, info.token.expose_secret()).await.unwrap_err().to_string(),
        NOT_VALID
    );
    assert_eq!(stored_keys(&bench).await, Vec::<String>::new(), "it expires with its secret");
}

#[tokio::test]
async fn responses_without_content_are_not_wrapped() {
    let bench = core_with_kv().await;
    let send = |verb, path: &'static str, body: &'static str| {
        try_send_wrapped(&bench, &bench.root, verb, path, body)
    };
    assert!(matches!(send(Verb::Write, "kv/b", r#"{"x":1}"#).await, Ok(CoreResponse::Nothing)));
    assert!(matches!(send(Verb::Delete, "kv/b", "").await, Ok(CoreResponse::Nothing)));
    for (verb, path) in [(Verb::Read, "kv/none"), (Verb::List, "kv/none")] {
        assert_eq!(send(verb, path, "").await.unwrap_err().kind(), ErrorKind::NotFound);
    }
    for path in ["sys/health", "sys/seal-status"] {
        assert!(
            matches!(send(Verb::Read, path, "").await, Ok(CoreResponse::WithoutEnvelope { .. })),
            "{path}"
        );
    }
    assert!(matches!(send(Verb::Help, "kv/a", "").await, Ok(CoreResponse::WithoutEnvelope { .. })));
    assert_eq!(stored_keys(&bench).await, Vec::<String>::new());
    // Lists are wrapped, and their creation path ends in a slash.
    assert_eq!(wrap_info(send(Verb::List, "kv", "").await.unwrap()).creation_path, "kv/");
    assert_eq!(
        wrap_info(send(Verb::Read, "sys/mounts", "").await.unwrap()).creation_path,
        "sys/mounts"
    );
}

#[tokio::test]
async fn the_wrap_ttl_header_controls_wrapping() {
    let bench = core_with_kv().await;
    let ask = async |value: &str| {
        bench.send_with(Verb::Read, "kv/a", &bench.root, "", &[(WRAP_TTL_HEADER, value)]).await
    };
    for none in ["0", "0s", ""] {
        let Ok(CoreResponse::Envelope(envelope)) = ask(none).await else { panic!() };
        assert!(envelope.wrap_info.is_none() && envelope.data.is_some());
    }
    assert_eq!(wrap_info(ask("1h").await.unwrap()).ttl.as_secs(), 3600);
    assert_eq!(wrap_info(ask("100ms").await.unwrap()).ttl.as_secs(), 1);
    // Other servers have no maximum here (SR-2026-19).
    let Ok(CoreResponse::Envelope(envelope)) = ask("1000000h").await else { panic!() };
    assert_eq!(envelope.wrap_info.unwrap().ttl.as_secs(), 768 * 3600);
    assert!(envelope.warnings.iter().any(|text| text.contains("capped")));
    assert_eq!(
        ask("-5").await.unwrap_err().to_string(),
        "error parsing X-Vault-Wrap-TTL header: requested wrap ttl cannot be negative"
    );
    let jwt = [(WRAP_TTL_HEADER, "60"), ("x-vault-wrap-format", "JWT")];
    let error = bench.send_with(Verb::Read, "kv/a", &bench.root, "", &jwt).await.unwrap_err();
    assert!(error.to_string().ends_with("is not supported by this server"), "{error}");
}

#[tokio::test]
async fn sys_wrapping_wrap_wraps_any_object() {
    let bench = TestCore::new().await;
    let error = bench.fails(Verb::Write, "sys/wrapping/wrap", r#"{"a":"b"}"#).await;
    assert_eq!(
        (error.kind(), error.to_string().as_str()),
        (ErrorKind::Invalid, "endpoint requires response wrapping to be used")
    );
    let token = bench.token_with_policy(r#"path "nothing" { capabilities = ["read"] }"#, "").await;
    let object = r#"{"n":1e3,"token":"not one"}"#;
    for sent in [object, "{}", ""] {
        let info = send_wrapped(&bench, &token, Verb::Write, "sys/wrapping/wrap", sent).await;
        assert_eq!(info.creation_path, "sys/wrapping/wrap");
        let answer = unwrap_own(&bench, info.token.expose_secret()).await.unwrap();
        let CoreResponse::Envelope(envelope) = answer else { panic!() };
        let whole = if sent.is_empty() { "{}" } else { sent };
        assert_eq!(envelope.data.unwrap().as_bytes(), whole.as_bytes());
        assert_eq!(envelope.warnings, Vec::<String>::new());
    }
}

#[tokio::test]
async fn wrap_info_includes_the_wrapped_accessor() {
    let bench = TestCore::new().await;
    let create = r#"{"policies":["default","p9"],"ttl":"1h"}"#;
    let info = send_wrapped(&bench, &bench.root, Verb::Write, "auth/token/create", create).await;
    let got = into_test_response(unwrap_own(&bench, info.token.expose_secret()).await.unwrap());
    assert_eq!(info.wrapped_accessor, got.auth.text("accessor"));
    assert_eq!(got.warnings, ["Policy \"p9\" does not exist"]);
    let token = got.auth.text("client_token").unwrap();
    bench.succeeds_as(&token, Verb::Read, "auth/token/lookup-self", "").await;
}

#[tokio::test]
async fn credentials_are_wrapped_with_their_lease() {
    let bench = TestCore::new().await.with_credential_engine().await;
    let info = send_wrapped(&bench, &bench.root, Verb::Read, "out/creds/dev", "").await;
    let got = into_test_response(unwrap_own(&bench, info.token.expose_secret()).await.unwrap());
    assert!(got.lease_id.starts_with("out/creds/dev/") && got.ttl == 60);
    assert_eq!(got.text("key"), "s3cr3t");
    assert_eq!(bench.outside.live_credentials(), 1);
    bench.write("sys/leases/revoke", &format!(r#"{{"lease_id":"{}"}}"#, got.lease_id)).await;
    assert_eq!(bench.outside.live_credentials(), 0);
}

#[tokio::test]
async fn raw_responses_are_unwrapped_unchanged() {
    let bench = TestCore::new().await;
    let core = bench.core.unsealed().unwrap();
    let raw = RawResponse {
        status: 404,
        content_type: "text/plain".to_owned(),
        body: vec![0, 159, 146, 150],
        headers: [("pragma".to_owned(), "no-cache".to_owned())].into(),
    };
    let wrap = async |raw: &RawResponse| {
        let (order, _) = wrap_request(&bench, &bench.root).await;
        order.wrap_response(&core.wrapping, CoreResponse::Raw(raw.clone())).await.unwrap()
    };
    let first = wrap_info(wrap(&raw).await);
    let CoreResponse::Raw(got) = unwrap_own(&bench, first.token.expose_secret()).await.unwrap()
    else {
        panic!()
    };
    assert!(got == raw, "{got:?}");
    let second = wrap_info(wrap(&raw).await);
    let token = second.token.expose_secret();
    let text =
        bench.succeeds_as(token, Verb::Read, "cubbyhole/response", "").await.text("response");
    let fields = Fields::from_trusted(text.as_bytes()).unwrap();
    assert_eq!(
        fields.get("data").unwrap().get(),
        r#"{"http_content_type":"text/plain","http_raw_body":"AJ+Slg==","http_status_code":404}"#
    );
    // A response without content isn't wrapped.
    let empty = RawResponse { status: 204, body: Vec::new(), ..raw };
    assert!(matches!(wrap(&empty).await, CoreResponse::Raw(_)));
}

#[tokio::test]
async fn a_wrapped_answer_outlives_who_wrapped_it() {
    let bench = TestCore::new().await;
    let short = bench
        .token_with_policy(r#"path "a" { capabilities = ["read"] }"#, r#","num_uses":1"#)
        .await;
    let info = send_wrapped(&bench, &short, Verb::Write, "sys/wrapping/wrap", r#"{"a":"b"}"#).await;
    bench.run_until_idle().await;
    assert_eq!(
        into_test_response(unwrap_own(&bench, info.token.expose_secret()).await.unwrap()).text("a"),
        "b",
        "its maker was used up by making it"
    );
}

#[tokio::test]
async fn cubbyhole_response_unwraps_for_old_clients() {
    let bench = core_with_kv().await;
    let info = send_wrapped(&bench, &bench.root, Verb::Read, "kv/a", "").await;
    let token = info.token.expose_secret();
    let got = bench.succeeds_as(token, Verb::Read, "cubbyhole/response", "").await;
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
    assert_eq!(unwrap_own(&bench, token).await.unwrap_err().to_string(), NOT_VALID);
}

#[tokio::test]
async fn rewrapping_replaces_the_wrapping_token() {
    let bench = core_with_kv().await;
    let first = send_wrapped(&bench, &bench.root, Verb::Read, "kv/a", "").await;
    bench.advance_secs(10).await;
    let first_body = token_body(first.token.expose_secret());
    let rewrap = async |body: &str| {
        // The header is ignored: the new token keeps the original lifetime.
        let (root, headers) = (bench.root.as_str(), [(WRAP_TTL_HEADER, "99")]);
        bench
            .send_with(Verb::Write, "sys/wrapping/rewrap", root, body, &headers)
            .await
            .map(wrap_info)
    };
    let second = rewrap(&first_body).await.unwrap();
    assert_eq!((second.creation_path.as_str(), second.ttl.as_secs()), ("kv/a", 60));
    assert_eq!(second.creation_time.since(first.creation_time).as_secs(), 10);
    let gone = lookup_wrapping_token(&bench, first.token.expose_secret()).await.unwrap_err();
    assert_eq!(gone.to_string(), NOT_VALID);
    assert_eq!(rewrap(&first_body).await.unwrap_err().to_string(), NOT_VALID);
    let seen = bench.write("auth/token/lookup", &token_body(second.token.expose_secret())).await;
    assert_eq!(seen.text("path"), "sys/wrapping/rewrap");
    let shown = lookup_wrapping_token(&bench, second.token.expose_secret()).await.unwrap();
    assert_eq!(shown.text("creation_path"), "kv/a");
    let got = into_test_response(unwrap_own(&bench, second.token.expose_secret()).await.unwrap());
    assert_eq!(got.json("n"), "1.10");
    // A token without a policy for unwrapping is denied.
    let token = bench.token_with_policy(r#"path "nothing" { capabilities = ["read"] }"#, "").await;
    let third = create_wrapping_token(&bench).await;
    let denied =
        bench.fails_as(&token, Verb::Write, "sys/wrapping/rewrap", &token_body(&third)).await;
    assert_eq!(denied.kind(), ErrorKind::Denied);
    assert!(lookup_wrapping_token(&bench, &third).await.is_ok());
}

#[tokio::test]
async fn an_unwrapped_answer_can_be_wrapped_again() {
    let bench = TestCore::new().await;
    let first = create_wrapping_token(&bench).await;
    let again = send_wrapped(&bench, &first, Verb::Write, "sys/wrapping/unwrap", "").await;
    assert_eq!(again.creation_path, "sys/wrapping/unwrap");
    assert_eq!(unwrap_own(&bench, &first).await.unwrap_err().to_string(), NOT_VALID);
    let got = into_test_response(unwrap_own(&bench, again.token.expose_secret()).await.unwrap());
    assert_eq!(got.text("a"), "b");
}

#[tokio::test]
async fn wrapping_errors_match_vaults() {
    let bench = TestCore::new().await;
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
    let token = create_wrapping_token(&bench).await;
    for client in ["", "nope"] {
        let error = unwrap_as(&bench, client, &token).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied, "naming a wrapping token needs a token");
    }
    assert_eq!(
        into_test_response(unwrap_as(&bench, &bench.root, &token).await.unwrap()).text("a"),
        "b"
    );
}

/// The batch that stores the wrapped response fails, before or after being applied: the client gets
/// an error, and what was issued is revoked at once.
#[tokio::test]
async fn a_credential_that_cannot_be_wrapped_is_revoked() {
    let fault = || strongroom_storage::Error::Io("gone for a moment".to_owned());
    for applied in [false, true] {
        let store = Arc::new(FaultyStorage::new(MemoryStorage::new()));
        let plan = store.fault_plan();
        let bench = TestCore::with_storage(store).await.with_credential_engine().await;
        let tokens = async || bench.succeeds(Verb::List, "auth/token/accessors", "").await;
        let fail_at = |commit| match applied {
            false => plan.fail_before_commit(commit, fault()),
            true => plan.fail_after_commit(commit, fault()),
        };
        bench.run_until_idle().await;
        // The writes are the intent, the lease and the wrapping token.
        fail_at(3);
        let answer = try_send_wrapped(&bench, &bench.root, Verb::Read, "out/creds/dev", "").await;
        assert_eq!(answer.unwrap_err().kind(), ErrorKind::Internal);
        plan.clear_fault();
        assert_eq!(bench.outside.live_credentials(), 0, "applied: {applied}");
        bench.run_until_idle().await;
        let before = tokens().await.json("keys").to_owned();
        // The writes are the token and the wrapping token.
        fail_at(2);
        let create =
            try_send_wrapped(&bench, &bench.root, Verb::Write, "auth/token/create", "{}").await;
        assert_eq!(create.unwrap_err().kind(), ErrorKind::Internal);
        plan.clear_fault();
        bench.run_until_idle().await;
        let after = tokens().await.json("keys").matches(',').count();
        assert_eq!(after, before.matches(',').count(), "applied: {applied}");
        assert_eq!(stored_keys(&bench).await, Vec::<String>::new(), "applied: {applied}");
    }
}
