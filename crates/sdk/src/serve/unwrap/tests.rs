use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, PKCS_ECDSA_P256_SHA256,
};
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use strongroom_types::clock::ManualClock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;

use super::*;

/// How the fake server reacts to a call.
#[derive(Clone)]
enum ServerBehavior {
    /// The complete response, with status and headers.
    Respond(Vec<u8>),
    /// The server never responds.
    NeverRespond,
}

/// A server that records the requests it receives.
struct FakeUnwrapServer {
    address: String,
    requests: mpsc::UnboundedReceiver<String>,
    calls: Arc<AtomicUsize>,
}

trait AsyncStream: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin {}
impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin> AsyncStream for T {}

async fn serve_connection(
    mut stream: impl AsyncStream,
    answer: ServerBehavior,
    heard: mpsc::UnboundedSender<String>,
) -> io::Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\nnull") {
        let mut part = [0; 1024];
        match stream.read(&mut part).await? {
            0 => return Ok(()),
            length => request.extend_from_slice(&part[..length]),
        }
    }
    heard.send(String::from_utf8(request).unwrap()).unwrap();
    match answer {
        ServerBehavior::Respond(bytes) => {
            stream.write_all(&bytes).await?;
            stream.shutdown().await
        }
        ServerBehavior::NeverRespond => std::future::pending().await,
    }
}

impl FakeUnwrapServer {
    async fn start(answer: ServerBehavior, tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (sender, heard) = mpsc::unbounded_channel();
        let calls = Arc::new(AtomicUsize::new(0));
        let scheme = if tls.is_some() { "https" } else { "http" };
        let address = format!("{scheme}://{}", listener.local_addr().unwrap());
        let (tracker, counted) = (TaskTracker::new(), calls.clone());
        tracker.clone().spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                counted.fetch_add(1, Ordering::Relaxed);
                let (answer, heard, tls) = (answer.clone(), sender.clone(), tls.clone());
                tracker.spawn(async move {
                    match tls {
                        Some(tls) => {
                            let stream = TlsAcceptor::from(tls).accept(socket).await?;
                            serve_connection(stream, answer, heard).await
                        }
                        None => serve_connection(socket, answer, heard).await,
                    }
                });
            }
        });
        Self { address, requests: heard, calls }
    }

    async fn responding(status: &str, body: &str) -> Self {
        Self::start(http_response(status, body), None).await
    }

    fn received_request(&mut self) -> bool {
        self.requests.try_recv().is_ok()
    }
}

fn http_response(status: &str, body: &str) -> ServerBehavior {
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n");
    ServerBehavior::Respond((head + body).into_bytes())
}

fn unwrap_token(address: &str) -> Secret<String> {
    let part = |text: &str| BASE64URL_NOPAD.encode(text.as_bytes());
    let claims = format!(r#"{{"addr":"{address}","type":"wrapping"}}"#);
    Secret::new(format!("{}.{}.{}", part(r#"{"alg":"ES512"}"#), part(&claims), part("signature")))
}

async fn fetch_identity_with(
    address: &str,
    settings: &UnwrapTlsSettings,
) -> Result<TlsIdentity, String> {
    let asked = fetch_identity(&unwrap_token(address), settings, &ManualClock::default()).await;
    asked.map_err(|error| error.to_string())
}

async fn fetch_error(address: &str) -> String {
    fetch_identity_with(address, &UnwrapTlsSettings::default()).await.unwrap_err()
}

/// A certificate and its key, as a server returns them, on P-256, where SEC 1 has fixed offsets.
fn certificate_and_sec1_key() -> (CertificateDer<'static>, Vec<u8>) {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let params = CertificateParams::new(["a-b-c".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap().der().clone();
    let pkcs8 = key.serialize_der();
    let hex = |text: &str| HEXLOWER.decode(text.as_bytes()).unwrap();
    let (head, curve) = (hex("30770201010420"), hex("a00a06082a8648ce3d030107a144034200"));
    (certificate, [&head, &pkcs8[36..68], &curve, &pkcs8[73..138]].concat())
}

fn unwrap_response_body(certificate: &[u8], key: &[u8]) -> String {
    let (certificate, key) = (BASE64.encode(certificate), BASE64.encode(key));
    format!(
        r#"{{"request_id":"","data":{{"ServerCert":"{certificate}","ServerKey":"{key}"}},"auth":null}}"#
    )
}

fn valid_response() -> ServerBehavior {
    let (certificate, key) = certificate_and_sec1_key();
    http_response("200 OK", &unwrap_response_body(&certificate, &key))
}

#[tokio::test]
async fn the_token_is_sent_once() {
    let (certificate, key) = certificate_and_sec1_key();
    let mut server =
        FakeUnwrapServer::responding("200 OK", &unwrap_response_body(&certificate, &key)).await;
    let both = fetch_identity_with(&server.address, &UnwrapTlsSettings::default()).await.unwrap();
    assert_eq!(both.certificate(), certificate);
    let heard = server.requests.recv().await.unwrap().to_lowercase();
    let authority = server.address.strip_prefix("http://").unwrap();
    for line in [
        "put /v1/sys/wrapping/unwrap http/1.1\r\n".to_owned(),
        format!("\r\nhost: {authority}\r\n"),
        "\r\nx-vault-request: true\r\n".to_owned(),
        "\r\ncontent-length: 4\r\n".to_owned(),
        format!(
            "\r\nx-vault-token: {}\r\n",
            unwrap_token(&server.address).expose_secret().to_lowercase()
        ),
    ] {
        assert!(heard.contains(&line), "{line:?} in {heard}");
    }
    assert_eq!(server.calls.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_server_behind_a_path_or_a_socket_is_found() {
    let mut server = FakeUnwrapServer::start(valid_response(), None).await;
    fetch_identity_with(
        &format!("{}/behind/a/proxy/", server.address),
        &UnwrapTlsSettings::default(),
    )
    .await
    .unwrap();
    let heard = server.requests.recv().await.unwrap();
    assert!(heard.starts_with("PUT /behind/a/proxy/v1/sys/wrapping/unwrap "), "{heard}");

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let listener = UnixListener::bind(&path).unwrap();
    let (sender, mut heard) = mpsc::unbounded_channel();
    TaskTracker::new().spawn(async move {
        let (socket, _) = listener.accept().await.unwrap();
        serve_connection(socket, valid_response(), sender).await
    });
    fetch_identity_with(&format!("unix://{}", path.display()), &UnwrapTlsSettings::default())
        .await
        .unwrap();
    assert!(heard.recv().await.unwrap().contains("\r\nhost: localhost\r\n"));
}

#[tokio::test]
async fn failures_are_reported_and_not_retried() {
    let (certificate, key) = certificate_and_sec1_key();
    let whole = unwrap_response_body(&certificate, &key);
    let too_long = format!("{whole}{}", " ".repeat(100_000));
    let unpadded = whole.replace('=', "");
    let cut = ServerBehavior::Respond(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n{".to_vec());
    let cases = [
        (
            http_response("400 Bad Request", r#"{"errors":["wrapping token"]}"#),
            "status 400: the token is used",
        ),
        (http_response("403 Forbidden", "{}"), "status 403"),
        (http_response("503 Service Unavailable", "{}"), "status 503"),
        (http_response("204 No Content", ""), "status 204"),
        (http_response("307 Temporary Redirect\r\nLocation: /elsewhere", ""), "isn't followed"),
        (http_response("200 OK", &too_long), "longer than any answer"),
        (cut, "cut off"),
        (ServerBehavior::Respond(Vec::new()), "the connection to the server failed"),
        (ServerBehavior::Respond(b"SSH-2.0-x\r\n".to_vec()), "the connection to the server failed"),
        (http_response("200 OK", ""), "the answer has none, or no key"),
        (http_response("200 OK", r#"{"data":null}"#), "the answer has none, or no key"),
        (
            http_response("200 OK", r#"{"data":{"ServerCert":"AAAA"}}"#),
            "the answer has none, or no key",
        ),
        (
            http_response("200 OK", &unwrap_response_body(&certificate, b"")),
            "the answer has none, or no key",
        ),
        (http_response("200 OK", &unpadded), "the answer has none, or no key"),
        (http_response("200 OK", &unwrap_response_body(&certificate, b"no key")), "of no use"),
        (http_response("200 OK", &unwrap_response_body(b"no certificate", &key)), "of no use"),
        (
            http_response("200 OK", &unwrap_response_body(&certificate_and_sec1_key().0, &key)),
            "of no use",
        ),
    ];
    for (answer, expected) in cases {
        let server = FakeUnwrapServer::start(answer, None).await;
        let message = fetch_error(&server.address).await;
        assert!(message.contains(expected), "{expected:?} in {message:?}");
        assert!(message.contains(&server.address), "{message}");
        assert_eq!(server.calls.load(Ordering::Relaxed), 1, "{expected}");
        let secrets = [unwrap_token(&server.address).expose_secret().clone(), BASE64.encode(&key)];
        assert!(!secrets.iter().any(|secret| message.contains(secret)), "{message}");
    }
}

#[tokio::test]
async fn unreachable_and_missing_addresses_are_reported() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    assert!(fetch_error(&address).await.contains("can't be reached"));
    assert!(fetch_error("unix:///nowhere/at/all").await.contains("can't be reached"));
    assert!(fetch_error("ftp://127.0.0.1").await.contains("no usable address"));
    let text = Secret::from_text("s.token");
    let asked = fetch_identity(&text, &UnwrapTlsSettings::default(), &ManualClock::default()).await;
    assert_eq!(asked.unwrap_err().to_string(), "the unwrap token is not a JWT");
}

#[tokio::test]
async fn a_silent_server_times_out() {
    let mut server = FakeUnwrapServer::start(ServerBehavior::NeverRespond, None).await;
    let (clock, settings) = (ManualClock::default(), UnwrapTlsSettings::default());
    let (token, moved) = (unwrap_token(&server.address), clock.clone());
    let (asked, ()) = tokio::join!(fetch_identity(&token, &settings, &clock), async {
        server.requests.recv().await.unwrap();
        moved.advance(UNWRAP_TIMEOUT);
    });
    let error = asked.unwrap_err();
    assert!(matches!(error, UnwrapError::TimedOut { .. }), "{error}");
    assert_eq!(server.calls.load(Ordering::Relaxed), 1);
}

/// A certificate authority, and files with the certificates that it signed.
struct TestAuthority {
    folder: tempfile::TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl TestAuthority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(vec![name.to_owned(), "127.0.0.1".to_owned()]);
        params.as_mut().unwrap().is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let issuer = CertifiedIssuer::self_signed(params.unwrap(), key).unwrap();
        let authority = Self { folder: tempfile::tempdir().unwrap(), issuer };
        authority.write("ca.pem", &authority.issuer.pem());
        authority
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path_of(name), text).unwrap();
    }

    fn path_of(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn sign_certificate(&self, name: &str) -> (CertificateDer<'static>, KeyPair, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.der().clone(), key, certificate.pem())
    }

    /// A server with this name; `mutual` if clients must present a certificate of the authority.
    fn server_config(&self, name: &str, mutual: bool) -> Arc<ServerConfig> {
        let (certificate, key, _) = self.sign_certificate(name);
        self.server_with(certificate, &key, mutual)
    }

    fn server_with(
        &self,
        certificate: CertificateDer<'static>,
        key: &KeyPair,
        mutual: bool,
    ) -> Arc<ServerConfig> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone());
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        let builder = if mutual {
            let mut roots = RootCertStore::empty();
            roots.add(self.issuer.der().clone()).unwrap();
            let clients =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(clients.unwrap())
        } else {
            builder.with_no_client_auth()
        };
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        Arc::new(builder.with_single_cert(vec![certificate], key).unwrap())
    }
}

fn settings_trusting(file: PathBuf) -> UnwrapTlsSettings {
    UnwrapTlsSettings { ca_cert: Some(file), ..UnwrapTlsSettings::default() }
}

#[tokio::test]
async fn only_a_trusted_server_receives_the_token() {
    let (ours, theirs) = (TestAuthority::new("ours.example"), TestAuthority::new("theirs.example"));
    let trusted = || settings_trusting(ours.path_of("ca.pem"));
    let mut server =
        FakeUnwrapServer::start(valid_response(), Some(ours.server_config("127.0.0.1", false)))
            .await;
    fetch_identity_with(&server.address, &trusted()).await.unwrap();
    assert!(server.received_request());
    let folder = UnwrapTlsSettings {
        ca_path: Some(ours.folder.path().into()),
        ..UnwrapTlsSettings::default()
    };
    fetch_identity_with(&server.address, &folder).await.unwrap();
    assert!(server.received_request());

    let unnamed = UnwrapTlsSettings { server_name: Some("vault.example".to_owned()), ..trusted() };
    let system = UnwrapTlsSettings::default();
    for settings in [settings_trusting(theirs.path_of("ca.pem")), unnamed, system] {
        let error = fetch_identity_with(&server.address, &settings).await.unwrap_err();
        assert!(error.contains("TLS with the server failed") || error.contains("authority"));
        assert!(!server.received_request(), "{error}");
    }
    let anyone = UnwrapTlsSettings { skip_verify: true, ..UnwrapTlsSettings::default() };
    fetch_identity_with(&server.address, &anyone).await.unwrap();
}

#[tokio::test]
async fn server_name_override_and_self_signed_servers() {
    let ours = TestAuthority::new("own.example");
    let named = |name: &str| UnwrapTlsSettings {
        server_name: Some(name.to_owned()),
        ..settings_trusting(ours.path_of("ca.pem"))
    };
    let server =
        FakeUnwrapServer::start(valid_response(), Some(ours.server_config("vault.example", false)))
            .await;
    fetch_identity_with(&server.address, &named("vault.example")).await.unwrap();
    fetch_identity_with(&server.address, &named("other.example")).await.unwrap_err();

    let own = ours.server_with(ours.issuer.der().clone(), ours.issuer.key(), false);
    let server = FakeUnwrapServer::start(valid_response(), Some(own)).await;
    fetch_identity_with(&server.address, &settings_trusting(ours.path_of("ca.pem"))).await.unwrap();
    fetch_identity_with(&server.address, &named("other.example")).await.unwrap_err();
    let theirs = TestAuthority::new("own.example");
    fetch_identity_with(&server.address, &settings_trusting(theirs.path_of("ca.pem")))
        .await
        .unwrap_err();
}

#[tokio::test]
async fn client_certificates_need_their_key() {
    let ours = TestAuthority::new("ours.example");
    let (_, key, pem) = ours.sign_certificate("plugin");
    ours.write("cert.pem", &pem);
    ours.write("key.pem", &key.serialize_pem());
    let server =
        FakeUnwrapServer::start(valid_response(), Some(ours.server_config("127.0.0.1", true)))
            .await;
    let trusted = || settings_trusting(ours.path_of("ca.pem"));
    let both = UnwrapTlsSettings {
        client_cert: Some(ours.path_of("cert.pem")),
        client_key: Some(ours.path_of("key.pem")),
        ..trusted()
    };
    fetch_identity_with(&server.address, &both).await.unwrap();
    fetch_identity_with(&server.address, &trusted()).await.unwrap_err();
    for (half, message) in [
        (UnwrapTlsSettings { client_key: None, ..both }, "needed both"),
        (settings_trusting(ours.path_of("key.pem")), "no certificate in PEM"),
        (settings_trusting(ours.path_of("nothing.pem")), "can't be read"),
    ] {
        let error = fetch_identity_with(&server.address, &half).await.unwrap_err();
        assert!(error.contains(message), "{error}");
    }
}
