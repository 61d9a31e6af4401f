//! Token services that misbehave.

use std::sync::{Arc, Mutex};

use strongroom_engine_api_token::blueprint;
use strongroom_sdk::testing::{Harness, TestError, TestHost};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

use super::{SERVICE_API_KEY, configure_engine, secs};

/// A service that responds as the test says and records its requests.
#[derive(Clone)]
struct HostileService {
    url: String,
    request_heads: Arc<Mutex<Vec<String>>>,
}

impl HostileService {
    /// `answer` gets the head of a request and returns the whole response.
    async fn start(answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let hostile = Self { url, request_heads: asked.clone() };
        TaskTracker::new().spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut head = Vec::new();
                let mut chunk = [0; 4096];
                while !head.windows(4).any(|end| end == b"\r\n\r\n") {
                    let read = stream.read(&mut chunk).await.unwrap();
                    head.extend_from_slice(&chunk[..read]);
                }
                let head = String::from_utf8_lossy(&head).into_owned();
                let response = answer(&head);
                asked.lock().unwrap().push(head);
                // The client may stop reading early.
                let _ = stream.write_all(&response).await;
            }
        });
        hostile
    }

    fn request_lines(&self) -> Vec<String> {
        let heads = self.request_heads.lock().unwrap();
        heads.iter().map(|head| head.lines().next().unwrap_or_default().to_owned()).collect()
    }
}

fn raw_response(status: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n{body}"
    )
    .into_bytes()
}

async fn issuing_error(host: &TestHost, hostile: &HostileService) -> TestError {
    configure_engine(host, &hostile.url).await;
    let error = host.read("creds/ci").await.unwrap_err();
    assert!(!error.message.contains(SERVICE_API_KEY) && !error.message.contains("tok_"), "{error}");
    error
}

#[tokio::test]
async fn a_redirection_does_not_carry_the_key_away() {
    Harness::run(blueprint(), |host| async move {
        let thief = HostileService::start(|_| raw_response("200 OK", "", "{}")).await;
        let location = format!("location: {}/tokens\r\n", thief.url);
        let hostile = HostileService::start(move |_| raw_response("307 Go", &location, "")).await;
        let error = issuing_error(&host, &hostile).await;
        assert_eq!(error.message, "token service: POST /tokens answered 307");
        assert!(thief.request_lines().is_empty());
    })
    .await;
}

#[tokio::test]
async fn an_oversized_answer_is_not_read() {
    Harness::run(blueprint(), |host| async move {
        let endless = format!("{{\"token\":\"tok_{}", "x".repeat(64 << 10));
        let hostile = HostileService::start(move |_| raw_response("201 Made", "", &endless)).await;
        let error = issuing_error(&host, &hostile).await;
        assert_eq!(
            error.message,
            "token service: POST /tokens got no answer: the answer is too long"
        );
    })
    .await;
}

#[tokio::test]
async fn an_invalid_answer_is_not_quoted_and_leaves_an_intent() {
    Harness::run(blueprint(), |host| async move {
        for body in [
            "tok_secret is your token",
            r#"{"id":"../stats","token":"tok_secret"}"#,
            r#"{"id":"a?b=c","token":"tok_secret"}"#,
            r#"{"id":"a","token":""}"#,
            r#"{"id":"","token":"tok_secret"}"#,
            r#"{"id":7,"token":"tok_secret"}"#,
        ] {
            let before = host.open_intents().len();
            let hostile = HostileService::start(move |_| raw_response("201 Made", "", body)).await;
            let error = issuing_error(&host, &hostile).await;
            assert_eq!(
                error.message,
                "token service: POST /tokens got no answer: the answer can't be read",
                "{body}"
            );
            assert_eq!(host.open_intents().len(), before + 1, "{body}");
            assert_eq!(hostile.request_lines(), ["POST /tokens HTTP/1.1"], "{body}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_gateway_timeout_leaves_the_intent_pending() {
    Harness::run(blueprint(), |host| async move {
        let hostile = HostileService::start(|head| match head.split_whitespace().next() {
            Some("POST") => raw_response("504 Late", "", "tok_secret"),
            _ => raw_response("200 OK", "", r#"{"tokens":[]}"#),
        })
        .await;
        let error = issuing_error(&host, &hostile).await;
        assert_eq!(error.message, "token service: POST /tokens answered 504");
        assert_eq!(host.open_intents().len(), 1, "that nothing is there yet says nothing");
    })
    .await;
}

#[tokio::test]
async fn an_undo_deletes_what_has_the_name_and_nothing_else() {
    Harness::run(blueprint(), |host| async move {
        // The service ignores the filter and returns everybody's tokens.
        let name = Arc::new(Mutex::new(String::new()));
        let hostile = HostileService::start({
            let name = name.clone();
            move |head| match head.split_whitespace().next() {
                Some("POST") => raw_response("504 Late", "", ""),
                Some("GET") => {
                    let asked = head.split("name=").nth(1).unwrap_or_default();
                    let asked = asked.split_whitespace().next().unwrap_or_default().to_owned();
                    *name.lock().unwrap() = asked.clone();
                    let list = format!(
                        r#"{{"tokens":[{{"id":"others","name":"x"}},{{"id":"ours","name":"{asked}"}}]}}"#
                    );
                    raw_response("200 OK", "", &list)
                }
                _ => raw_response("204 Gone", "", ""),
            }
        })
        .await;
        issuing_error(&host, &hostile).await;
        host.advance(secs(20)).await;
        host.run_periodic().await.unwrap();
        host.wait_until("it is undone", || async { hostile.request_lines().len() >= 3 }).await;
        let asked = hostile.request_lines();
        assert!(asked[1].starts_with("GET /tokens?name=strongroom-ci-token-test-"), "{asked:?}");
        assert_eq!(asked[2], "DELETE /tokens/ours HTTP/1.1");
        host.wait_until("that is noted", || async {
            let key = host.open_intents().first().cloned().unwrap_or_default();
            host.stored_entry(&key)
                .is_some_and(|e| String::from_utf8_lossy(&e.value).contains("\"looks\":1"))
        })
        .await;
        assert_eq!(hostile.request_lines().len(), 3);
    })
    .await;
}
