//! Redirects: none unless asked for, bounded, and without credentials to other hosts.

use serde_json::json;
use strongroom_sdk::http::RedirectPolicy;
use strongroom_types::clock::ManualClock;

use super::misbehaving_server::{MisbehavingServer, respond};
use super::*;

fn redirect(status: &str, to: &str) -> Vec<misbehaving_server::ServerStep> {
    respond(status, &format!("location: {to}\r\n"), "moved")
}

#[tokio::test]
async fn no_redirect_is_followed_by_default() {
    let thief = MisbehavingServer::start(|_, _| respond("200 OK", "", "{}")).await;
    let to = format!("{}/x", thief.url);
    let server = MisbehavingServer::start(move |_, _| redirect("307 Go", &to)).await;
    let (http, clock) = (client(), ManualClock::default());
    let service = service(&http, &clock, &server.url);
    let error = service.get("/x").send().await.unwrap_err();
    assert_eq!(error.status(), Some(307));
    service.post("/x").json(&json!({})).send().await.unwrap_err();
    assert!(thief.requests().is_empty());
}

#[tokio::test]
async fn the_same_origin_is_followed_with_everything() {
    let server = MisbehavingServer::start(|number, _| match number {
        0 | 2 => redirect("307 Go", "/leader?a=b"),
        _ => respond("200 OK", "", "{}"),
    })
    .await;
    let http = client().with_redirects(RedirectPolicy::same_origin(1));
    let clock = ManualClock::default();
    let service = service(&http, &clock, &server.url);
    service.post("/x").json(&json!({ "name": "n" })).send().await.unwrap();
    service.get("/x").send().await.unwrap();
    let requests = server.requests();
    assert!(requests[1].starts_with("POST /leader?a=b HTTP/1.1\r\n"), "{}", requests[1]);
    assert!(requests[1].contains("authorization: Bearer hunter2\r\n"));
    assert!(requests[1].ends_with("\r\n\r\n{\"name\":\"n\"}"));
    assert!(requests[3].starts_with("GET /leader?a=b "));
}

#[tokio::test]
async fn a_loop_is_bounded_and_another_origin_is_not_followed() {
    let http = client().with_redirects(RedirectPolicy::same_origin(3));
    let clock = ManualClock::default();
    let server = MisbehavingServer::start(|_, _| redirect("302 Go", "/x")).await;
    let error = service(&http, &clock, &server.url).get("/x").send().await.unwrap_err();
    assert_eq!((error.status(), server.requests().len()), (Some(302), 4));

    let other = MisbehavingServer::start(|_, _| respond("200 OK", "", "{}")).await;
    let to = other.url.clone();
    let server = MisbehavingServer::start(move |_, _| redirect("302 Go", &to)).await;
    let error = service(&http, &clock, &server.url).get("/x").send().await.unwrap_err();
    assert_eq!(error.status(), Some(302));
    assert!(other.requests().is_empty());
}

#[tokio::test]
async fn another_host_gets_no_credentials_and_no_body() {
    let http = client().with_redirects(RedirectPolicy::any_origin(3));
    let clock = ManualClock::default();
    let other = MisbehavingServer::start(|number, _| match number {
        0 => redirect("302 Go", "/second"),
        _ => respond("200 OK", "", "{}"),
    })
    .await;
    let to = format!("{}/first", other.url);
    let server = MisbehavingServer::start(move |_, _| redirect("307 Go", &to)).await;
    let service = service(&http, &clock, &server.url)
        .secret_header("x-token", &Secret::from_text("hunter3"))
        .header("x-plain", "plain");
    service.get("/x").send().await.unwrap();
    let requests = other.requests();
    assert_eq!(requests.len(), 2);
    for request in &requests {
        for secret in ["hunter", "authorization", "x-token", "x-plain"] {
            assert!(!request.contains(secret), "{request}");
        }
    }
    let error = service.post("/x").json(&json!({})).send().await.unwrap_err();
    assert_eq!((error.status(), other.requests().len()), (Some(307), 2));
}
