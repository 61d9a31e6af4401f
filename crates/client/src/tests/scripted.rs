//! A server that sends scripted responses, one for each request, and records the requests.

use std::path::Path;
use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// One scripted response.
#[derive(Clone, Default)]
pub(crate) struct ScriptedResponse {
    pub(crate) status: u16,
    pub(crate) headers: Vec<String>,
    pub(crate) body: String,
    /// Whether the response has a `Content-Length` header.
    pub(crate) send_content_length: bool,
    hang_up: bool,
    raw_bytes: Option<&'static str>,
    /// Sent as it is after the request was read, in place of a built response.
    full_response: Option<&'static str>,
}

pub(crate) fn response(status: u16, body: &str) -> ScriptedResponse {
    ScriptedResponse {
        status,
        body: body.to_owned(),
        send_content_length: true,
        ..ScriptedResponse::default()
    }
}

impl ScriptedResponse {
    /// Closes the connection instead of responding.
    pub(crate) fn hang_up() -> Self {
        Self { hang_up: true, ..Self::default() }
    }

    /// Sends this text as soon as a connection is made.
    pub(crate) fn raw_bytes(text: &'static str) -> Self {
        Self { raw_bytes: Some(text), ..Self::default() }
    }

    /// Responds with this text, which needn't be HTTP.
    pub(crate) fn full_response(text: &'static str) -> Self {
        Self { full_response: Some(text), ..Self::default() }
    }

    fn to_http_text(&self) -> String {
        if let Some(reply) = self.full_response {
            return reply.to_owned();
        }
        let mut text = format!("HTTP/1.1 {} X\r\n", self.status);
        for header in &self.headers {
            text.push_str(&format!("{header}\r\n"));
        }
        if self.send_content_length {
            text.push_str(&format!("content-length: {}\r\n", self.body.len()));
        }
        format!("{text}connection: close\r\n\r\n{}", self.body)
    }
}

/// The running server. It stops when this value is dropped.
pub(crate) struct ScriptedServer {
    address: String,
    received_requests: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl ScriptedServer {
    pub(crate) async fn start(replies: Vec<ScriptedResponse>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        Self::run(address, ServerSocket::Tcp(listener), replies)
    }

    pub(crate) async fn start_on(socket: &Path, replies: Vec<ScriptedResponse>) -> Self {
        Self::run(String::new(), ServerSocket::Unix(UnixListener::bind(socket).unwrap()), replies)
    }

    fn run(address: String, socket: ServerSocket, replies: Vec<ScriptedResponse>) -> Self {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let kept = asked.clone();
        #[expect(clippy::disallowed_methods, reason = "the test's own task, ended with the server")]
        let task = tokio::spawn(async move {
            for reply in replies {
                serve_connection(socket.accept().await, &kept, reply).await;
            }
        });
        Self { address, received_requests: asked, task }
    }

    pub(crate) fn address(&self) -> String {
        self.address.clone()
    }

    /// The requests received so far, each with head and body.
    pub(crate) fn received_requests(&self) -> Vec<String> {
        self.received_requests.lock().unwrap().clone()
    }
}

/// The kinds of sockets the server listens on.
enum ServerSocket {
    Tcp(TcpListener),
    Unix(UnixListener),
    Tls(TcpListener, TlsAcceptor),
}

trait IoStream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> IoStream for S {}

impl ServerSocket {
    async fn accept(&self) -> Box<dyn IoStream> {
        match self {
            Self::Tcp(listener) => Box::new(listener.accept().await.unwrap().0),
            Self::Unix(listener) => Box::new(listener.accept().await.unwrap().0),
            // A client that rejects the certificate disconnects; wait for the next one.
            Self::Tls(listener, acceptor) => loop {
                let (stream, _) = listener.accept().await.unwrap();
                if let Ok(stream) = acceptor.accept(stream).await {
                    return Box::new(stream);
                }
            },
        }
    }
}

impl Drop for ScriptedServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Starts a server with a certificate for these names; also returns the CA certificate as PEM. Its
/// address names `localhost`.
pub(crate) async fn start_tls(
    names: &[&str],
    replies: Vec<ScriptedResponse>,
) -> (ScriptedServer, String) {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    serve_tls(CertificateParams::new(names).unwrap(), replies).await
}

/// The same for `localhost`, with a certificate that expires at the start of `year`.
pub(crate) async fn start_tls_valid_until(
    year: i32,
    replies: Vec<ScriptedResponse>,
) -> (ScriptedServer, String) {
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(year - 1, 1, 1);
    params.not_after = rcgen::date_time_ymd(year, 1, 1);
    serve_tls(params, replies).await
}

async fn serve_tls(
    params: CertificateParams,
    replies: Vec<ScriptedResponse>,
) -> (ScriptedServer, String) {
    let ca = issue_ca("the servers' CA");
    let key = KeyPair::generate().unwrap();
    let cert = params.signed_by(&key, &ca).unwrap();
    let chain = vec![CertificateDer::from(cert.der().to_vec())];
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    let server = ScriptedServer::run(address, ServerSocket::Tls(listener, acceptor), replies);
    (server, ca.pem())
}

/// The certificate of a CA that signed none of the server certificates.
pub(crate) fn other_ca() -> String {
    issue_ca("another CA").pem()
}

/// A client certificate and its key, in PEM.
pub(crate) fn client_certificate() -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["client".to_owned()]).unwrap();
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

fn issue_ca(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

async fn serve_connection(
    mut stream: Box<dyn IoStream>,
    asked: &Mutex<Vec<String>>,
    reply: ScriptedResponse,
) {
    if let Some(raw) = reply.raw_bytes {
        stream.write_all(raw.as_bytes()).await.ok();
        return;
    }
    let request = read_request(&mut *stream).await;
    asked.lock().unwrap().push(request);
    if !reply.hang_up {
        stream.write_all(reply.to_http_text().as_bytes()).await.ok();
    }
    stream.shutdown().await.ok();
}

/// Reads a whole request: the head, and as many body bytes as it announces.
async fn read_request(stream: &mut dyn IoStream) -> String {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                return text;
            }
        }
        if stream.read_buf(&mut bytes).await.unwrap() == 0 {
            return text;
        }
    }
}
