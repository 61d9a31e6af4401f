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

/// What a server does with a call.
#[derive(Clone)]
enum Answer {
    /// Status, headers and all.
    Raw(Vec<u8>),
    /// It never answers.
    Silence,
}

/// A server that tells what it was asked, and how often it was called.
struct Server {
    address: String,
    heard: mpsc::UnboundedReceiver<String>,
    calls: Arc<AtomicUsize>,
}

trait Stream: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin {}
impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin> Stream for T {}

async fn serve(
    mut stream: impl Stream,
    answer: Answer,
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
        Answer::Raw(bytes) => {
            stream.write_all(&bytes).await?;
            stream.shutdown().await
        }
        Answer::Silence => std::future::pending().await,
    }
}

impl Server {
    async fn tcp(answer: Answer, tls: Option<Arc<ServerConfig>>) -> Self {
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
                            serve(stream, answer, heard).await
                        }
                        None => serve(socket, answer, heard).await,
                    }
                });
            }
        });
        Self { address, heard, calls }
    }

    async fn answering(status: &str, body: &str) -> Self {
        Self::tcp(raw(status, body), None).await
    }

    fn was_shown_a_token(&mut self) -> bool {
        self.heard.try_recv().is_ok()
    }
}

fn raw(status: &str, body: &str) -> Answer {
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n");
    Answer::Raw((head + body).into_bytes())
}

fn token(address: &str) -> Secret<String> {
    let part = |text: &str| BASE64URL_NOPAD.encode(text.as_bytes());
    let claims = format!(r#"{{"addr":"{address}","type":"wrapping"}}"#);
    Secret::new(format!("{}.{}.{}", part(r#"{"alg":"ES512"}"#), part(&claims), part("signature")))
}

async fn ask(address: &str, settings: &Settings) -> Result<Identity, String> {
    let asked = identity(&token(address), settings, &ManualClock::default()).await;
    asked.map_err(|error| error.to_string())
}

async fn refused(address: &str) -> String {
    ask(address, &Settings::default()).await.unwrap_err()
}

/// A certificate and its key, as a server gives them, on P-256: there SEC 1 has fixed places.
fn wrapped() -> (CertificateDer<'static>, Vec<u8>) {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let params = CertificateParams::new(["a-b-c".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap().der().clone();
    let pkcs8 = key.serialize_der();
    let hex = |text: &str| HEXLOWER.decode(text.as_bytes()).unwrap();
    let (head, curve) = (hex("30770201010420"), hex("a00a06082a8648ce3d030107a144034200"));
    (certificate, [&head, &pkcs8[36..68], &curve, &pkcs8[73..138]].concat())
}

fn envelope(certificate: &[u8], key: &[u8]) -> String {
    let (certificate, key) = (BASE64.encode(certificate), BASE64.encode(key));
    format!(
        r#"{{"request_id":"","data":{{"ServerCert":"{certificate}","ServerKey":"{key}"}},"auth":null}}"#
    )
}

fn good() -> Answer {
    let (certificate, key) = wrapped();
    raw("200 OK", &envelope(&certificate, &key))
}

#[tokio::test]
async fn the_token_is_shown_once_as_servers_want_it() {
    let (certificate, key) = wrapped();
    let mut server = Server::answering("200 OK", &envelope(&certificate, &key)).await;
    let both = ask(&server.address, &Settings::default()).await.unwrap();
    assert_eq!(both.certificate(), certificate);
    let heard = server.heard.recv().await.unwrap().to_lowercase();
    let authority = server.address.strip_prefix("http://").unwrap();
    for line in [
        "put /v1/sys/wrapping/unwrap http/1.1\r\n".to_owned(),
        format!("\r\nhost: {authority}\r\n"),
        "\r\nx-vault-request: true\r\n".to_owned(),
        "\r\ncontent-length: 4\r\n".to_owned(),
        format!("\r\nx-vault-token: {}\r\n", token(&server.address).expose_secret().to_lowercase()),
    ] {
        assert!(heard.contains(&line), "{line:?} in {heard}");
    }
    assert_eq!(server.calls.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_server_behind_a_path_or_a_socket_is_found() {
    let mut server = Server::tcp(good(), None).await;
    ask(&format!("{}/behind/a/proxy/", server.address), &Settings::default()).await.unwrap();
    let heard = server.heard.recv().await.unwrap();
    assert!(heard.starts_with("PUT /behind/a/proxy/v1/sys/wrapping/unwrap "), "{heard}");

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let listener = UnixListener::bind(&path).unwrap();
    let (sender, mut heard) = mpsc::unbounded_channel();
    TaskTracker::new().spawn(async move {
        let (socket, _) = listener.accept().await.unwrap();
        serve(socket, good(), sender).await
    });
    ask(&format!("unix://{}", path.display()), &Settings::default()).await.unwrap();
    assert!(heard.recv().await.unwrap().contains("\r\nhost: localhost\r\n"));
}

#[tokio::test]
async fn refusals_are_told_and_never_asked_again() {
    let (certificate, key) = wrapped();
    let whole = envelope(&certificate, &key);
    let too_long = format!("{whole}{}", " ".repeat(100_000));
    let unpadded = whole.replace('=', "");
    let cut = Answer::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n{".to_vec());
    let cases = [
        (
            raw("400 Bad Request", r#"{"errors":["wrapping token"]}"#),
            "status 400: the token is used",
        ),
        (raw("403 Forbidden", "{}"), "status 403"),
        (raw("503 Service Unavailable", "{}"), "status 503"),
        (raw("204 No Content", ""), "status 204"),
        (raw("307 Temporary Redirect\r\nLocation: /elsewhere", ""), "isn't followed"),
        (raw("200 OK", &too_long), "longer than any answer"),
        (cut, "cut off"),
        (Answer::Raw(Vec::new()), "the connection to the server failed"),
        (Answer::Raw(b"SSH-2.0-x\r\n".to_vec()), "the connection to the server failed"),
        (raw("200 OK", ""), "the answer has none, or no key"),
        (raw("200 OK", r#"{"data":null}"#), "the answer has none, or no key"),
        (raw("200 OK", r#"{"data":{"ServerCert":"AAAA"}}"#), "the answer has none, or no key"),
        (raw("200 OK", &envelope(&certificate, b"")), "the answer has none, or no key"),
        (raw("200 OK", &unpadded), "the answer has none, or no key"),
        (raw("200 OK", &envelope(&certificate, b"no key")), "of no use"),
        (raw("200 OK", &envelope(b"no certificate", &key)), "of no use"),
        (raw("200 OK", &envelope(&wrapped().0, &key)), "of no use"),
    ];
    for (answer, expected) in cases {
        let server = Server::tcp(answer, None).await;
        let message = refused(&server.address).await;
        assert!(message.contains(expected), "{expected:?} in {message:?}");
        assert!(message.contains(&server.address), "{message}");
        assert_eq!(server.calls.load(Ordering::Relaxed), 1, "{expected}");
        let secrets = [token(&server.address).expose_secret().clone(), BASE64.encode(&key)];
        assert!(!secrets.iter().any(|secret| message.contains(secret)), "{message}");
    }
}

#[tokio::test]
async fn nobody_there_and_nowhere_to_go_are_told() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    assert!(refused(&address).await.contains("can't be reached"));
    assert!(refused("unix:///nowhere/at/all").await.contains("can't be reached"));
    assert!(refused("ftp://127.0.0.1").await.contains("no usable address"));
    let text = Secret::from_text("s.token");
    let asked = identity(&text, &Settings::default(), &ManualClock::default()).await;
    assert_eq!(asked.unwrap_err().to_string(), "the unwrap token is not a JWT");
}

#[tokio::test]
async fn a_silent_server_is_given_up() {
    let mut server = Server::tcp(Answer::Silence, None).await;
    let (clock, settings) = (ManualClock::default(), Settings::default());
    let (token, moved) = (token(&server.address), clock.clone());
    let (asked, ()) = tokio::join!(identity(&token, &settings, &clock), async {
        server.heard.recv().await.unwrap();
        moved.advance(LIMIT);
    });
    let error = asked.unwrap_err();
    assert!(matches!(error, UnwrapError::TimedOut { .. }), "{error}");
    assert_eq!(server.calls.load(Ordering::Relaxed), 1);
}

/// An authority, and files of what it signed.
struct Authority {
    folder: tempfile::TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
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
        std::fs::write(self.file(name), text).unwrap();
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn sign(&self, name: &str) -> (CertificateDer<'static>, KeyPair, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.der().clone(), key, certificate.pem())
    }

    /// A server of this name; `mutual` if clients must show a certificate of the authority.
    fn server(&self, name: &str, mutual: bool) -> Arc<ServerConfig> {
        let (certificate, key, _) = self.sign(name);
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

fn trusting(file: PathBuf) -> Settings {
    Settings { ca_cert: Some(file), ..Settings::default() }
}

#[tokio::test]
async fn only_a_server_that_is_vouched_for_is_shown_the_token() {
    let (ours, theirs) = (Authority::new("ours.example"), Authority::new("theirs.example"));
    let trusted = || trusting(ours.file("ca.pem"));
    let mut server = Server::tcp(good(), Some(ours.server("127.0.0.1", false))).await;
    ask(&server.address, &trusted()).await.unwrap();
    assert!(server.was_shown_a_token());
    let folder = Settings { ca_path: Some(ours.folder.path().into()), ..Settings::default() };
    ask(&server.address, &folder).await.unwrap();
    assert!(server.was_shown_a_token());

    let unnamed = Settings { server_name: Some("vault.example".to_owned()), ..trusted() };
    let system = Settings::default();
    for settings in [trusting(theirs.file("ca.pem")), unnamed, system] {
        let error = ask(&server.address, &settings).await.unwrap_err();
        assert!(error.contains("TLS with the server failed") || error.contains("authority"));
        assert!(!server.was_shown_a_token(), "{error}");
    }
    let anyone = Settings { skip_verify: true, ..Settings::default() };
    ask(&server.address, &anyone).await.unwrap();
}

#[tokio::test]
async fn a_server_may_go_by_another_name_and_be_its_own_authority() {
    let ours = Authority::new("own.example");
    let named = |name: &str| Settings {
        server_name: Some(name.to_owned()),
        ..trusting(ours.file("ca.pem"))
    };
    let server = Server::tcp(good(), Some(ours.server("vault.example", false))).await;
    ask(&server.address, &named("vault.example")).await.unwrap();
    ask(&server.address, &named("other.example")).await.unwrap_err();

    let own = ours.server_with(ours.issuer.der().clone(), ours.issuer.key(), false);
    let server = Server::tcp(good(), Some(own)).await;
    ask(&server.address, &trusting(ours.file("ca.pem"))).await.unwrap();
    ask(&server.address, &named("other.example")).await.unwrap_err();
    let theirs = Authority::new("own.example");
    ask(&server.address, &trusting(theirs.file("ca.pem"))).await.unwrap_err();
}

#[tokio::test]
async fn a_client_certificate_is_shown_and_needs_its_key() {
    let ours = Authority::new("ours.example");
    let (_, key, pem) = ours.sign("plugin");
    ours.write("cert.pem", &pem);
    ours.write("key.pem", &key.serialize_pem());
    let server = Server::tcp(good(), Some(ours.server("127.0.0.1", true))).await;
    let trusted = || trusting(ours.file("ca.pem"));
    let both = Settings {
        client_cert: Some(ours.file("cert.pem")),
        client_key: Some(ours.file("key.pem")),
        ..trusted()
    };
    ask(&server.address, &both).await.unwrap();
    ask(&server.address, &trusted()).await.unwrap_err();
    for (half, message) in [
        (Settings { client_key: None, ..both }, "needed both"),
        (trusting(ours.file("key.pem")), "no certificate in PEM"),
        (trusting(ours.file("nothing.pem")), "can't be read"),
    ] {
        let error = ask(&server.address, &half).await.unwrap_err();
        assert!(error.contains(message), "{error}");
    }
}
