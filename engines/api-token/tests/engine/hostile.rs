//! Services that misbehave.

use std::sync::{Arc, Mutex};

use strongroom_engine_api_token::blueprint;
use strongroom_sdk::testing::{Harness, Host, Refused};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

use super::{KEY, configure, secs};

/// Answers as it is told, and remembers what it was asked.
#[derive(Clone)]
struct Hostile {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Hostile {
    /// `answer` gets the head of a request and gives the whole response.
    async fn start(answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let hostile = Self { url, asked: asked.clone() };
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
                // The caller may have heard enough.
                let _ = stream.write_all(&response).await;
            }
        });
        hostile
    }

    fn asked(&self) -> Vec<String> {
        let heads = self.asked.lock().unwrap();
        heads.iter().map(|head| head.lines().next().unwrap_or_default().to_owned()).collect()
    }
}

fn response(status: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n{body}"
    )
    .into_bytes()
}

async fn refusal(host: &Host, hostile: &Hostile) -> Refused {
    configure(host, &hostile.url).await;
    let error = host.read("creds/ci").await.unwrap_err();
    assert!(!error.message.contains(KEY) && !error.message.contains("tok_"), "{error}");
    error
}

#[tokio::test]
async fn a_redirection_does_not_carry_the_key_away() {
    Harness::run(blueprint(), |host| async move {
        let thief = Hostile::start(|_| response("200 OK", "", "{}")).await;
        let location = format!("location: {}/tokens\r\n", thief.url);
        let hostile = Hostile::start(move |_| response("307 Go", &location, "")).await;
        let error = refusal(&host, &hostile).await;
        assert_eq!(error.message, "token service: POST /tokens answered 307");
        assert!(thief.asked().is_empty());
    })
    .await;
}

#[tokio::test]
async fn an_answer_without_end_is_not_read() {
    Harness::run(blueprint(), |host| async move {
        let endless = format!("{{\"token\":\"tok_{}", "x".repeat(64 << 10));
        let hostile = Hostile::start(move |_| response("201 Made", "", &endless)).await;
        let error = refusal(&host, &hostile).await;
        assert_eq!(
            error.message,
            "token service: POST /tokens got no answer: the answer is too long"
        );
    })
    .await;
}

#[tokio::test]
async fn an_answer_that_makes_no_sense_is_not_repeated_and_left_to_be_undone() {
    Harness::run(blueprint(), |host| async move {
        for body in [
            "tok_secret is your token",
            r#"{"id":"../stats","token":"tok_secret"}"#,
            r#"{"id":"a?b=c","token":"tok_secret"}"#,
            r#"{"id":"a","token":""}"#,
            r#"{"id":"","token":"tok_secret"}"#,
            r#"{"id":7,"token":"tok_secret"}"#,
        ] {
            let before = host.intents().len();
            let hostile = Hostile::start(move |_| response("201 Made", "", body)).await;
            let error = refusal(&host, &hostile).await;
            assert_eq!(
                error.message,
                "token service: POST /tokens got no answer: the answer can't be read",
                "{body}"
            );
            assert_eq!(host.intents().len(), before + 1, "{body}");
            assert_eq!(hostile.asked(), ["POST /tokens HTTP/1.1"], "{body}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_gateway_that_lost_patience_does_not_speak_for_the_service() {
    Harness::run(blueprint(), |host| async move {
        let hostile = Hostile::start(|head| match head.split_whitespace().next() {
            Some("POST") => response("504 Late", "", "tok_secret"),
            _ => response("200 OK", "", r#"{"tokens":[]}"#),
        })
        .await;
        let error = refusal(&host, &hostile).await;
        assert_eq!(error.message, "token service: POST /tokens answered 504");
        assert_eq!(host.intents().len(), 1, "that nothing is there yet says nothing");
    })
    .await;
}

#[tokio::test]
async fn an_undo_deletes_what_has_the_name_and_nothing_else() {
    Harness::run(blueprint(), |host| async move {
        // It ignores the filter, and so tells of everybody's tokens.
        let name = Arc::new(Mutex::new(String::new()));
        let hostile = Hostile::start({
            let name = name.clone();
            move |head| match head.split_whitespace().next() {
                Some("POST") => response("504 Late", "", ""),
                Some("GET") => {
                    let asked = head.split("name=").nth(1).unwrap_or_default();
                    let asked = asked.split_whitespace().next().unwrap_or_default().to_owned();
                    *name.lock().unwrap() = asked.clone();
                    let list = format!(
                        r#"{{"tokens":[{{"id":"others","name":"x"}},{{"id":"ours","name":"{asked}"}}]}}"#
                    );
                    response("200 OK", "", &list)
                }
                _ => response("204 Gone", "", ""),
            }
        })
        .await;
        refusal(&host, &hostile).await;
        host.advance(secs(20)).await;
        host.tick().await.unwrap();
        host.until("it is undone", || async { hostile.asked().len() >= 3 }).await;
        let asked = hostile.asked();
        assert!(asked[1].starts_with("GET /tokens?name=strongroom-ci-token-test-"), "{asked:?}");
        assert_eq!(asked[2], "DELETE /tokens/ours HTTP/1.1");
        host.until("that is noted", || async {
            let key = host.intents().first().cloned().unwrap_or_default();
            host.stored(&key)
                .is_some_and(|e| String::from_utf8_lossy(&e.value).contains("\"looks\":1"))
        })
        .await;
        assert_eq!(hostile.asked().len(), 3);
    })
    .await;
}
