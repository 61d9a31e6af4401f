//! HTTP to core requests and back; no decisions of its own.
//!
//! In reading order:
//!
//! - [`listener`]: accepts connections, with TLS or without, within bounds
//! - `places`: how many connections there may be, and which makes room
//! - [`socket`]: over TCP or a socket file
//! - [`forwarding`]: who a client is if a proxy speaks for it
//! - [`metrics_access`]: who gets metrics on a listener
//! - [`response_rules`]: headers of answers, and what is left out of them on a listener
//! - [`descriptors`]: how many connections that may be
//! - `connection`: HTTP over one of them; [`connection_deadlines`]: how long a client may take for what;
//!   `stream` and `paced` tell the watch what moves
//! - `misdirected`: clients that don't get in where TLS is spoken
//! - [`request`]: from HTTP to a core request
//! - [`body`]: its body, bounded for itself and together with all others
//! - [`target`]: the path and query of a request, cleaned or refused
//! - [`response`]: from a core answer to HTTP
//! - [`error`]: from a failed request to a status; the only place that names one for an error

// What the fuzz targets check sees the crate as others do.
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
use http_body_util::Full;
use strongroom_core::{Core, CoreRequest, CoreResponse, RequestHead};
use strongroom_sdk::engine::ConnectionInfo;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::request::{HttpRefusal, ParsedHead};

/// The body of every answer: whole and in memory.
pub type Body = Full<Bytes>;

/// What is known of the connection that a request came over. Clones share it.
#[derive(Clone, Debug)]
pub struct ConnectionContext {
    /// The client's end; none on a socket file.
    pub client: Option<ConnectionInfo>,
    /// Requests to paths that are exempt from admission control; more of one connection wait.
    exempt: Arc<Semaphore>,
    /// The same, with those that wait. What waits takes memory that no limit counts, so that more
    /// are refused.
    exempt_or_waiting: Arc<Semaphore>,
    /// Set once a valid token came over it.
    is_trusted: Arc<AtomicBool>,
}

/// Requests that one connection may have at exempt paths at the same time.
const MAX_EXEMPT_IN_FLIGHT: usize = 8;
/// As many, with those that wait for one of these places.
const MAX_EXEMPT_PENDING: usize = 32;

impl ConnectionContext {
    /// Of a new connection.
    pub fn new(client: Option<ConnectionInfo>) -> Self {
        let semaphore = |places| Arc::new(Semaphore::new(places));
        let exempt = semaphore(MAX_EXEMPT_IN_FLIGHT);
        let exempt_or_waiting = semaphore(MAX_EXEMPT_PENDING);
        Self { client, exempt, exempt_or_waiting, is_trusted: Arc::default() }
    }
}

/// Answers one HTTP request. It is admitted before anything of its body is read; one that isn't is
/// answered with what the core says.
pub async fn handle<B>(
    core: &Core,
    limits: &HttpLimits,
    request: http::Request<B>,
    connection: ConnectionContext,
) -> Response<Body>
where
    B: hyper::body::Body<Data = Bytes> + Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let head_only = request.method() == http::Method::HEAD;
    let mut response = match process_request(core, limits, request, connection).await {
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
    request: http::Request<B>,
    connection: ConnectionContext,
) -> Result<CoreResponse, Response<Body>>
where
    B: hyper::body::Body<Data = Bytes> + Send,
{
    let (head, body) = request.into_parts();
    let begun = ParsedHead::new(head).map_err(HttpRefusal::into_response)?;
    let token = begun.sent_token();
    let client = connection.client;
    let head = RequestHead { path: begun.path(), token: token.as_ref(), connection: client };
    let mut permit = match core.admit(head).await {
        Ok(permit) => permit,
        Err(error) => {
            begun.drain_body(body, limits).await;
            return Err(error::to_http(&error));
        }
    };
    if !connection.is_trusted.load(Ordering::Relaxed) {
        permit.signal_when_authenticated(connection.is_trusted.clone());
    }
    // Both are dropped once the request is answered.
    let _places = match permit.is_exempt() {
        true => Some(
            acquire_exempt_permits(&connection, &begun)
                .await
                .map_err(HttpRefusal::into_response)?,
        ),
        false => None,
    };
    let class = request::body_class(&permit);
    let read = {
        let check_token = pin!(core.authenticate_early(&mut permit, token.as_ref(), client));
        request::read_request(begun, body, class, check_token, limits, client).await
    };
    let (request, share) = read.map_err(HttpRefusal::into_response)?;
    // The body lives on as fields until the work ends, also if the client goes before.
    if share.is_some() {
        permit.hold_until_done(share);
    }
    let answer = core.handle(permit, CoreRequest { token, ..request }).await;
    answer.map_err(|error| error::to_http(&error))
}

/// A place among the requests of a connection to exempt paths. Such a request takes no share of the
/// memory for all, so that it must be small, and few of them may wait.
async fn acquire_exempt_permits<'c>(
    connection: &'c ConnectionContext,
    begun: &ParsedHead,
) -> Result<(SemaphorePermit<'c>, Option<SemaphorePermit<'c>>), HttpRefusal> {
    begun.check_exempt_head()?;
    let waiting = connection.exempt_or_waiting.try_acquire();
    let waiting = waiting.map_err(|_| HttpRefusal::too_many_exempt_requests())?;
    // Never closed, so this is no error.
    Ok((waiting, connection.exempt.acquire().await.ok()))
}
