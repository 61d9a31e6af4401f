//! Retries: only where repeating is safe, bounded, and with waits on the clock.

use strongroom_sdk::http::RetryPolicy;
use strongroom_types::clock::ManualClock;

use super::misbehaving_server::{MisbehavingServer, respond, send, unused_url};
use super::*;

/// Lets time pass in steps until the call is over; returns its outcome and how long it took.
async fn with_passing_time<T>(call: impl Future<Output = T>, clock: &ManualClock) -> (T, Duration) {
    let begun = clock.now();
    tokio::pin!(call);
    loop {
        tokio::select! {
            biased;
            outcome = &mut call => return (outcome, clock.now().since(begun)),
            () = let_others_run() => clock.advance(Duration::from_millis(100)),
        }
    }
}

#[tokio::test]
async fn nothing_is_repeated_by_default() {
    let (http, clock) = (client(), ManualClock::default());
    let server = MisbehavingServer::start(|_, _| respond("503 Busy", "", "")).await;
    let error = service(&http, &clock, &server.url).get("/x").send().await.unwrap_err();
    assert_eq!((error.status(), server.requests().len()), (Some(503), 1));
}

#[tokio::test]
async fn what_is_idempotent_is_repeated() {
    let http = client().with_retries(RetryPolicy::attempts(3, secs(30)));
    let clock = ManualClock::default();
    for (method, attempts) in [("GET", 3), ("PUT", 3), ("DELETE", 3), ("POST", 1), ("PATCH", 1)] {
        for first in [respond("503 Busy", "", ""), respond("429 Slow", "", ""), send("")] {
            let server = MisbehavingServer::start(move |number, _| match number {
                0 | 1 => first.clone(),
                _ => respond("200 OK", "", "{}"),
            })
            .await;
            let method = method.parse().unwrap();
            let call = service(&http, &clock, &server.url).request(method, "/x").send();
            let (outcome, _) = with_passing_time(call, &clock).await;
            assert_eq!((server.requests().len(), outcome.is_ok()), (attempts, attempts == 3));
        }
    }
    // An author may know better.
    let server = MisbehavingServer::start(|_, _| respond("502 Bad", "", "")).await;
    let call = service(&http, &clock, &server.url).post("/x").repeatable().send();
    let (outcome, _) = with_passing_time(call, &clock).await;
    let error = outcome.unwrap_err();
    assert_eq!((error.status(), server.requests().len()), (Some(502), 3));
}

#[tokio::test]
async fn a_refusal_is_not_repeated() {
    let http = client().with_retries(RetryPolicy::attempts(3, secs(30)));
    let clock = ManualClock::default();
    for answer in ["400 Bad", "404 No", "500 Oh", "301 Go"] {
        let server = MisbehavingServer::start(move |_, _| respond(answer, "", "")).await;
        service(&http, &clock, &server.url).get("/x").send().await.unwrap_err();
        assert_eq!(server.requests().len(), 1, "{answer}");
    }
    let server = MisbehavingServer::start(|_, _| send("not HTTP\r\n\r\n")).await;
    service(&http, &clock, &server.url).get("/x").send().await.unwrap_err();
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn what_was_not_sent_is_repeated_with_any_method() {
    let http = client().with_retries(RetryPolicy::attempts(3, secs(30)));
    let clock = ManualClock::default();
    let url = unused_url().await;
    let call = service(&http, &clock, &url).post("/x").send();
    let (outcome, took) = with_passing_time(call, &clock).await;
    assert!(!outcome.unwrap_err().may_have_taken_effect());
    // Half a second and a second.
    assert!((secs(1)..secs(3)).contains(&took), "{took:?}");
}

#[tokio::test]
async fn the_total_time_ends_the_attempts() {
    let http = client().with_retries(RetryPolicy::attempts(1000, secs(5)));
    let clock = ManualClock::default();
    let server =
        MisbehavingServer::start(|_, _| respond("503 Busy", "retry-after: 2\r\n", "")).await;
    let call = service(&http, &clock, &server.url).get("/x").send();
    let (outcome, took) = with_passing_time(call, &clock).await;
    assert_eq!(outcome.unwrap_err().status(), Some(503));
    assert!(took < secs(5) && server.requests().len() == 3, "{took:?}");
    // A wait that an outside system asks for is bounded by the total time as well.
    let server =
        MisbehavingServer::start(|_, _| respond("429 Slow", "retry-after: 86400\r\n", "")).await;
    service(&http, &clock, &server.url).get("/x").send().await.unwrap_err();
    assert_eq!(server.requests().len(), 1);
}

/// The second attempt is refused because the first one was carried out.
#[tokio::test]
async fn an_earlier_attempt_may_have_taken_effect() {
    let http = client().with_retries(RetryPolicy::attempts(2, secs(30)));
    let clock = ManualClock::default();
    let server = MisbehavingServer::start(|number, _| match number {
        0 => send(""),
        _ => respond("409 There", "", ""),
    })
    .await;
    let call = service(&http, &clock, &server.url).put("/x").send();
    let (outcome, _) = with_passing_time(call, &clock).await;
    assert_eq!(reason(outcome.unwrap_err()), ("PUT /x answered 409".to_owned(), true));
}
