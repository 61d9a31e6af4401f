//! What a linked-in engine learns of a request, and the errors with a status of its own.

use strongroom_core::request::Verb;
use strongroom_sdk::{Blueprint, Context, Error, Response, ResponseData};

use super::TestCore;
use super::test_core::TestResponse;

#[derive(ResponseData)]
struct CallerResponse {
    display_name: String,
    accessor: String,
    source: String,
    region: String,
    has_entity: bool,
}

async fn show_caller(context: Context, (): ()) -> Result<Response, Error> {
    let caller = context.caller().ok_or_else(|| Error::internal("a request has a caller"))?;
    Ok(Response::data(&CallerResponse {
        display_name: caller.display_name().to_owned(),
        accessor: caller.accessor().unwrap_or_default().to_owned(),
        source: context.header("x-source").unwrap_or_default().to_owned(),
        region: context.mount_option("region").unwrap_or_default().to_owned(),
        has_entity: caller.entity_id().is_some(),
    }))
}

async fn show_entity(context: Context, (): ()) -> Result<Response, Error> {
    context.system().entity("entity-1").await?;
    Ok(Response::no_content())
}

async fn show_groups(context: Context, (): ()) -> Result<Response, Error> {
    context.system().entity_groups("entity-1").await?;
    Ok(Response::no_content())
}

async fn deny(_: Context, (): ()) -> Result<Response, Error> {
    Err(Error::denied("not yours"))
}

async fn conflict(_: Context, (): ()) -> Result<Response, Error> {
    Err(Error::conflict("taken"))
}

async fn core_with_engine() -> TestCore {
    let bench = TestCore::new().await;
    bench.plugins.add_builtin(
        Blueprint::new("contexts", "1.0.0")
            .help("Shows contexts.")
            .read("caller", "Shows the caller.", show_caller)
            .read("entity", "Shows an entity.", show_entity)
            .read("groups", "Shows groups.", show_groups)
            .read("denied", "Denies.", deny)
            .write("conflict", "Conflicts.", conflict),
    );
    let mount = r#"{"type":"contexts","options":{"region":"eu"},
        "config":{"passthrough_request_headers":["X-Source"]}}"#;
    bench.write("sys/mounts/c", mount).await;
    bench
}

#[tokio::test]
async fn an_engine_sees_the_caller_and_what_the_mount_passes_through() {
    let bench = core_with_engine().await;
    let headers = [("x-source", "ci"), ("x-other", "hidden")];
    let answer = bench.send_with(Verb::Read, "c/caller", &bench.root, "", &headers).await.unwrap();
    let got: TestResponse = super::test_core::into_test_response(answer);
    assert_eq!((got.text("display_name"), got.text("source")), ("root".into(), "ci".into()));
    assert_eq!((got.text("region"), got.json("has_entity")), ("eu".into(), "false"));
    assert!(!got.text("accessor").is_empty() && got.text("accessor") != bench.root);
}

#[tokio::test]
async fn entities_and_groups_are_refused_as_long_as_there_is_no_identity_store() {
    let bench = core_with_engine().await;
    for path in ["c/entity", "c/groups"] {
        let error = bench.fails(Verb::Read, path, "").await.to_string();
        assert!(error.contains("entities and groups are not offered here"), "{error}");
    }
}

#[tokio::test]
async fn an_engine_refuses_requests_with_its_own_status() {
    let bench = core_with_engine().await;
    let error = bench.fails(Verb::Read, "c/denied", "").await;
    assert_eq!((error.engine_status(), error.client_message()), (Some(403), Some("not yours")));
    let error = bench.fails(Verb::Write, "c/conflict", "").await;
    assert_eq!((error.engine_status(), error.client_message()), (Some(409), Some("taken")));
}
