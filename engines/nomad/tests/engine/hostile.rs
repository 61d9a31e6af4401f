//! Servers that misbehave.

use std::sync::{Arc, Mutex};

use strongroom_engine_nomad::blueprint;
use strongroom_fakes::hostile::{HostileServer, raw_response};
use strongroom_sdk::testing::{Harness, TestError, TestHost};

use super::{configure_engine, secs};

const TOKEN: &str = "s3cr3t-management-token";
const SECRET: &str = "d964f4b3-3759-040e-5d07-cae8658c59cd";
const ACCESSOR: &str = "56344737-2b4c-7a56-94fe-38549de0504a";

async fn start_hostile(answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> HostileServer {
    HostileServer::start(answer).await.unwrap()
}

fn request_method(head: &str) -> &str {
    head.split_whitespace().next().unwrap_or_default()
}

async fn issuing_error(host: &TestHost, hostile: &HostileServer) -> TestError {
    configure_engine(host, hostile.url(), TOKEN).await;
    let error = host.read("creds/ci").await.unwrap_err();
    assert!(!error.message.contains(TOKEN) && !error.message.contains(SECRET), "{error}");
    error
}

#[tokio::test]
async fn a_redirection_does_not_carry_the_token_away() {
    Harness::run(blueprint(), |host| async move {
        let thief = start_hostile(|_| raw_response("200 OK", "", "{}")).await;
        let location = format!("location: {}/v1/acl/token\r\n", thief.url());
        let hostile = start_hostile(move |_| raw_response("307 Go", &location, "")).await;
        let error = issuing_error(&host, &hostile).await;
        assert_eq!(error.message, "nomad: POST /v1/acl/token answered 307");
        assert!(thief.request_lines().is_empty());
    })
    .await;
}

#[tokio::test]
async fn an_oversized_answer_is_not_read() {
    Harness::run(blueprint(), |host| async move {
        let endless = format!("{{\"SecretID\":\"{}", "x".repeat(600 << 10));
        let hostile = start_hostile(move |_| raw_response("200 OK", "", &endless)).await;
        let error = issuing_error(&host, &hostile).await;
        assert_eq!(
            error.message,
            "nomad: POST /v1/acl/token got no answer: the answer is too long"
        );
        assert_eq!(host.open_intents().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn an_invalid_answer_is_not_quoted_and_leaves_an_intent() {
    Harness::run(blueprint(), |host| async move {
        let body = |accessor: &str, secret: &str| {
            format!(r#"{{"AccessorID":{accessor},"SecretID":{secret},"ExpirationTime":null}}"#)
        };
        let (quoted, secret) = (format!("\"{ACCESSOR}\""), format!("\"{SECRET}\""));
        for body in [
            format!("{SECRET} is your token"),
            "null".to_owned(),
            "[]".to_owned(),
            body("\"../jobs\"", &secret),
            body("\"a?b=c\"", &secret),
            body("\"\"", &secret),
            body("7", &secret),
            body(&quoted, "\"\""),
            body(&quoted, "null"),
        ] {
            let before = host.open_intents().len();
            let answer = body.clone();
            let hostile = start_hostile(move |_| raw_response("200 OK", "", &answer)).await;
            let error = issuing_error(&host, &hostile).await;
            assert_eq!(
                error.message, "nomad: POST /v1/acl/token got no answer: the answer can't be read",
                "{body}"
            );
            assert_eq!(host.open_intents().len(), before + 1, "{body}");
            assert_eq!(hostile.request_lines(), ["POST /v1/acl/token HTTP/1.1"], "{body}");
        }
    })
    .await;
}

/// A long refusal that quotes the token is neither repeated nor read to its end, and a lifetime
/// limit that makes no sense is not tried.
#[tokio::test]
async fn a_refusal_is_not_repeated_to_the_client() {
    Harness::run(blueprint(), |host| async move {
        let limit = |limit: &str| {
            format!("expiration time cannot be more than {limit} in the future ({SECRET})")
        };
        for text in [SECRET.repeat(200), limit("0s"), limit("-1h"), limit("9999h"), limit(TOKEN)] {
            let hostile = start_hostile(move |head| match request_method(head) {
                "POST" => raw_response("400 Bad Request", "", &text),
                _ => raw_response("200 OK", "", "[]"),
            })
            .await;
            let error = issuing_error(&host, &hostile).await;
            assert_eq!(error.message, "nomad: POST /v1/acl/token answered 400");
            let posts =
                hostile.request_lines().iter().filter(|line| line.starts_with("POST")).count();
            assert_eq!(posts, 1);
        }
    })
    .await;
}

/// A server that lowers its limit each time is asked twice, not more often.
#[tokio::test]
async fn a_lowered_expiration_limit_is_retried_only_once() {
    Harness::run(blueprint(), |host| async move {
        let asked = Mutex::new(600);
        let hostile = start_hostile(move |head| {
            if request_method(head) != "POST" {
                return raw_response("200 OK", "", "[]");
            }
            let mut limit = asked.lock().unwrap();
            *limit -= 1;
            let text = format!("expiration time cannot be more than {}s in the future", *limit);
            raw_response("400 Bad Request", "", &text)
        })
        .await;
        let error = issuing_error(&host, &hostile).await;
        assert_eq!(error.message, "nomad: POST /v1/acl/token answered 400");
        let posts = hostile.request_lines().iter().filter(|line| line.starts_with("POST")).count();
        assert_eq!(posts, 2);
    })
    .await;
}

#[tokio::test]
async fn a_gateway_timeout_leaves_the_intent_pending() {
    Harness::run(blueprint(), |host| async move {
        for status in ["408 Late", "500 Odd", "502 Bad", "503 Busy", "504 Late", "520 Odder"] {
            let before = host.open_intents().len();
            let hostile = start_hostile(move |head| match request_method(head) {
                "POST" => raw_response(status, "", SECRET),
                _ => raw_response("200 OK", "", "[]"),
            })
            .await;
            let error = issuing_error(&host, &hostile).await;
            let code = &status[..3];
            assert_eq!(error.message, format!("nomad: POST /v1/acl/token answered {code}"));
            assert_eq!(
                host.open_intents().len(),
                before + 1,
                "that nothing is there yet says nothing"
            );
        }
    })
    .await;
}

/// Only Nomad's own text counts: a 404 may come from a proxy, and a 400 may mean anything.
#[tokio::test]
async fn only_nomads_own_error_counts_as_revoked() {
    Harness::run(blueprint(), |host| async move {
        let made = format!(
            r#"{{"AccessorID":"{ACCESSOR}","SecretID":"{SECRET}","ExpirationTime":"2030-01-01T00:10:00Z"}}"#
        );
        let gone = "Cannot delete nonexistent tokens: ";
        let answers = Arc::new(Mutex::new(("404 Not Found", String::new())));
        let told = answers.clone();
        let hostile = start_hostile(move |head| match request_method(head) {
            "POST" => raw_response("200 OK", "", &made),
            _ => {
                let (status, text) = &*told.lock().unwrap();
                raw_response(status, "", text)
            }
        })
        .await;
        configure_engine(&host, hostile.url(), TOKEN).await;
        let got = host.read("creds/ci").await.unwrap();
        let other = format!("{gone}11111111-2b4c-7a56-94fe-38549de0504a");
        let cases = [
            ("404 Not Found", "ACL token not found".to_owned()),
            ("404 Not Found", format!("{gone}{ACCESSOR}")),
            ("400 Bad Request", "no such route".to_owned()),
            ("400 Bad Request", other),
            ("302 Found", String::new()),
            ("503 Busy", format!("{gone}{ACCESSOR}")),
        ];
        for (status, text) in cases {
            *answers.lock().unwrap() = (status, text);
            let error = host.revoke(&got.lease().id).await.unwrap_err();
            let code = &status[..3];
            let said = format!("nomad: DELETE /v1/acl/token/:accessor answered {code}");
            assert_eq!(error.message, said);
        }
        *answers.lock().unwrap() = ("400 Bad Request", format!("{gone}{ACCESSOR}"));
        host.revoke(&got.lease().id).await.unwrap();
    })
    .await;
}

/// The server ignores the filter and returns everybody's tokens, on several pages.
#[tokio::test]
async fn an_undo_deletes_what_has_the_name_and_nothing_else() {
    Harness::run(blueprint(), |host| async move {
        let hostile = start_hostile(|head| match request_method(head) {
            "POST" => raw_response("504 Late", "", ""),
            "GET" => {
                let unique = head.split("%22").nth(1).unwrap_or_default().to_owned();
                let token = |accessor: &str, name: &str| {
                    format!(r#"{{"AccessorID":"{accessor}","Name":"{name}"}}"#)
                };
                let others = [
                    token("others-1", "x"),
                    token("others-2", ""),
                    token("others-3", &format!("{unique}-and-more")),
                ];
                if head.contains("next_token=page-2") {
                    let ours = token("ours", &format!("strongroom-ci-{unique}"));
                    return raw_response("200 OK", "", &format!("[{ours}]"));
                }
                let more = "x-nomad-nexttoken: page-2\r\n";
                raw_response("200 OK", more, &format!("[{}]", others.join(",")))
            }
            _ => raw_response("200 OK", "", ""),
        })
        .await;
        issuing_error(&host, &hostile).await;
        host.advance(secs(30)).await;
        host.run_periodic().await.unwrap();
        host.wait_until("it is undone", || async { hostile.request_lines().len() >= 4 }).await;
        host.wait_until("that is noted", || async {
            let key = host.open_intents().first().cloned().unwrap_or_default();
            host.stored_entry(&key)
                .is_some_and(|e| String::from_utf8_lossy(&e.value).contains("\"looks\":1"))
        })
        .await;
        let asked = hostile.request_lines();
        assert!(
            asked[1].starts_with("GET /v1/acl/tokens?filter=Name%20contains%20%22"),
            "{asked:?}"
        );
        assert!(asked[2].contains("&next_token=page-2 "), "{asked:?}");
        assert_eq!(asked[3], "DELETE /v1/acl/token/ours HTTP/1.1");
        assert_eq!(asked.len(), 4);
    })
    .await;
}

/// Nothing in a list from a hostile server gets into a path, and the intent stays open.
#[tokio::test]
async fn an_invalid_list_deletes_nothing() {
    Harness::run(blueprint(), |host| async move {
        let said = Arc::new(Mutex::new(String::new()));
        let told = said.clone();
        let hostile = start_hostile(move |head| match request_method(head) {
            "POST" => raw_response("504 Late", "", ""),
            "GET" => {
                let unique = head.split("%22").nth(1).unwrap_or_default();
                let body = told.lock().unwrap().replace("NAME", unique);
                let next = if body == "[]" { "x-nomad-nexttoken: a&b=c/../d\r\n" } else { "" };
                raw_response("200 OK", next, &body)
            }
            _ => raw_response("200 OK", "", ""),
        })
        .await;
        issuing_error(&host, &hostile).await;
        host.advance(secs(30)).await;
        // The empty list continues at an invalid position.
        for body in [
            "[]",
            r#"[{"AccessorID":"../job/a","Name":"NAME"}]"#,
            r#"[{"AccessorID":"","Name":"NAME"}]"#,
            r#"{"AccessorID":"a","Name":"NAME"}"#,
        ] {
            body.clone_into(&mut said.lock().unwrap());
            let before = hostile.request_lines().len();
            host.run_periodic().await.unwrap();
            host.wait_until("it is looked for", || async {
                hostile.request_lines().len() > before
            })
            .await;
        }
        assert_eq!(host.open_intents().len(), 1);
        let odd = |line: &String| line.starts_with("DELETE") || line.contains("next_token");
        assert!(!hostile.request_lines().iter().any(odd));
    })
    .await;
}
