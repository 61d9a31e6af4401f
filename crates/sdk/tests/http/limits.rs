//! Servers that hang, trickle, flood and break off: each call ends within its limits.

use std::sync::Arc;

use serde_json::{Value, json};
use strongroom_sdk::http::HttpLimits;
use strongroom_types::clock::ManualClock;
use tokio::sync::Notify;

use super::misbehaving_server::{
    MisbehavingServer, ServerStep, respond, send, send_and_hang, unused_url,
};
use super::*;

const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n";

#[tokio::test]
async fn a_server_that_hangs_is_left_in_time() {
    for sent in ["", "HTTP/1.1 200 OK\r\ncont", HEAD, &format!("{HEAD}{{\"a\":")] {
        let (http, clock) = (client(), ManualClock::default());
        let answer = sent.to_owned();
        let server = MisbehavingServer::start(move |_, _| send_and_hang(&answer)).await;
        let call = service(&http, &clock, &server.url).post("/x").json(&json!({})).send();
        let error = while_time_passes(call, &clock, &server, secs(10)).await.unwrap_err();
        assert!(error.is_timeout(), "{sent}");
        assert_eq!(reason(error), ("POST /x got no answer: timed out".to_owned(), true), "{sent}");
    }
}

#[tokio::test]
async fn the_deadline_of_the_request_wins() {
    let (http, clock) = (client(), ManualClock::default());
    let server = MisbehavingServer::start(|_, _| vec![ServerStep::Hang]).await;
    let base = BaseUrl::parse(&server.url).unwrap();
    let until = |deadline| http.service_until(Arc::new(clock.clone()), deadline, &base);
    let call = until(now_plus(&clock, secs(2))).get("/x").send();
    let error = while_time_passes(call, &clock, &server, secs(2)).await.unwrap_err();
    assert_eq!(reason(error), ("GET /x got no answer: timed out".to_owned(), false));
    // With no time left, nothing is sent.
    let error = until(clock.now()).post("/x").send().await.unwrap_err();
    assert_eq!(reason(error), ("POST /x got no answer: timed out".to_owned(), false));
    assert_eq!(server.requests().len(), 1);
}

/// A limit between two bytes would never be reached.
#[tokio::test]
async fn a_trickle_does_not_extend_the_time() {
    let (http, clock) = (client(), ManualClock::default());
    let more = Arc::new(Notify::new());
    let steps: Vec<_> = [ServerStep::Send(HEAD.into())]
        .into_iter()
        .chain(
            (0..50)
                .flat_map(|_| [ServerStep::WaitFor(more.clone()), ServerStep::Send(b" ".into())]),
        )
        .collect();
    let server = MisbehavingServer::start(move |_, _| steps.clone()).await;
    let call = service(&http, &clock, &server.url).put("/x").send();
    let time = async {
        server.wait_for_connections(1).await;
        for _ in 0..10 {
            more.notify_one();
            tokio::task::yield_now().await;
            clock.advance(secs(1));
        }
    };
    let (outcome, ()) = tokio::join!(call, time);
    assert_eq!(reason(outcome.unwrap_err()), ("PUT /x got no answer: timed out".to_owned(), true));
}

#[tokio::test]
async fn connecting_has_a_limit_of_its_own() {
    let (http, clock) = (client(), ManualClock::default());
    // It accepts the connection and doesn't answer the TLS handshake.
    let server = MisbehavingServer::start(|_, _| Vec::new()).await;
    let call = service(&http, &clock, &server.url.replace("http:", "https:")).post("/x").send();
    let error = while_time_passes(call, &clock, &server, secs(5)).await.unwrap_err();
    assert!(error.is_timeout());
    assert_eq!(reason(error), ("POST /x got no answer: connecting timed out".to_owned(), false));
}

#[tokio::test]
async fn a_refused_connection_had_no_effect() {
    let (http, clock) = (client(), ManualClock::default());
    let url = unused_url().await;
    let error = service(&http, &clock, &url).post("/x").send().await.unwrap_err();
    assert!(!error.is_timeout());
    assert_eq!(error.to_string(), format!("POST {}/x got no answer: could not connect", &url[7..]));
    assert_eq!(reason(error), ("POST /x got no answer: could not connect".to_owned(), false));
}

#[tokio::test]
async fn a_body_is_bounded() {
    let announced = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", u64::MAX / 2);
    let flood = |head: &str, text| vec![ServerStep::Send(head.into()), ServerStep::Flood(text)];
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    for steps in [
        send_and_hang(&announced),
        flood("HTTP/1.1 200 OK\r\n\r\n", "[1,2,3]"),
        flood(chunked, "7\r\n[1,2,3]\r\n"),
        respond("200 OK", "", &" ".repeat(1001)),
    ] {
        let (http, clock) = (client(), ManualClock::default());
        let server = MisbehavingServer::start(move |_, _| steps.clone()).await;
        let request = service(&http, &clock, &server.url).post("/x").max_response_bytes(1000);
        let error = request.send().await.unwrap_err();
        assert_eq!(
            reason(error),
            ("POST /x got no answer: the answer is too long".to_owned(), true)
        );
    }
    let (http, clock) = (client(), ManualClock::default());
    let exact = format!("[{}]", " ".repeat(998));
    let server = MisbehavingServer::start(move |_, _| respond("200 OK", "", &exact)).await;
    let request = service(&http, &clock, &server.url).get("/x").max_response_bytes(1000);
    assert_eq!(request.send().await.unwrap().read_json::<Value>().unwrap(), json!([]));
}

#[tokio::test]
async fn headers_are_bounded() {
    let flood =
        |text| vec![ServerStep::Send(b"HTTP/1.1 200 OK\r\n".into()), ServerStep::Flood(text)];
    let many = "x-header: 1\r\n".repeat(200);
    for steps in [
        flood("x-header: value\r\n"),
        flood("x"),
        send_and_hang(&format!("HTTP/1.1 200 OK\r\n{many}\r\n")),
    ] {
        let (http, clock) = (client(), ManualClock::default());
        let server = MisbehavingServer::start(move |_, _| steps.clone()).await;
        let error = service(&http, &clock, &server.url).post("/x").send().await.unwrap_err();
        let expected = "POST /x got no answer: the answer's headers are too long";
        assert_eq!(reason(error), (expected.to_owned(), true));
    }
    let limits = HttpLimits { header_bytes: 8 << 10, ..HttpLimits::default() };
    let (http, clock) = (client().with_limits(limits), ManualClock::default());
    let long = format!("x-header: {}\r\n", "v".repeat(9 << 10));
    let server = MisbehavingServer::start(move |_, _| respond("200 OK", &long, "")).await;
    service(&http, &clock, &server.url).get("/x").send().await.unwrap_err();
}

#[tokio::test]
async fn endless_interim_responses_are_left_in_time() {
    let (http, clock) = (client(), ManualClock::default());
    let server =
        MisbehavingServer::start(|_, _| vec![ServerStep::Flood("HTTP/1.1 102 Processing\r\n\r\n")])
            .await;
    let call = service(&http, &clock, &server.url).post("/x").send();
    let error = while_time_passes(call, &clock, &server, secs(10)).await.unwrap_err();
    assert_eq!(reason(error), ("POST /x got no answer: timed out".to_owned(), true));
}

#[tokio::test]
async fn what_breaks_off_may_have_taken_effect() {
    for (answer, text) in [
        (send(""), "the connection failed"),
        (send("HTTP/1.1 200 OK\r\ncontent-le"), "the connection failed"),
        (send(&format!("{HEAD}{{\"token\":\"hunter2")), "the answer broke off"),
        (
            send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffff\r\nabc"),
            "the answer broke off",
        ),
        (
            send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nhunter2\r\n"),
            "the answer broke off",
        ),
        (send("SSH-2.0-hunter2\r\n\r\n"), "the answer is not HTTP"),
        (send("HTTP/9.9 200 OK\r\n\r\n"), "the answer is not HTTP"),
        (send("HTTP/1.1 999999 OK\r\n\r\n"), "the answer is not HTTP"),
    ] {
        let (http, clock) = (client(), ManualClock::default());
        let server = MisbehavingServer::start(move |_, _| answer.clone()).await;
        let error = service(&http, &clock, &server.url).post("/x").send().await.unwrap_err();
        assert_eq!(reason(error), (format!("POST /x got no answer: {text}"), true));
        assert_eq!(server.requests().len(), 1);
    }
}

/// The status of a failure counts, whatever happens to its text.
#[tokio::test]
async fn a_failures_text_may_be_anything() {
    for (status, effect) in [("403 No", false), ("500 Oh", true), ("503 Busy", true)] {
        let head = format!("HTTP/1.1 {status}\r\ntransfer-encoding: chunked\r\n\r\n");
        let code = &status[..3];
        for steps in [
            send(&format!("{head}7\r\n[1,")),
            vec![ServerStep::Send(head.clone().into()), ServerStep::Flood("7\r\n[1,2,3]\r\n")],
        ] {
            let (http, clock) = (client(), ManualClock::default());
            let server = MisbehavingServer::start(move |_, _| steps.clone()).await;
            let error = service(&http, &clock, &server.url).post("/x").send().await.unwrap_err();
            assert_eq!(reason(error), (format!("POST /x answered {code}"), effect));
        }
        let (http, clock) = (client(), ManualClock::default());
        let server = MisbehavingServer::start(move |_, _| send_and_hang(&head)).await;
        let call = service(&http, &clock, &server.url).post("/x").send();
        let error = while_time_passes(call, &clock, &server, secs(10)).await.unwrap_err();
        assert_eq!(reason(error), (format!("POST /x answered {code}"), effect));
    }
}
