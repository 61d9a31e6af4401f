//! The HTTP layer: turns HTTP requests into core requests and core responses into HTTP. It makes no
//! authorization decisions of its own.
//!
//! In reading order:
//!
//! - [`listener`]: accepts connections, with or without TLS, up to a limit
//! - `connection_slots`: counts a listener's connections and picks the ones to close when it is
//!   full
//! - [`socket`]: the listening socket, TCP or a Unix socket file
//! - [`forwarding`]: the client's address when a proxy forwards the request
//! - [`metrics_access`]: the rules of a listener for `sys/metrics`
//! - [`response_rules`]: custom response headers, and redaction of responses on a listener
//! - [`descriptors`]: the open-file limit, and how many connections it allows
//! - `connection`: serves HTTP on one connection; [`connection_deadlines`]: the timeouts of a
//!   client; `stream` and `chunked_body` report progress to them
//! - `plain_http_on_tls`: clients that send plain HTTP to a TLS port, and failed handshakes
//! - [`request`]: from HTTP to a core request
//! - [`body`]: reads request bodies, bounded one by one and in total
//! - [`target`]: the path and query of a request, normalized or refused
//! - [`response`]: from a core response to HTTP
//! - [`error`]: from a failed request to a status code; the only module that maps errors to
//!   statuses

// The fuzz target's checks name this crate from outside, as `strongroom_http`.
#[cfg(test)]
extern crate self as strongroom_http;

pub mod body;
mod chunked_body;
mod connection;
pub mod connection_deadlines;
mod connection_slots;
pub mod descriptors;
pub mod error;
pub mod forwarding;
pub mod listener;
pub mod metrics_access;
mod plain_http_on_tls;
pub mod request;
pub mod response;
pub mod response_rules;
pub mod socket;
mod stream;
pub mod target;

#[cfg(test)]
mod freed_memory_scan;
#[cfg(test)]
mod fuzzed;
#[cfg(test)]
mod request_log_tests;
#[cfg(test)]
mod tests;

pub use body::{BodyMemoryPool, max_request_memory};
pub use connection_deadlines::ConnectionTimeouts;
pub use forwarding::ForwardedForRules;
pub use listener::{HttpLimits, Listener, TlsSource};
pub use metrics_access::MetricsAccess;
pub use response_rules::{CustomHeader, ResponseRules, StatusSelector};
pub use socket::ListenerSocket;

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http::Response;
use http::request::Parts;
use http_body_util::Full;
use strongroom_core::request_span::RequestSpan;
use strongroom_core::{Core, CoreRequest, CoreResponse, RequestHead};
use strongroom_engine::ConnectionInfo;
use tokio::sync::{Semaphore, SemaphorePermit};
use tracing::Instrument;

use crate::request::{HttpRefusal, ParsedHead, RequestSource};

/// The body of every response: complete and in memory, never streamed from an engine.
pub type Body = Full<Bytes>;

/// State of the connection that a request arrived on. Clones share it.
#[derive(Clone, Debug)]
pub struct ConnectionContext {
    /// The client's address and port; `None` on a Unix socket.
    pub client: Option<ConnectionInfo>,
    /// Limits concurrent requests to paths that are exempt from admission control. Further requests
    /// on the same connection wait.
    exempt: Arc<Semaphore>,
    /// Counts the waiting requests as well. They hold memory that no other limit covers, so beyond
    /// this the request is refused with 429.
    exempt_or_waiting: Arc<Semaphore>,
    /// Set once a request with a valid token arrived on this connection.
    is_trusted: Arc<AtomicBool>,
}

/// Concurrent requests to exempt paths on one connection.
const MAX_EXEMPT_IN_FLIGHT: usize = 8;
/// The same, including the requests that wait for a permit.
const MAX_EXEMPT_PENDING: usize = 32;

impl ConnectionContext {
    /// The context of a new connection, which is not trusted yet. `client` is `None` on a Unix
    /// socket.
    pub fn new(client: Option<ConnectionInfo>) -> Self {
        let semaphore = |places| Arc::new(Semaphore::new(places));
        let exempt = semaphore(MAX_EXEMPT_IN_FLIGHT);
        let exempt_or_waiting = semaphore(MAX_EXEMPT_PENDING);
        Self { client, exempt, exempt_or_waiting, is_trusted: Arc::default() }
    }
}

/// Serves one HTTP request and returns the response, also for failures. The request passes
/// admission control before any of its body is read; one that is refused gets the core's error. The
/// body of a response to `HEAD` is dropped.
pub fn handle<'a, B>(
    core: &'a Core,
    limits: &'a HttpLimits,
    request: http::Request<B>,
    connection: ConnectionContext,
) -> impl Future<Output = Response<Body>> + use<'a, B>
where
    B: hyper::body::Body<Data = Bytes> + Send + 'a,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (head, body) = request.into_parts();
    handle_parts(core, limits, Box::new(head), body, connection)
}

/// [`handle`] for a request in two parts. The head is boxed: it is large, and each future that a
/// request passes through would have a place for it.
pub(crate) async fn handle_parts<B>(
    core: &Core,
    limits: &HttpLimits,
    head: Box<Parts>,
    body: B,
    connection: ConnectionContext,
) -> Response<Body>
where
    B: hyper::body::Body<Data = Bytes> + Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let head_only = head.method == http::Method::HEAD;
    let span = core.begin_request();
    let response = process_request(core, limits, &span, head, body, connection);
    let mut response = match response.instrument(span.span().clone()).await {
        Ok(answer) => response::to_http(answer),
        Err(response) => response,
    };
    if head_only {
        *response.body_mut() = Body::default();
    }
    response
}

async fn process_request<B>(
    core: &Core,
    limits: &HttpLimits,
    span: &RequestSpan,
    head: Box<Parts>,
    body: B,
    connection: ConnectionContext,
) -> Result<CoreResponse, Response<Body>>
where
    B: hyper::body::Body<Data = Bytes> + Send,
{
    let refuse = |refusal: HttpRefusal| refusal.into_response(span.id());
    let parsed_head = ParsedHead::new(head).map_err(refuse)?;
    let token = parsed_head.sent_token();
    let client = connection.client.clone();
    let address = client.as_ref().map(|client| client.address);
    let head = RequestHead { path: parsed_head.path(), token: token.as_ref(), address };
    let mut permit = match core.admit(head).await {
        Ok(permit) => permit,
        Err(error) => {
            Box::pin(parsed_head.drain_body(body, limits)).await;
            return Err(error::to_http(&error, span.id()));
        }
    };
    if !connection.is_trusted.load(Ordering::Relaxed) {
        permit.signal_when_authenticated(connection.is_trusted.clone());
    }
    // Both permits are released once the request is answered.
    let _places = match permit.is_exempt() {
        true => {
            let acquired = acquire_exempt_permits(&connection, &parsed_head);
            Some(Box::pin(acquired).await.map_err(refuse)?)
        }
        false => None,
    };
    let form = request::body_form(&permit);
    let read = {
        let check_token = pin!(core.authenticate_early(&mut permit, token.as_ref(), address));
        let source = RequestSource { span: span.clone(), connection: client };
        request::read_request(parsed_head, body, form, check_token, limits, source).await
    };
    let (request, budget) = read.map_err(refuse)?;
    // The parsed fields stay in memory until the work ends, even if the client disconnects first.
    if budget.has_reserved() {
        permit.hold_until_done(budget);
    }
    let response = core.handle(permit, CoreRequest { token, ..request }).await;
    response.map_err(|error| error::to_http(&error, span.id()))
}

/// Acquires the permits for a request to an exempt path. Such requests are not charged to the
/// shared body memory, so their heads must be small and only a few of them may wait.
async fn acquire_exempt_permits<'c>(
    connection: &'c ConnectionContext,
    head: &ParsedHead,
) -> Result<(SemaphorePermit<'c>, Option<SemaphorePermit<'c>>), HttpRefusal> {
    head.check_exempt_head()?;
    let waiting = connection.exempt_or_waiting.try_acquire();
    let waiting = waiting.map_err(|_| HttpRefusal::too_many_exempt_requests())?;
    // The semaphore is never closed, so `acquire` cannot fail.
    Ok((waiting, connection.exempt.acquire().await.ok()))
}
