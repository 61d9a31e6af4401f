//! Data and responses that an engine has wrapped, on each transport.

use std::time::Duration;

use strongroom_sdk::testing::{Harness, Transport, json};
use strongroom_sdk::{
    Blueprint, ByName, Context, Credential, CredentialName, Error, Identifier, Input, IssueRequest,
    IssuedCredential, Lifetime, NotRenewable, Receipt, Response, ResponseData, RevokeContext,
    RevokeOutcome, Secret, Ttl, UndoByName, UndoOutcome,
};

/// How to wrap.
#[derive(Input)]
struct WrapInput {
    /// Lifetime in seconds.
    secs: u64,
    /// Which response: data, empty, raw or redirect.
    kind: String,
}

#[derive(ResponseData)]
struct KeyResponse {
    node_key: Secret<String>,
}

#[derive(ResponseData)]
struct TokenResponse {
    wrapping_token: Secret<String>,
    ttl_secs: u64,
    creation_path: String,
}

fn key() -> KeyResponse {
    KeyResponse { node_key: Secret::from_text("hunter2") }
}

async fn wrap_data(context: Context, input: WrapInput) -> Result<Response, Error> {
    let wrapping = context.wrap_data(&key(), Ttl::from_secs(input.secs)).await?;
    assert!(!format!("{wrapping:?}").contains(wrapping.token.expose_secret().as_str()));
    Ok(Response::unleased_secret(&TokenResponse {
        wrapping_token: wrapping.token,
        ttl_secs: wrapping.ttl.as_secs(),
        creation_path: wrapping.creation_path,
    }))
}

async fn wrap_response(_: Context, input: WrapInput) -> Result<Response, Error> {
    let response = match input.kind.as_str() {
        "empty" => Response::no_content(),
        "raw" => Response::raw(strongroom_sdk::RawResponse {
            status: 200,
            content_type: "text/plain".to_owned(),
            body: b"hunter2".to_vec(),
            headers: std::collections::BTreeMap::new(),
        }),
        "redirect" => Response::redirect("https://example.com/hunter2")?,
        "missing" => Response::not_found_with_data(&key()),
        _ => Response::unleased_secret(&key()),
    };
    Ok(response.wrapped(Ttl::from_secs(input.secs)))
}

#[derive(Receipt)]
struct KeyReceipt {
    name: Identifier,
}

struct WrappedKey(u64);

impl Credential for WrappedKey {
    const KIND: &'static str = "key";
    const PATH: &'static str = "creds";
    const HELP: &'static str = "A key, wrapped.";
    type Config = ();
    type Role = ();
    type Input = ();
    type Response = KeyResponse;
    type Receipt = KeyReceipt;
    type Renewal = NotRenewable;
    type Undo = ByName;

    fn lifetime((): &()) -> Lifetime {
        Lifetime::default()
    }

    async fn issue(&self, _: &IssueRequest<'_, Self>) -> Result<IssuedCredential<Self>, Error> {
        let name = Identifier::parse("key").ok_or_else(|| Error::internal("no name"))?;
        Ok(IssuedCredential::new(key(), KeyReceipt { name }).wrapped(Ttl::from_secs(self.0)))
    }

    async fn revoke(
        &self,
        _: &RevokeContext<'_, Self>,
        _: &KeyReceipt,
    ) -> Result<RevokeOutcome, Error> {
        Ok(RevokeOutcome::Now)
    }
}

impl UndoByName for WrappedKey {
    async fn undo(
        &self,
        _: &RevokeContext<'_, Self>,
        _: &CredentialName,
    ) -> Result<UndoOutcome, Error> {
        Ok(UndoOutcome::Removed)
    }
}

fn wrapping_engine(credential_wrap_secs: u64) -> Blueprint {
    Blueprint::new("wrapping", "1.0.0")
        .write("data", "Wraps data.", wrap_data)
        .write("response", "Has its response wrapped.", wrap_response)
        .credential(WrappedKey(credential_wrap_secs))
}

#[tokio::test]
async fn wrapped_data_can_be_taken_once_and_expires() {
    Harness::run(wrapping_engine(60), |host| async move {
        let response = host.write("data", json!({ "secs": 60 })).await.unwrap();
        assert_eq!(response.field_json("ttl_secs"), "60");
        assert_eq!(response.text("creation_path"), "sys/wrapping/wrap");
        let token = response.text("wrapping_token");
        assert_eq!(host.unwrap_data(&token).unwrap().text("node_key").unwrap(), "hunter2");
        assert!(host.unwrap_data(&token).is_none());
        let late = host.write("data", json!({ "secs": 60 })).await.unwrap().text("wrapping_token");
        host.advance(Duration::from_secs(60)).await;
        assert!(host.unwrap_data(&late).is_none());
        // The mount's maximum.
        let long = host.write("data", json!({ "secs": 999_999_999 })).await.unwrap();
        assert_eq!(long.field_json("ttl_secs"), (32 * 24 * 3600).to_string());
        let error = host.write("data", json!({ "secs": 0 })).await.unwrap_err();
        assert!(error.message.ends_with("a wrapping token needs a lifetime"), "{error}");
    })
    .await;
}

#[tokio::test]
async fn the_wish_to_wrap_a_response_reaches_the_host() {
    Harness::run(wrapping_engine(60), |host| async move {
        let response = host.write("response", json!({ "secs": 90 })).await.unwrap();
        assert_eq!(response.wrap_ttl, Some(Ttl::from_secs(90)));
        let empty = host.write("response", json!({ "secs": 90, "kind": "empty" })).await.unwrap();
        assert!(empty.wrap_ttl.is_none() && empty.data.is_empty());
        let credential = host.read("creds").await.unwrap();
        assert_eq!(credential.wrap_ttl, Some(Ttl::from_secs(60)));
        credential.lease();
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_wrapped_is_an_error_and_never_sent_unwrapped() {
    Harness::run_on(&[Transport::Linked, Transport::Wire], wrapping_engine(0), |host| async move {
        for body in [
            json!({ "secs": 0 }),
            json!({ "secs": 9, "kind": "raw" }),
            json!({ "secs": 9, "kind": "redirect" }),
            json!({ "secs": 9, "kind": "missing" }),
        ] {
            let error = host.write("response", &body).await.unwrap_err();
            assert!(error.message.contains("wrapped"), "{body} {error}");
            assert!(!error.message.contains("hunter2"), "{body} {error}");
        }
        // What was issued is undone.
        assert!(host.read("creds").await.is_err());
        host.settle_intents().await;
        assert!(host.leases().is_empty());
        assert_eq!(host.open_intents().len(), 0);
    })
    .await;
}
