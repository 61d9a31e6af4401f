//! Tests of a client against a server with scripted responses.

mod scripted;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use self::scripted::{ScriptedResponse, ScriptedServer, response, start_tls};
use crate::sys::leases::RevokeTarget;
use crate::token::{TokenRequest, TokenSelector};
use crate::{Client, ClientConfig, ClientTlsConfig, Error, ListPage, PemSource, UnreachableReason};
use strongroom_types::clock::BoxFuture;
use strongroom_types::entropy::SeededEntropy;
use strongroom_types::{Clock, Fields, Secret, Timestamp};

fn client_for(server: &ScriptedServer) -> Client {
    Client::new(config_for(server)).unwrap()
}

fn config_for(server: &ScriptedServer) -> ClientConfig {
    ClientConfig { address: server.address(), max_retries: 0, ..ClientConfig::default() }
}

fn pem_text(pem: &str) -> PemSource {
    PemSource::Text(Secret::from_text(pem))
}

/// A client that retries, and the clock it waits on.
fn client_with_retries(server: &ScriptedServer) -> (Client, Arc<SkippingClock>) {
    let clock = Arc::new(SkippingClock::default());
    let config = ClientConfig {
        max_retries: 2,
        clock: clock.clone(),
        entropy: Arc::new(SeededEntropy::new(1)),
        ..config_for(server)
    };
    (Client::new(config).unwrap(), clock)
}

/// A clock on which every wait ends at once, and which records the waits.
#[derive(Debug, Default)]
struct SkippingClock(Mutex<Vec<Duration>>);

impl SkippingClock {
    fn recorded_waits(&self) -> Vec<Duration> {
        self.0.lock().unwrap().clone()
    }
}

impl Clock for SkippingClock {
    fn now(&self) -> Timestamp {
        Timestamp::EPOCH
    }

    fn sleep_until(&self, at: Timestamp) -> BoxFuture<'static, ()> {
        self.0.lock().unwrap().push(at.since(self.now()));
        Box::pin(std::future::ready(()))
    }
}

#[tokio::test]
async fn sends_token_namespace_and_body() {
    let server =
        ScriptedServer::start(vec![response(200, "{}"), response(204, ""), response(204, "")])
            .await;
    let config = ClientConfig {
        token: Some(Secret::from_text("hunter2")),
        namespace: Some("ns/".to_owned()),
        wrap_ttl: Some("60s".to_owned()),
        headers: vec![("X-Own".to_owned(), "1".to_owned())],
        ..config_for(&server)
    };
    let client = Client::new(config).unwrap();
    client.read("kv/a b", &[("x".to_owned(), "1".to_owned())]).await.unwrap();
    let mut fields = Fields::new();
    fields.set("n", &1);
    let plain = client.without_wrapping().without_namespace().with_token(None).unwrap();
    plain.write("kv/a", &fields).await.unwrap();
    client.delete("kv/a", &[]).await.unwrap();
    let asked = server.received_requests();
    assert!(asked[0].starts_with("GET /v1/kv/a%20b?x=1 HTTP/1.1\r\n"), "{}", asked[0]);
    for header in ["x-vault-token: hunter2", "x-vault-request: true", "x-vault-namespace: ns/"] {
        assert!(asked[0].contains(header), "{header} in {}", asked[0]);
    }
    assert!(asked[0].contains("x-vault-wrap-ttl: 60s") && asked[0].contains("x-own: 1"));
    assert!(asked[1].starts_with("PUT /v1/kv/a HTTP/1.1\r\n") && asked[1].ends_with("{\"n\":1}"));
    for header in ["x-vault-token", "x-vault-namespace", "x-vault-wrap-ttl"] {
        assert!(!asked[1].contains(header), "{header} in {}", asked[1]);
    }
    assert!(asked[2].starts_with("DELETE /v1/kv/a HTTP/1.1\r\n"));
}

#[tokio::test]
async fn lists_with_a_query() {
    let keys = r#"{"request_id":"r","data":{"keys":["b","a"]}}"#;
    let server = ScriptedServer::start(vec![response(200, keys), response(200, keys)]).await;
    let client = client_for(&server);
    let found = client.list("kv", &ListPage::default()).await.unwrap().unwrap();
    assert_eq!(found.list_keys().unwrap(), ["b", "a"]);
    client.list("kv", &ListPage { after: "a".to_owned(), limit: Some(7) }).await.unwrap();
    let asked = server.received_requests();
    assert!(asked[0].starts_with("GET /v1/kv?list=true HTTP"), "{}", asked[0]);
    assert!(asked[1].starts_with("GET /v1/kv?after=a&limit=7&list=true HTTP"), "{}", asked[1]);
}

#[tokio::test]
async fn an_error_of_the_server_names_the_request() {
    let server = ScriptedServer::start(vec![
        response(503, r#"{"errors":["Vault is sealed"],"request_id":"4a3f"}"#),
        response(403, r#"{"errors":["permission denied"]}"#),
    ])
    .await;
    let client = client_for(&server);
    assert_eq!(client.read("kv/a", &[]).await.unwrap_err().request_id(), Some("4a3f"));
    assert_eq!(client.read("kv/a", &[]).await.unwrap_err().request_id(), None);
}

#[tokio::test]
async fn empty_404_is_none() {
    let deleted = r#"{"request_id":"r","data":{"metadata":{"deletion_time":"x"}},"warnings":null}"#;
    let server = ScriptedServer::start(vec![
        response(404, r#"{"errors":[]}"#),
        response(404, ""),
        response(404, deleted),
        response(404, "<html>no such page</html>"),
        response(404, r#"{"errors":["no handler for route"]}"#),
    ])
    .await;
    let client = client_for(&server);
    assert!(client.read("kv/a", &[]).await.unwrap().is_none());
    assert!(client.read("kv/a", &[]).await.unwrap().is_none());
    assert!(client.read("kv/a", &[]).await.unwrap().unwrap().data.unwrap().contains("metadata"));
    let foreign = client.read("kv/a", &[]).await.unwrap_err().to_string();
    assert!(foreign.ends_with("Code: 404. Raw Message:\n\n<html>no such page</html>"), "{foreign}");
    let written = client.write("kv/a", &Fields::new()).await.unwrap_err();
    assert_eq!(written.status(), Some(404));
}

#[tokio::test]
async fn api_errors_print_as_vault_does() {
    let body = r#"{"errors":["permission denied"]}"#;
    let server = ScriptedServer::start(vec![response(403, body)]).await;
    let error = client_for(&server).read("kv/a", &[]).await.unwrap_err();
    let expected = format!(
        "Error making API request.\n\nURL: GET {}/v1/kv/a\nCode: 403. Errors:\n\n* permission denied",
        server.address()
    );
    assert_eq!(error.to_string(), expected);
}

#[tokio::test]
async fn retries_transient_failures() {
    for (status, attempts) in [(500, 3), (502, 3), (503, 3), (412, 3), (429, 3), (501, 1), (403, 1)]
    {
        let replies = (0..attempts).map(|_| response(status, r#"{"errors":["later"]}"#)).collect();
        let server = ScriptedServer::start(replies).await;
        let (client, clock) = client_with_retries(&server);
        let error = client.read("kv/a", &[]).await.unwrap_err();
        assert_eq!(error.status(), Some(status));
        assert_eq!(server.received_requests().len(), attempts, "{status}");
        let waits = clock.recorded_waits();
        assert_eq!(waits.len(), attempts - 1, "{status}");
        for (wait, least) in waits.iter().zip([1000, 2000]) {
            assert!((least..=least + 1000).contains(&wait.as_millis()), "{wait:?}");
        }
    }
}

#[tokio::test]
async fn honours_retry_after() {
    let mut busy = response(503, r#"{"errors":[]}"#);
    busy.headers.push("retry-after: 9".to_owned());
    let server = ScriptedServer::start(vec![busy, response(200, "{}")]).await;
    let (client, clock) = client_with_retries(&server);
    client.read("kv/a", &[]).await.unwrap();
    assert_eq!(clock.recorded_waits(), [Duration::from_secs(9)]);
}

#[tokio::test]
async fn unsafe_requests_not_retried() {
    let server = ScriptedServer::start(vec![ScriptedResponse::hang_up(), response(204, "")]).await;
    let (client, _) = client_with_retries(&server);
    let error = client.write("kv/a", &Fields::new()).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error}");
    assert_eq!(server.received_requests().len(), 1);

    let server =
        ScriptedServer::start(vec![ScriptedResponse::hang_up(), response(200, "{}")]).await;
    client_with_retries(&server).0.read("kv/a", &[]).await.unwrap();
    assert_eq!(server.received_requests().len(), 2);
}

#[tokio::test]
async fn closed_port_is_reported() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let place = listener.local_addr().unwrap();
    drop(listener);
    let address = format!("http://{place}");
    let config = ClientConfig { address, max_retries: 0, ..ClientConfig::default() };
    let error = Client::new(config).unwrap().seal_status().await.unwrap_err();
    let expected = format!("GET http://{place}/v1/sys/seal-status: connection refused at {place}");
    assert_eq!(error.to_string(), expected);
}

#[tokio::test]
async fn follows_one_redirect_with_body_and_token() {
    let mut moved = response(307, "");
    moved.headers.push("location: /v1/kv/b?x=1".to_owned());
    let server = ScriptedServer::start(vec![moved, response(204, "")]).await;
    let config = ClientConfig { token: Some(Secret::from_text("tok")), ..config_for(&server) };
    let mut fields = Fields::new();
    fields.set("a", &1);
    Client::new(config).unwrap().write("kv/a", &fields).await.unwrap();
    let asked = server.received_requests();
    assert!(asked[1].starts_with("PUT /v1/kv/b?x=1 HTTP"), "{}", asked[1]);
    assert!(asked[1].contains("x-vault-token: tok") && asked[1].ends_with("{\"a\":1}"));
}

#[tokio::test]
async fn sends_nothing_to_another_server() {
    let other = ScriptedServer::start(vec![response(204, "")]).await;
    for location in [format!("{}/v1/kv/a", other.address()), "//127.0.0.1:1/v1/kv/a".to_owned()] {
        let mut moved = response(307, "");
        moved.headers.push(format!("location: {location}"));
        let server = ScriptedServer::start(vec![moved]).await;
        let config = ClientConfig { token: Some(Secret::from_text("tok")), ..config_for(&server) };
        let client = Client::new(config).unwrap();
        let error = client.write("kv/a", &Fields::new()).await.unwrap_err();
        assert!(matches!(error, Error::RedirectToOtherServer(_)), "{error}");
        assert_eq!(server.received_requests().len(), 1);
    }
    assert!(other.received_requests().is_empty());
}

#[tokio::test]
async fn does_not_follow_a_second_redirect_nor_one_when_told_not_to() {
    let mut moved = response(307, "");
    moved.headers.push("location: /v1/kv/b".to_owned());
    let server = ScriptedServer::start(vec![moved.clone(), moved.clone()]).await;
    assert!(client_for(&server).read("kv/a", &[]).await.unwrap().is_none());
    assert_eq!(server.received_requests().len(), 2);

    let server = ScriptedServer::start(vec![moved]).await;
    let config = ClientConfig { follow_redirect: false, ..config_for(&server) };
    Client::new(config).unwrap().read("kv/a", &[]).await.unwrap();
    assert_eq!(server.received_requests().len(), 1);
}

#[tokio::test]
async fn never_follows_from_tls_to_plain() {
    let plain = ScriptedServer::start(vec![response(200, "{}")]).await;
    let mut moved = response(307, "");
    moved.headers.push(format!("location: {}/v1/kv/a", plain.address()));
    let (server, ca) = start_tls(&["localhost"], vec![moved]).await;
    let tls = ClientTlsConfig { ca: Some(pem_text(&ca)), ..ClientTlsConfig::default() };
    let config = ClientConfig { tls, ..config_for(&server) };
    let error = Client::new(config).unwrap().read("kv/a", &[]).await.unwrap_err();
    assert!(matches!(error, Error::TlsDowngrade), "{error}");
    assert!(plain.received_requests().is_empty());
}

#[tokio::test]
async fn response_size_is_limited() {
    let long = "x".repeat(5000);
    let mut unannounced = response(200, &long);
    unannounced.send_content_length = false;
    // A response whose announced length is too large is refused without reading its body.
    let mut announced = response(200, "");
    announced.send_content_length = false;
    announced.headers.push("content-length: 5000".to_owned());
    let server = ScriptedServer::start(vec![response(200, &long), unannounced, announced]).await;
    let client =
        Client::new(ClientConfig { max_response_bytes: 4096, ..config_for(&server) }).unwrap();
    for _ in 0..3 {
        let error = client.read("kv/a", &[]).await.unwrap_err();
        assert!(matches!(error, Error::ResponseTooLarge(4096)), "{error}");
    }
}

#[tokio::test]
async fn trusts_only_the_given_ca() {
    let with = |tls| async move {
        let (server, ca) = start_tls(&["localhost"], vec![response(200, "{}")]).await;
        let tls: ClientTlsConfig = match tls {
            "ca" => ClientTlsConfig { ca: Some(pem_text(&ca)), ..ClientTlsConfig::default() },
            "skip" => ClientTlsConfig { skip_verify: true, ..ClientTlsConfig::default() },
            _ => ClientTlsConfig {
                ca: Some(pem_text(&scripted::other_ca())),
                ..ClientTlsConfig::default()
            },
        };
        let client = Client::new(ClientConfig { tls, ..config_for(&server) }).unwrap();
        client.read("kv/a", &[]).await.map(drop)
    };
    with("ca").await.unwrap();
    with("skip").await.unwrap();
    let error = with("other").await.unwrap_err();
    assert!(error.to_string().contains("not signed by a trusted authority"), "{error}");
}

#[test]
fn a_client_certificate_goes_with_its_own_key() {
    let mine = scripted::client_certificate();
    let pem = |text: &str| Some(PemSource::Text(Secret::from_text(text)));
    for ca in [None, Some(scripted::other_ca())] {
        let with = |key: &str| {
            let tls = ClientTlsConfig {
                ca: ca.as_deref().and_then(pem),
                client_cert: pem(&mine.0),
                client_key: pem(key),
                ..ClientTlsConfig::default()
            };
            Client::new(ClientConfig { tls, ..ClientConfig::default() })
        };
        with(&mine.1).unwrap();
        let error = with(&scripted::client_certificate().1).unwrap_err().to_string();
        assert!(!error.contains("PRIVATE"), "{error}");
        assert!(with("no key").unwrap_err().to_string().contains("can't be used together"));
    }
}

#[tokio::test]
async fn a_ca_can_be_a_file_or_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    for as_folder in [true, false] {
        let (server, pem) = start_tls(&["localhost"], vec![response(200, "{}")]).await;
        std::fs::write(&file, pem).unwrap();
        let (ca, ca_folder) = match as_folder {
            true => (None, Some(folder.path().to_owned())),
            false => (Some(PemSource::File(file.clone())), None),
        };
        let tls = ClientTlsConfig { ca, ca_folder, ..ClientTlsConfig::default() };
        let client = Client::new(ClientConfig { tls, ..config_for(&server) }).unwrap();
        client.read("kv/a", &[]).await.unwrap();
    }
    std::fs::write(&file, "no certificate").unwrap();
    let tls = ClientTlsConfig { ca: Some(PemSource::File(file)), ..ClientTlsConfig::default() };
    let error = Client::new(ClientConfig { tls, ..ClientConfig::default() }).unwrap_err();
    assert!(error.to_string().contains("no certificate in PEM"), "{error}");
}

#[tokio::test]
async fn tls_server_name_replaces_host() {
    let (server, ca) = start_tls(&["vault.example"], vec![response(200, "{}")]).await;
    let place = server.address().trim_start_matches("https://").to_owned();
    let named = |name: &str| {
        let tls = ClientTlsConfig {
            ca: Some(pem_text(&ca)),
            server_name: Some(name.to_owned()),
            ..ClientTlsConfig::default()
        };
        Client::new(ClientConfig { tls, ..config_for(&server) })
    };
    named("vault.example").unwrap().read("kv/a", &[]).await.unwrap();
    let asked = server.received_requests();
    assert!(asked[0].contains(&format!("host: {place}\r\n")), "{}", asked[0]);
    assert!(named("other.example").unwrap().read("kv/a", &[]).await.is_err());
    assert!(named("127.0.0.1").unwrap_err().to_string().contains("DNS name"));
}

#[tokio::test]
async fn a_server_without_tls_is_named_as_such() {
    let server = ScriptedServer::start(vec![ScriptedResponse::raw_bytes(
        "HTTP/1.1 400 Bad Request\r\n\r\n",
    )])
    .await;
    let address = server.address().replace("http://", "https://");
    let client = Client::new(ClientConfig { address, ..config_for(&server) }).unwrap();
    let error = client.seal_status().await.unwrap_err().to_string();
    assert!(error.contains("the server does not support TLS at this address"), "{error}");
}

#[tokio::test]
async fn a_certificate_needs_its_key() {
    let tls = ClientTlsConfig { client_cert: Some(pem_text("c")), ..ClientTlsConfig::default() };
    let error = Client::new(ClientConfig { tls, ..ClientConfig::default() }).unwrap_err();
    assert!(error.to_string().contains("a client certificate needs its key"), "{error}");
}

/// Libraries change their error texts, and name things a user never typed.
#[tokio::test]
async fn errors_quote_no_library_text() {
    let reason = |address: String| async {
        let timeout = Duration::from_millis(500);
        let config = ClientConfig { address, max_retries: 0, timeout, ..ClientConfig::default() };
        match Client::new(config).unwrap().seal_status().await.unwrap_err() {
            Error::Unreachable { reason, .. } => reason,
            other => panic!("{other}"),
        }
    };
    // RFC 2606 reserves this domain; without a resolver it is unknown, too.
    let unknown = reason("http://nowhere.invalid:1".to_owned()).await;
    let timed_out = UnreachableReason::Timeout(Duration::from_millis(500));
    assert!(
        unknown == UnreachableReason::UnknownHost("nowhere.invalid".to_owned())
            || unknown == timed_out,
        "{unknown}"
    );

    let hung_up = ScriptedServer::start(vec![ScriptedResponse::hang_up()]).await;
    assert_eq!(reason(hung_up.address()).await, UnreachableReason::Interrupted);
    let not_http =
        ScriptedServer::start(vec![ScriptedResponse::full_response("SSH-2.0-x\r\n\r\n")]).await;
    assert_eq!(reason(not_http.address()).await, UnreachableReason::NotHttp);

    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", silent.local_addr().unwrap());
    assert_eq!(reason(address).await, timed_out);

    let expired = scripted::start_tls_valid_until(2020, vec![response(200, "{}")]).await;
    let tls = ClientTlsConfig { ca: Some(pem_text(&expired.1)), ..ClientTlsConfig::default() };
    let client = Client::new(ClientConfig { tls, ..config_for(&expired.0) }).unwrap();
    let error = client.seal_status().await.unwrap_err().to_string();
    assert!(error.ends_with("the server's certificate has expired"), "{error}");
}

#[tokio::test]
async fn connects_over_a_unix_socket() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vault.sock");
    let server =
        ScriptedServer::start_on(&path, vec![response(200, r#"{"initialized":true}"#)]).await;
    let address = format!("unix://{}", path.display());
    let config = ClientConfig { address, max_retries: 0, ..ClientConfig::default() };
    assert!(Client::new(config).unwrap().is_initialised().await.unwrap());
    assert!(server.received_requests()[0].starts_with("GET /v1/sys/init HTTP"));
    let address = format!("unix://{}", folder.path().join("none").display());
    let config = ClientConfig { address, max_retries: 0, ..ClientConfig::default() };
    let error = Client::new(config).unwrap().is_initialised().await.unwrap_err().to_string();
    assert!(error.contains("there is no socket /"), "{error}");
}

#[tokio::test]
async fn request_urls_match_vaults_cli() {
    let reply = r#"{"request_id":"r","data":{"kv/":["read"],"keys":["default"],"policy":"x"}}"#;
    let server = ScriptedServer::start((0..16).map(|_| response(200, reply)).collect()).await;
    let client = client_for(&server);
    let token = Secret::from_text("t");
    client.create_token(&TokenRequest::default(), Some("r")).await.unwrap();
    client.look_up_token(TokenSelector::OwnToken).await.unwrap();
    client.look_up_token(TokenSelector::Token(&token)).await.unwrap();
    client.renew_token(TokenSelector::Accessor("a"), Duration::from_secs(5)).await.unwrap();
    client.revoke_token(TokenSelector::Token(&token)).await.unwrap();
    client.revoke_token_orphan(&token).await.unwrap();
    client.renew_lease("l", Duration::ZERO).await.unwrap();
    client.revoke_leases(RevokeTarget::Force("kv/creds"), true).await.unwrap();
    assert_eq!(client.list_policies().await.unwrap(), ["default"]);
    assert_eq!(client.read_policy("p").await.unwrap().unwrap(), "x");
    assert_eq!(client.capabilities(None, "kv/").await.unwrap(), ["read"]);
    client.read_plugin("secret", "p", Some("v1.0.0")).await.unwrap();
    let expected = [
        ("POST /v1/auth/token/create/r ", r#"{"num_uses":0}"#),
        ("GET /v1/auth/token/lookup-self ", ""),
        ("POST /v1/auth/token/lookup ", r#"{"token":"t"}"#),
        ("POST /v1/auth/token/renew-accessor ", r#"{"accessor":"a","increment":5}"#),
        ("PUT /v1/auth/token/revoke ", r#"{"token":"t"}"#),
        ("PUT /v1/auth/token/revoke-orphan ", r#"{"token":"t"}"#),
        ("PUT /v1/sys/leases/renew ", r#"{"lease_id":"l","increment":0}"#),
        ("PUT /v1/sys/leases/revoke-force/kv/creds ", r#"{"sync":true}"#),
        ("GET /v1/sys/policies/acl?list=true ", ""),
        ("GET /v1/sys/policies/acl/p ", ""),
        ("POST /v1/sys/capabilities-self ", r#"{"path":"kv/"}"#),
        ("GET /v1/sys/plugins/catalog/secret/p?version=v1.0.0 ", ""),
    ];
    let asked = server.received_requests();
    assert_eq!(asked.len(), expected.len());
    for (asked, (line, body)) in asked.iter().zip(expected) {
        assert!(asked.starts_with(line), "{line} in {asked}");
        assert!(asked.ends_with(&format!("\r\n\r\n{body}")), "{body} in {asked}");
    }
}
