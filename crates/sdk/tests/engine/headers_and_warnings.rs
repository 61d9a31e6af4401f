//! Response headers and warnings of all that an engine answers, on each transport.

use std::collections::BTreeMap;

use strongroom_sdk::document_hooks::{DeleteHook, DocumentDelete};
use strongroom_sdk::testing::{Harness, json};
use strongroom_sdk::{
    Blueprint, ByName, Context, Credential, CredentialName, Document, Error, Identifier,
    IssueRequest, IssuedCredential, Lifetime, NotRenewable, RawResponse, Receipt, Response,
    ResponseData, RevokeContext, RevokeOutcome, UndoByName, UndoOutcome,
};

/// A setting.
#[derive(Document)]
#[document(path = "config", DeleteHook)]
struct Config {
    /// A text.
    text: String,
}

impl DeleteHook for Config {
    async fn before_delete(&self, delete: &mut DocumentDelete<'_>) -> Result<(), Error> {
        if self.text == "in use" {
            delete.warn("it was in use");
        }
        Ok(())
    }
}

#[derive(ResponseData)]
struct TextResponse {
    text: String,
}

#[derive(Receipt)]
struct KeyReceipt {
    name: Identifier,
}

struct KeyCredential;

impl Credential for KeyCredential {
    const KIND: &'static str = "key";
    const PATH: &'static str = "creds";
    const HELP: &'static str = "A key.";
    type Config = ();
    type Role = ();
    type Input = ();
    type Response = TextResponse;
    type Receipt = KeyReceipt;
    type Renewal = NotRenewable;
    type Undo = ByName;

    fn lifetime((): &()) -> Lifetime {
        Lifetime::default()
    }

    async fn issue(&self, _: &IssueRequest<'_, Self>) -> Result<IssuedCredential<Self>, Error> {
        let name = Identifier::parse("key").ok_or_else(|| Error::internal("no name"))?;
        let response = TextResponse { text: "k".to_owned() };
        let issued = IssuedCredential::new(response, KeyReceipt { name });
        Ok(issued.warn("short").header("X-Key", "a").header("X-Key", "b"))
    }

    async fn revoke(
        &self,
        _: &RevokeContext<'_, Self>,
        _: &KeyReceipt,
    ) -> Result<RevokeOutcome, Error> {
        Ok(RevokeOutcome::Now)
    }
}

impl UndoByName for KeyCredential {
    async fn undo(
        &self,
        _: &RevokeContext<'_, Self>,
        _: &CredentialName,
    ) -> Result<UndoOutcome, Error> {
        Ok(UndoOutcome::Removed)
    }
}

async fn raw(_: Context, (): ()) -> Result<Response, Error> {
    let headers = [("pragma".to_owned(), "no-cache".to_owned())];
    let (content_type, body) = ("text/plain".to_owned(), b"x".to_vec());
    let raw = RawResponse { status: 200, content_type, body, headers: BTreeMap::from(headers) };
    Ok(Response::raw(raw).header("X-Next", "/a"))
}

#[tokio::test]
async fn credentials_deletes_and_raw_responses_carry_headers_and_warnings() {
    let engine = Blueprint::new("headers", "1.0.0")
        .document::<Config>()
        .credential(KeyCredential)
        .read("raw", "A raw response.", raw);
    Harness::run(engine, |host| async move {
        let credential = host.read("creds").await.unwrap();
        assert_eq!(credential.headers["X-Key"], ["a", "b"]);
        assert_eq!(credential.warnings, ["short"]);
        let raw = host.read("raw").await.unwrap().raw.unwrap();
        let headers: Vec<_> = raw.headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        assert_eq!(headers, [("pragma", "no-cache"), ("x-next", "/a")]);
        host.write("config", json!({ "text": "free" })).await.unwrap();
        assert_eq!(host.delete("config").await.unwrap().warnings, [""; 0]);
        host.write("config", json!({ "text": "in use" })).await.unwrap();
        assert_eq!(host.delete("config").await.unwrap().warnings, ["it was in use"]);
        assert!(host.read("config").await.is_err());
    })
    .await;
}
