//! Responses that send the client to another URL, on each transport.

use strongroom_sdk::testing::{Harness, json};
use strongroom_sdk::{Blueprint, Context, Error, Input, Response};

/// Where to redirect to.
#[derive(Input)]
struct TargetInput {
    /// A URL.
    #[field(required)]
    url: String,
}

async fn redirect(_: Context, input: TargetInput) -> Result<Response, Error> {
    Ok(Response::redirect(input.url)?.warn("ignored"))
}

fn redirecting_engine() -> Blueprint {
    Blueprint::new("redirecting", "1.0.0").write("go", "Redirects to a URL.", redirect)
}

#[tokio::test]
async fn a_redirect_reaches_the_client_on_each_transport() {
    Harness::run(redirecting_engine(), |host| async move {
        let url = "https://idp.example.com/authorize?state=a%20b";
        // The warning about the unknown field is dropped: a redirect has no body.
        let response = host.write("go", json!({ "url": url, "other": 1 })).await.unwrap();
        assert_eq!(response.redirect.unwrap().as_str(), url);
        assert!(response.data.is_empty() && response.warnings.is_empty());
    })
    .await;
}

#[tokio::test]
async fn targets_that_could_harm_the_client_are_user_errors() {
    Harness::run(redirecting_engine(), |host| async move {
        for url in ["javascript://x/hunter2", "https://a/\r\nSet-Cookie: hunter2", "/hunter2"] {
            let error = host.write("go", json!({ "url": url })).await.unwrap_err();
            assert!(error.message.starts_with("the URL to redirect to "), "{error}");
            assert!(!error.message.contains("hunter2"), "{error}");
        }
    })
    .await;
}
