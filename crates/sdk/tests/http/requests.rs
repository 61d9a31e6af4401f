//! What is sent, and how responses are read.

use serde::{Deserialize, Serialize};
use strongroom_sdk::http::{Method, serialize_exposed};
use strongroom_sdk::{Identifier, RevokeOutcome};
use strongroom_types::clock::ManualClock;

use super::misbehaving_server::{MisbehavingServer, respond};
use super::*;

#[tokio::test]
async fn values_are_escaped() {
    let server = MisbehavingServer::start(|_, _| respond("200 OK", "", "{}")).await;
    let (http, clock) = (client(), ManualClock::default());
    let service = service(&http, &clock, &format!("{}/base/", server.url));
    let request =
        service.get("/a/:id/b/:id2").path_value("id2", "ü").path_value("id", "x/../y?z#%");
    let request = request.query("filter", "Name == \"a b\"").query("and", "1+1=2&3");
    request.header("x-plain", "one").header("x-plain", "two").send().await.unwrap();
    let sent = server.requests()[0].clone();
    let line = "GET /base/a/x%2F..%2Fy%3Fz%23%25/b/%C3%BC?filter=Name%20%3D%3D%20%22a%20b%22\
                &and=1%2B1%3D2%263 HTTP/1.1\r\n";
    assert!(sent.starts_with(line), "{sent}");
    assert!(sent.contains("\r\nx-plain: two\r\n") && !sent.contains("one"), "{sent}");
    assert!(sent.contains("\r\naccept: application/json\r\n"), "{sent}");
}

#[tokio::test]
async fn a_request_that_makes_no_sense_is_not_sent() {
    let server = MisbehavingServer::start(|_, _| respond("200 OK", "", "{}")).await;
    let (http, clock) = (client(), ManualClock::default());
    let service = service(&http, &clock, &server.url);
    let split = Secret::from_text("hunter2\r\nx-admin: 1");
    for (request, text) in [
        (service.post("/a/:id"), "a value of its path is missing"),
        (
            service.post("/a/:id").path_value("id", ".."),
            "a value in its path is empty or made of dots",
        ),
        (
            service.post("/a/:id").path_value("id", ""),
            "a value in its path is empty or made of dots",
        ),
        (
            service.clone().bearer_token(&split).post("/a"),
            "a header has characters that no header may have",
        ),
        (
            service.post("/a").secret_header("x-a", &split),
            "a header has characters that no header may have",
        ),
        (service.post("/a b"), "its URL is malformed"),
    ] {
        let error = request.send().await.unwrap_err();
        assert!(!error.may_have_taken_effect() && error.status().is_none());
        assert!(Error::from(error).to_string().ends_with(&format!(" can't be sent: {text}")));
    }
    assert!(server.requests().is_empty());
}

#[derive(Serialize)]
struct Login<'a> {
    user: &'a str,
    #[serde(serialize_with = "serialize_exposed")]
    password: &'a Secret<String>,
}

#[tokio::test]
async fn bodies_are_json_or_forms() {
    let server = MisbehavingServer::start(|_, _| respond("200 OK", "", "{}")).await;
    let (http, clock) = (client(), ManualClock::default());
    let password = Secret::from_text("p&\"w");
    let service = service(&http, &clock, &server.url).basic_auth("user", &password);
    service.post("/x").json(&Login { user: "u", password: &password }).send().await.unwrap();
    let form = [("grant_type", "a b"), ("client_secret", password.expose_secret())];
    service.request(Method::PATCH, "/x").form(&form).send().await.unwrap();
    service.delete("/x").send().await.unwrap();
    let sent = server.requests();
    assert!(sent[0].contains("\r\ncontent-type: application/json\r\n"), "{}", sent[0]);
    assert!(sent[0].ends_with("\r\n\r\n{\"user\":\"u\",\"password\":\"p&\\\"w\"}"), "{}", sent[0]);
    // "user:p&\"w" in base64.
    assert!(sent[0].contains("\r\nauthorization: Basic dXNlcjpwJiJ3\r\n"), "{}", sent[0]);
    assert!(sent[1].contains("\r\ncontent-type: application/x-www-form-urlencoded\r\n"));
    assert!(sent[1].ends_with("\r\n\r\ngrant_type=a%20b&client_secret=p%26%22w"), "{}", sent[1]);
    assert!(sent[2].ends_with("\r\n\r\n") && !sent[2].contains("content-type"), "{}", sent[2]);
}

#[derive(Deserialize)]
struct CreatedToken {
    #[serde(deserialize_with = "strongroom_sdk::http::plain_identifier")]
    id: Identifier,
    token: Secret<String>,
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_may_have_taken_effect() {
    let (http, clock) = (client(), ManualClock::default());
    let answers = async |body: &'static str| {
        let server = MisbehavingServer::start(move |_, _| respond("201 Made", "", body)).await;
        service(&http, &clock, &server.url).post("/x").send().await.unwrap()
    };
    let made: CreatedToken =
        answers(r#"{"id":"a-1","token":"hunter3","more":[]}"#).await.read_json().unwrap();
    assert!(made.id.as_str() == "a-1" && made.token.ct_eq(b"hunter3"));
    let field: CreatedToken =
        answers(r#"{"data":{"id":"a","token":"t"}}"#).await.read_json_field("data").unwrap();
    assert_eq!(field.id.as_str(), "a");
    for body in [
        "hunter3",
        "",
        "null",
        r#"{"id":"a"}"#,
        r#"{"id":"../a","token":"hunter3"}"#,
        r#"{"id":"a","token":""}"#,
        r#"{"id":"a","token":4711}"#,
    ] {
        let unreadable = ("POST /x got no answer: the answer can't be read".to_owned(), true);
        let error = answers(body).await.read_json::<CreatedToken>().err().unwrap();
        assert_eq!(reason(error), unreadable, "{body}");
        let error = answers(body).await.read_json_field::<CreatedToken>("data").err().unwrap();
        assert_eq!(reason(error), unreadable, "{body}");
    }
}

#[tokio::test]
async fn only_named_statuses_are_returned() {
    let (http, clock) = (client(), ManualClock::default());
    let server = MisbehavingServer::start(|number, _| match number {
        0 => respond("204 Done", "", ""),
        1 | 2 => respond("404 No", "", "{\"id\":\"a\",\"token\":\"t\"}"),
        3 => respond("403 No", "", ""),
        _ => respond("422 No", "", "no\nsuch\u{1b}[31m region, hunter2"),
    })
    .await;
    let service = service(&http, &clock, &server.url);
    let revoke = async || service.delete("/x").send_revocation(&[404]).await;
    assert_eq!(revoke().await.unwrap(), RevokeOutcome::Now);
    assert_eq!(revoke().await.unwrap(), RevokeOutcome::AlreadyGone);
    // The body of a failure is not read as if it were a success.
    let handled = service.get("/x").handle_statuses(&[404]).send().await.unwrap();
    assert_eq!(handled.status(), 404);
    assert_eq!(handled.read_json::<CreatedToken>().err().unwrap().status(), Some(404));
    assert_eq!(revoke().await.unwrap_err().status(), Some(403));

    let handled = service.post("/x").handle_statuses(&[422]).send().await.unwrap();
    assert!(handled.contains_text("no\nsuch"));
    assert_eq!(handled.quotable_text(100), "no such [31m region, [secret]");
    assert_eq!(handled.quotable_text(7), "no such…");
    assert_eq!(reason(handled.unexpected_status()), ("POST /x answered 422".to_owned(), false));
}

#[tokio::test]
async fn connections_are_used_again() {
    let (http, clock) = (client(), ManualClock::default());
    let keep = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
    let server =
        MisbehavingServer::start(move |_, _| misbehaving_server::send_and_hang(keep)).await;
    let service = service(&http, &clock, &server.url);
    service.get("/x").send().await.unwrap();
    let second = service.get("/x").query("n", "2").send();
    // The server reads only one request per connection, so the second one hangs on the first.
    let error = while_time_passes(second, &clock, &server, secs(10)).await.unwrap_err();
    assert!(error.is_timeout());
    assert_eq!(server.requests().len(), 1);
}
