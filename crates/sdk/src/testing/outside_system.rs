//! [`OutsideSystem`]: a stand-in for the system that an engine manages, which fails on demand.

use std::convert::Infallible;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

/// The maximum size of a request body in bytes. Larger requests are answered with status 413.
const MAX_BODY_BYTES: usize = 1 << 20;

/// How an [`OutsideSystem`] fails when a test asks it to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OutsideFault {
    /// Carries nothing out, and responds with this status and an empty object.
    Refuses(u16),
    /// Carries nothing out, and closes the connection without a response.
    LosesRequest,
    /// Carries out the request, and closes the connection without a response: the client can't know
    /// that it was carried out.
    LosesResponse,
    /// Carries out the request, and never responds. The client's time limit ends the wait.
    NeverResponds,
    /// Carries out the request, and responds with a text that is no JSON, of type HTML, as proxies
    /// send it.
    RespondsWithHtml,
}

/// A stand-in for the system that an engine manages: an HTTP server on a free port of this machine,
/// whose state is a value of the test. It stops when it is dropped.
///
/// ```
/// use std::collections::BTreeMap;
///
/// use strongroom_sdk::testing::{OutsideFault, OutsideRequest, OutsideSystem, json};
/// use strongroom_sdk::testing::JsonValue;
///
/// /// The users of the system, with their passwords.
/// type Users = BTreeMap<String, String>;
///
/// fn respond(users: &mut Users, request: &OutsideRequest) -> (u16, JsonValue) {
///     match (request.method(), &request.segments()[..]) {
///         ("PUT", ["users", name]) => {
///             users.insert((*name).to_owned(), request.json_text("password"));
///             (201, json!({}))
///         }
///         _ => (404, json!({ "error": "no such path" })),
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let system = OutsideSystem::start(Users::new(), respond).await;
/// system.fail_once(OutsideFault::LosesResponse);
/// // The engine is configured with `system.url()`, and the test looks at what it did.
/// assert!(system.state().is_empty());
/// # }
/// ```
pub struct OutsideSystem<S> {
    shared: Arc<SharedSystem<S>>,
    addr: SocketAddr,
    _stop: DropGuard,
}

/// What carries out a request: it changes the state, and returns a status and a JSON body.
type Responder<S> = fn(&mut S, &OutsideRequest) -> (u16, Value);

struct SharedSystem<S> {
    state: Mutex<S>,
    faults: Mutex<Faults>,
    respond: Responder<S>,
}

#[derive(Debug, Default)]
struct Faults {
    once: Option<OutsideFault>,
    lasting: Option<OutsideFault>,
    requests: usize,
}

impl<S: Send + 'static> OutsideSystem<S> {
    /// Starts a system in this state, which carries out requests with `respond`, one at a time.
    ///
    /// # Panics
    ///
    /// If the operating system has no free port.
    pub async fn start(state: S, respond: Responder<S>) -> Self {
        let listener = match TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await {
            Ok(listener) => listener,
            Err(error) => panic!("the stand-in can't listen: {error}"),
        };
        let addr = match listener.local_addr() {
            Ok(addr) => addr,
            Err(error) => panic!("the stand-in has no address: {error}"),
        };
        let shared =
            Arc::new(SharedSystem { state: Mutex::new(state), faults: Mutex::default(), respond });
        let stop = CancellationToken::new();
        let (tasks, stopped, system) = (TaskTracker::new(), stop.clone(), shared.clone());
        let accept = async move {
            while let Ok((stream, _)) = listener.accept().await {
                let connection = serve_connection(stream, system.clone());
                tasks.spawn(stopped.clone().run_until_cancelled_owned(connection));
            }
        };
        TaskTracker::new().spawn(stop.clone().run_until_cancelled_owned(accept));
        Self { shared, addr, _stop: stop.drop_guard() }
    }

    /// The base URL, such as `http://127.0.0.1:40123`.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// The state, for a test to look at or to change. Requests wait as long as the guard is held.
    pub fn state(&self) -> MutexGuard<'_, S> {
        lock(&self.shared.state)
    }

    /// How many requests have arrived, those that failed by a fault included.
    pub fn requests(&self) -> usize {
        lock(&self.shared.faults).requests
    }

    /// Makes the next request fail in this way.
    pub fn fail_once(&self, fault: OutsideFault) {
        lock(&self.shared.faults).once = Some(fault);
    }

    /// Makes all requests fail in this way until [`OutsideSystem::repair`] is called.
    pub fn fail(&self, fault: OutsideFault) {
        lock(&self.shared.faults).lasting = Some(fault);
    }

    /// Ends all faults, a pending [`OutsideSystem::fail_once`] included.
    pub fn repair(&self) {
        let mut faults = lock(&self.shared.faults);
        (faults.once, faults.lasting) = (None, None);
    }
}

impl<S> fmt::Debug for OutsideSystem<S> {
    /// Leaves out the state, which may contain secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutsideSystem").field("addr", &self.addr).finish_non_exhaustive()
    }
}

/// A request that an [`OutsideSystem`] has received.
pub struct OutsideRequest {
    method: Method,
    path: String,
    query: String,
    headers: HeaderMap,
    body: Bytes,
}

impl fmt::Debug for OutsideRequest {
    /// Leaves out headers and body, which may contain secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}

impl OutsideRequest {
    /// The method in upper case, such as `POST`.
    pub fn method(&self) -> &str {
        self.method.as_str()
    }

    /// The path as the client sent it, percent-encoded and without the query.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The segments of the path, percent-encoded, without empty ones at its ends.
    pub fn segments(&self) -> Vec<&str> {
        self.path.trim_matches('/').split('/').collect()
    }

    /// The first value of a query parameter, decoded; empty if there is none.
    pub fn query_value(&self, name: &str) -> String {
        let pairs = self.query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        let found = pairs.into_iter().find(|(known, _)| *known == name);
        found.map_or_else(String::new, |(_, value)| {
            percent_decode_str(&value.replace('+', " ")).decode_utf8_lossy().into_owned()
        })
    }

    /// A header as text; empty if it is missing or not text.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The token of a request that authenticates with `Authorization: Bearer`; empty otherwise.
    pub fn bearer_token(&self) -> &str {
        self.header(AUTHORIZATION.as_str()).strip_prefix("Bearer ").unwrap_or_default()
    }

    /// The body as it was received.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The body as JSON; null if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// A text in the body's JSON object; empty if it is missing or no text.
    pub fn json_text(&self, name: &str) -> String {
        self.json().get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
    }
}

/// The connection ends without a response.
#[derive(Debug)]
struct ConnectionClosed;

impl fmt::Display for ConnectionClosed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("closed by an injected fault")
    }
}

impl std::error::Error for ConnectionClosed {}

async fn serve_connection<S: Send + 'static>(stream: TcpStream, system: Arc<SharedSystem<S>>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let system = system.clone();
        async move {
            match read_request(request).await {
                Some(request) => system.handle(&request).await,
                None => Ok(json_response(413, &Value::Null)),
            }
        }
    });
    // Clients may disconnect at any time.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn read_request(request: Request<Incoming>) -> Option<OutsideRequest> {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, MAX_BODY_BYTES).collect().await.ok()?.to_bytes();
    Some(OutsideRequest {
        method: head.method,
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: head.headers,
        body,
    })
}

impl<S> SharedSystem<S> {
    async fn handle(
        &self,
        request: &OutsideRequest,
    ) -> Result<Response<Full<Bytes>>, ConnectionClosed> {
        let fault = {
            let mut faults = lock(&self.faults);
            faults.requests += 1;
            faults.once.take().or(faults.lasting)
        };
        match fault {
            Some(OutsideFault::Refuses(status)) => {
                return Ok(json_response(status, &Value::Object(serde_json::Map::new())));
            }
            Some(OutsideFault::LosesRequest) => return Err(ConnectionClosed),
            _ => {}
        }
        let (status, body) = (self.respond)(&mut lock(&self.state), request);
        match fault {
            None => Ok(json_response(status, &body)),
            Some(OutsideFault::NeverResponds) => {
                match std::future::pending::<Infallible>().await {}
            }
            Some(OutsideFault::RespondsWithHtml) => {
                let mut response = Response::new(Full::from("<html><body>proxy</body></html>"));
                let html = HeaderValue::from_static("text/html");
                response.headers_mut().insert(CONTENT_TYPE, html);
                Ok(response)
            }
            Some(_) => Err(ConnectionClosed),
        }
    }
}

fn json_response(status: u16, body: &Value) -> Response<Full<Bytes>> {
    let text = if body.is_null() { String::new() } else { body.to_string() };
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::IM_A_TEAPOT);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A test that panicked while it held the state fails by itself.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
