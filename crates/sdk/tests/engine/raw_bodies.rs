//! Paths that get the request's body unparsed.

use strongroom_sdk::testing::{Harness, Transport, json};
use strongroom_sdk::{
    Blueprint, Context, Error, FreeForm, Input, RawRequestBody, Response, ResponseData, contract,
};

/// Where the file is stored.
#[derive(Input)]
struct UploadInput {
    /// Name of the file; taken from the path.
    name: String,
    /// How it is read.
    mode: String,
}

#[derive(ResponseData)]
struct UploadResponse {
    name: String,
    mode: String,
    content_type: String,
    length: u64,
}

async fn upload(_: Context, to: UploadInput, body: RawRequestBody) -> Result<Response, Error> {
    let length = u64::try_from(body.bytes.len()).unwrap();
    let content_type = body.content_type;
    Ok(Response::data(&UploadResponse { name: to.name, mode: to.mode, content_type, length }))
}

fn uploading_engine() -> Blueprint {
    Blueprint::new("uploading", "1.0.0").help("Takes files.").raw_body(
        "files/{name}",
        "Takes a file.",
        upload,
    )
}

#[tokio::test]
async fn a_linked_engine_gets_the_body_and_the_query() {
    Harness::run_on(&[Transport::Linked], uploading_engine(), |host| async move {
        assert_eq!(host.description().special_paths.binary, ["files/+"]);
        let content_type = "application/pkix-crl".to_owned();
        let bytes = vec![0, 159, 255].into();
        let body = RawRequestBody { content_type, bytes };
        let response =
            host.write_raw("files/a", json!({ "mode": "der", "name": "b" }), body).await.unwrap();
        assert_eq!(
            response.data_json(),
            r#"{"content_type":"application/pkix-crl","length":3,"mode":"der","name":"a"}"#
        );
        assert!(host.patch("files/a", json!({})).await.is_err());
    })
    .await;
}

#[tokio::test]
async fn a_plug_in_with_a_raw_body_path_is_refused_with_the_reason() {
    for transport in [Transport::Wire, Transport::Foreign] {
        let engine = Blueprint::new("plain", "1.0.0").free_form("{path..}", "", FreeForm::new());
        Harness::run_one(engine, transport, |host| async move {
            host.crash().await;
            let before = host.try_reopen_with(uploading_engine()).await.unwrap_err();
            assert_eq!(
                before,
                "the plug-in refused to be set up: the path \"files/+\" takes raw request bodies, \
                 which the plug-in protocol can't carry: link the engine into the server"
            );
        })
        .await;
    }
}

#[tokio::test]
async fn an_engine_with_raw_bodies_passes_the_contract() {
    contract::check(uploading_engine(), &[]).await;
}
