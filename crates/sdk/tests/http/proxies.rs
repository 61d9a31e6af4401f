//! Requests through proxies.

use strongroom_fakes::tls::FakeAuthority;
use strongroom_sdk::http::TlsSettings;
use strongroom_types::clock::ManualClock;

use super::misbehaving_server::{MisbehavingServer, respond, start_tunnel_proxy, unused_url};
use super::tls::server_config;
use super::*;

fn through(proxy: &str) -> HttpClient {
    let address = proxy.replace("http://", "http://user:hunter3@");
    let proxies = ProxySettings::from_variables(|name| {
        matches!(name, "HTTP_PROXY" | "HTTPS_PROXY").then(|| address.clone())
    });
    client().with_proxies(proxies)
}

#[tokio::test]
async fn a_plain_request_is_forwarded_by_the_proxy() {
    let proxy = MisbehavingServer::start(|_, _| respond("200 OK", "", "{}")).await;
    let (http, clock) = (through(&proxy.url), ManualClock::default());
    let service = service(&http, &clock, "http://service.test:8080/base");
    service.get("/x").query("a", "b").send().await.unwrap();
    let request = proxy.requests()[0].clone();
    assert!(
        request.starts_with("GET http://service.test:8080/base/x?a=b HTTP/1.1\r\n"),
        "{request}"
    );
    // "user:hunter3" in base64.
    assert!(request.contains("proxy-authorization: Basic dXNlcjpodW50ZXIz\r\n"), "{request}");
}

#[tokio::test]
async fn tls_goes_through_a_tunnel() {
    let authority = FakeAuthority::new().unwrap();
    let config = server_config(&authority.issue_certificate("service.test").unwrap());
    let server = MisbehavingServer::start_tls(config, |_, _| respond("200 OK", "", "{}")).await;
    let port = server.url.rsplit(':').next().unwrap();
    let proxy = start_tunnel_proxy("HTTP/1.1 200 Connected\r\nvia: x\r\n\r\n").await;
    let (http, clock) = (through(&proxy.url), ManualClock::default());
    let ca_cert = authority.cert_pem();
    let url = format!("https://service.test:{port}");
    let service = service(&http, &clock, &url).tls(TlsSettings::new().ca_cert(&ca_cert));
    service.get("/x").send().await.unwrap();
    let seen = proxy.requests()[0].clone();
    assert!(seen.starts_with(&format!("CONNECT service.test:{port} HTTP/1.1\r\n")), "{seen}");
    assert!(seen.contains("Proxy-Authorization: Basic dXNlcjpodW50ZXIz\r\n"), "{seen}");
    // The proxy's password is for the proxy, and the token for the service.
    assert!(!seen.contains("hunter2") && !server.requests()[0].contains("dXNlcjpodW50ZXIz"));
}

#[tokio::test]
async fn a_proxy_that_fails_means_that_nothing_was_sent() {
    let endless = "HTTP/1.1 200 OK\r\n";
    for (answer, text) in [
        ("HTTP/1.1 407 Who\r\n\r\n", "the proxy asks for a user and a password"),
        ("HTTP/1.1 502 No\r\n\r\n", "the proxy refused to connect"),
        ("SSH-2.0 200\r\n\r\n", "the proxy refused to connect"),
    ] {
        let proxy = start_tunnel_proxy(answer).await;
        let (http, clock) = (through(&proxy.url), ManualClock::default());
        let call = service(&http, &clock, "https://service.test").post("/x").send();
        let error = call.await.unwrap_err();
        assert_eq!(reason(error), (format!("POST /x got no answer: {text}"), false));
    }
    let flood =
        MisbehavingServer::start(move |_, _| vec![misbehaving_server::ServerStep::Flood(endless)])
            .await;
    let (http, clock) = (through(&flood.url), ManualClock::default());
    let error = service(&http, &clock, "https://service.test").post("/x").send().await.unwrap_err();
    assert_eq!(reason(error), ("POST /x got no answer: the proxy failed".to_owned(), false));

    let (http, clock) = (through(&unused_url().await), ManualClock::default());
    let error = service(&http, &clock, "http://service.test").post("/x").send().await.unwrap_err();
    let text = "POST /x got no answer: could not connect to the proxy";
    assert_eq!(reason(error), (text.to_owned(), false));
}

#[tokio::test]
async fn an_unusable_proxy_is_not_bypassed() {
    let server = MisbehavingServer::start(|_, _| respond("200 OK", "", "{}")).await;
    let (http, clock) = (through("socks5://127.0.0.1:1080"), ManualClock::default());
    let error = service(&http, &clock, "http://service.test").get("/x").send().await.unwrap_err();
    let text = "GET /x got no answer: the proxy in the environment can't be used";
    assert_eq!(reason(error), (text.to_owned(), false));
    // Loopback addresses never use a proxy.
    service(&http, &clock, &server.url).get("/x").send().await.unwrap();
}
