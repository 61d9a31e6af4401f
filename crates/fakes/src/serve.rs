//! Serves HTTP/1.1 on this machine, with or without TLS: for the fakes of this crate, and for those
//! that the tests of an engine write themselves.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

/// A request with its whole body.
#[derive(Debug)]
pub struct ReceivedRequest {
    /// The method, such as `POST`.
    pub method: Method,
    /// The path, still percent-encoded.
    pub path: String,
    /// The query's names and values, decoded.
    pub query: Vec<(String, String)>,
    /// All headers, with their names in lower case.
    pub headers: HeaderMap,
    /// The body, of at most 1 MiB.
    pub body: Bytes,
}

impl ReceivedRequest {
    /// The first value of a query parameter; empty if there is none.
    pub fn query_value(&self, name: &str) -> &str {
        let found = self.query.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value)
    }

    /// A header as text; empty if it is missing or not text.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// The response to a request; `None` closes the connection without one.
pub type MaybeResponse = Option<Response<Full<Bytes>>>;

/// The maximum size of a request body in bytes.
const MAX_BODY_BYTES: usize = 1 << 20;

/// A running server. Dropping it stops it and interrupts requests in progress.
#[derive(Debug)]
pub struct FakeHttpServer {
    pub(crate) addr: SocketAddr,
    _stop: DropGuard,
}

impl FakeHttpServer {
    /// The base URL of a server without TLS.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }
}

/// A response with a JSON body.
pub fn json_response(status: u16, body: &serde_json::Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body.to_string()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::IM_A_TEAPOT);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Listens, and passes each request to `answer`. With port 0 it takes a free port.
///
/// # Errors
///
/// The error of the operating system if it can't listen on the address.
pub async fn serve<F, Fut>(
    addr: SocketAddr,
    tls: Option<ServerConfig>,
    answer: F,
) -> io::Result<FakeHttpServer>
where
    F: Fn(ReceivedRequest) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = MaybeResponse> + Send + 'static,
{
    let listener = TcpListener::bind(addr).await?;
    let addr = listener.local_addr()?;
    let stop = CancellationToken::new();
    let (answer, tls) = (Arc::new(answer), tls.map(|tls| TlsAcceptor::from(Arc::new(tls))));
    let (tasks, stopped) = (TaskTracker::new(), stop.clone());
    let accept = async move {
        while let Ok((stream, _)) = listener.accept().await {
            let met = accept_connection(stream, tls.clone(), answer.clone());
            tasks.spawn(stopped.clone().run_until_cancelled_owned(met));
        }
    };
    TaskTracker::new().spawn(stop.clone().run_until_cancelled_owned(accept));
    Ok(FakeHttpServer { addr, _stop: stop.drop_guard() })
}

async fn accept_connection<F, Fut>(stream: TcpStream, tls: Option<TlsAcceptor>, answer: Arc<F>)
where
    F: Fn(ReceivedRequest) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = MaybeResponse> + Send + 'static,
{
    let Some(tls) = tls else { return serve_connection(stream, answer).await };
    // If the handshake fails, the client has already received the TLS alert.
    if let Ok(stream) = tls.accept(stream).await {
        serve_connection(stream, answer).await;
    }
}

async fn serve_connection<S, F, Fut>(stream: S, answer: Arc<F>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Fn(ReceivedRequest) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = MaybeResponse> + Send + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = answer.clone();
        async move {
            let Some(asked) = read_request(request).await else {
                return Ok(status_only(StatusCode::PAYLOAD_TOO_LARGE));
            };
            answer(asked).await.ok_or(HangUpError)
        }
    });
    // The error is ignored: clients may disconnect at any time.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

/// Closes the connection without a response.
#[derive(Debug)]
struct HangUpError;

impl std::fmt::Display for HangUpError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("no answer")
    }
}

impl std::error::Error for HangUpError {}

async fn read_request(request: Request<Incoming>) -> Option<ReceivedRequest> {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, MAX_BODY_BYTES).collect().await.ok()?.to_bytes();
    let query = head.uri.query().unwrap_or_default();
    let query = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let path = head.uri.path().to_owned();
    Some(ReceivedRequest { method: head.method, path, query, headers: head.headers, body })
}

fn status_only(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}
