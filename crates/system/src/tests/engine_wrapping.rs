//! Responses and data that a linked-in engine has wrapped.

use strongroom_core::request::{CoreResponse, Verb};
use strongroom_sdk::{Blueprint, Context, Error, Input, Response, ResponseData, Secret, Ttl};
use strongroom_types::ErrorKind;

use super::TestCore;
use super::cubbyhole::stored_keys;
use super::test_core::into_test_response;
use super::wrapping::{NOT_VALID, lookup_wrapping_token, unwrap_own, wrap_info};

/// How long to wrap.
#[derive(Input)]
struct WrapInput {
    /// Lifetime in seconds.
    secs: u64,
}

#[derive(ResponseData)]
struct KeyResponse {
    node_key: Secret<String>,
}

#[derive(ResponseData)]
struct TokenResponse {
    wrapping_token: Secret<String>,
    ttl_secs: u64,
}

async fn wrap_data(context: Context, input: WrapInput) -> Result<Response, Error> {
    let key = KeyResponse { node_key: Secret::from_text("hunter2") };
    let wrapping = context.wrap_data(&key, Ttl::from_secs(input.secs)).await?;
    let (wrapping_token, ttl_secs) = (wrapping.token, wrapping.ttl.as_secs());
    Ok(Response::unleased_secret(&TokenResponse { wrapping_token, ttl_secs }))
}

async fn wrap_response(_: Context, input: WrapInput) -> Result<Response, Error> {
    let key = KeyResponse { node_key: Secret::from_text("hunter2") };
    Ok(Response::unleased_secret(&key).warn("kept").wrapped(Ttl::from_secs(input.secs)))
}

async fn core_with_engine() -> TestCore {
    let bench = TestCore::new().await;
    bench.plugins.add_builtin(
        Blueprint::new("wrapper", "1.0.0")
            .write("data", "Wraps data.", wrap_data)
            .write("response", "Has its response wrapped.", wrap_response)
            .write("open", "The same without a token.", wrap_response)
            .unauthenticated(),
    );
    let mount = r#"{"type":"wrapper","config":{"max_lease_ttl":"1000s"}}"#;
    bench.write("sys/mounts/w", mount).await;
    bench
}

#[tokio::test]
async fn data_that_an_engine_wraps_is_unwrapped_once() {
    let bench = core_with_engine().await;
    let wrapped = bench.write("w/data", r#"{"secs":60}"#).await;
    assert_eq!(wrapped.json("ttl_secs"), "60");
    let token = wrapped.text("wrapping_token");
    let known = lookup_wrapping_token(&bench, &token).await.unwrap();
    assert_eq!(known.text("creation_path"), "sys/wrapping/wrap");
    assert_eq!(known.json("creation_ttl"), "60");
    let got = into_test_response(unwrap_own(&bench, &token).await.unwrap());
    assert_eq!(got.text("node_key"), "hunter2");
    assert_eq!(unwrap_own(&bench, &token).await.unwrap_err().to_string(), NOT_VALID);
    bench.run_until_idle().await;
    assert_eq!(stored_keys(&bench).await, Vec::<String>::new());
}

#[tokio::test]
async fn data_that_an_engine_wraps_ends_with_its_lifetime_and_with_the_mount() {
    let bench = core_with_engine().await;
    // The mount's maximum, not the server's.
    let long = bench.write("w/data", r#"{"secs":5000}"#).await;
    assert_eq!(long.json("ttl_secs"), "1000");
    bench.advance_secs(1001).await;
    let error = unwrap_own(&bench, &long.text("wrapping_token")).await.unwrap_err();
    assert_eq!(error.to_string(), NOT_VALID);
    assert_eq!(stored_keys(&bench).await, Vec::<String>::new());
    let token = bench.write("w/data", r#"{"secs":60}"#).await.text("wrapping_token");
    bench.succeeds(Verb::Delete, "sys/mounts/w", "").await;
    bench.run_until_idle().await;
    assert_eq!(unwrap_own(&bench, &token).await.unwrap_err().to_string(), NOT_VALID);
    assert_eq!(stored_keys(&bench).await, Vec::<String>::new());
}

#[tokio::test]
async fn without_a_lifetime_an_engine_wraps_nothing() {
    let bench = core_with_engine().await;
    for path in ["w/data", "w/response"] {
        let error = bench.fails(Verb::Write, path, r#"{"secs":0}"#).await;
        assert_eq!(error.kind(), ErrorKind::Internal, "{path}: {error}");
    }
    assert_eq!(stored_keys(&bench).await, Vec::<String>::new());
}

#[tokio::test]
async fn an_engine_has_its_response_wrapped_for_the_shorter_lifetime() {
    let bench = core_with_engine().await;
    for (engine_secs, client_secs, expected) in
        [(60, None, 60), (60, Some("30"), 30), (60, Some("90"), 60), (5000, Some("2000"), 1000)]
    {
        let header = client_secs.map(|secs| ("x-vault-wrap-ttl", secs));
        let body = format!(r#"{{"secs":{engine_secs}}}"#);
        let headers: Vec<_> = header.into_iter().collect();
        let response =
            bench.send_with(Verb::Write, "w/response", &bench.root, &body, &headers).await.unwrap();
        let info = wrap_info(response);
        assert_eq!(info.ttl.as_secs(), expected, "{engine_secs} {client_secs:?}");
        assert_eq!(info.creation_path, "w/response");
        let token = info.token.expose_secret();
        let got = into_test_response(unwrap_own(&bench, token).await.unwrap());
        assert_eq!(
            (got.text("node_key").as_str(), got.warnings.as_slice()),
            ("hunter2", &["kept".to_owned()][..])
        );
    }
}

#[tokio::test]
async fn anonymous_requests_store_no_wrapped_responses_for_an_engine_either() {
    let bench = core_with_engine().await;
    let error = bench.fails_as("", Verb::Write, "w/open", r#"{"secs":60}"#).await;
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    assert_eq!(stored_keys(&bench).await, Vec::<String>::new());
    let token = bench.send(Verb::Write, "w/response", "", r#"{"secs":60}"#).await;
    assert!(!matches!(token, Ok(CoreResponse::Envelope(_))), "{token:?}");
}
