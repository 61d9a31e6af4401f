//! HTTP to core requests and back; no decisions of its own.
//!
//! In reading order:
//!
//! - [`listener`]: accepts connections, with TLS or without, within bounds
//! - `places`: how many connections there may be, and which makes room
//! - [`socket`]: over TCP or a socket file
//! - [`forwarding`]: who a client is if a proxy speaks for it
//! - [`metrics_access`]: who gets metrics on a listener
//! - [`outgoing`]: headers of answers, and what is left out of them on a listener
//! - [`descriptors`]: how many connections that may be
//! - `connection`: HTTP over one of them; [`watch`]: how long a client may take for what;
//!   `stream` and `paced` tell the watch what moves
//! - `misdirected`: clients that don't get in where TLS is spoken
//! - [`request`]: from HTTP to a core request
//! - [`body`]: its body, bounded for itself and together with all others
//! - [`target`]: the path and query of a request, cleaned or refused
//! - [`answer`]: from a core answer to HTTP
//! - [`error`]: from a failed request to a status; the only place that names one for an error

// What the fuzz targets check sees the crate as others do.
#[cfg(test)]
extern crate self as strongroom_http;

pub mod answer;
pub mod body;
mod connection;
pub mod descriptors;
pub mod error;
pub mod forwarding;
pub mod listener;
pub mod metrics_access;
mod misdirected;
pub mod outgoing;
mod paced;
mod places;
pub mod request;
pub mod socket;
mod stream;
pub mod target;
pub mod watch;

#[cfg(test)]
mod fuzzed;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod unwiped;

pub use body::{Bodies, heaviest};
pub use forwarding::Forwarding;
pub use listener::{Limits, Listener, TlsSource};
pub use metrics_access::MetricsAccess;
pub use outgoing::{CustomHeader, Outgoing, Statuses};
pub use socket::Socket;
pub use watch::Timeouts;

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use strongroom_core::{Answer, Core, Request, RequestHead};
use strongroom_sdk::engine::Connection;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::request::{Begun, Refusal};

/// The body of every answer: whole and in memory.
pub type Body = Full<Bytes>;

/// What is known of the connection that a request came over. Clones share it.
#[derive(Clone, Debug)]
pub struct ConnectionContext {
    /// The client's end; none on a socket file.
    pub client: Option<Connection>,
    /// Requests to paths that are exempt from admission control; more of one connection wait.
    exempt: Arc<Semaphore>,
    /// The same, with those that wait. What waits takes memory that no limit counts, so that more
    /// are refused.
    exempt_or_waiting: Arc<Semaphore>,
    /// Set once a valid token came over it.
    is_trusted: Arc<AtomicBool>,
}

/// Requests that one connection may have at exempt paths at the same time.
const EXEMPT_AT_ONCE: usize = 8;
/// As many, with those that wait for one of these places.
const EXEMPT_OR_WAITING: usize = 32;

impl ConnectionContext {
    /// Of a new connection.
    pub fn new(client: Option<Connection>) -> Self {
        let semaphore = |places| Arc::new(Semaphore::new(places));
        let exempt = semaphore(EXEMPT_AT_ONCE);
        let exempt_or_waiting = semaphore(EXEMPT_OR_WAITING);
        Self { client, exempt, exempt_or_waiting, is_trusted: Arc::default() }
    }
}

/// Answers one HTTP request. It is admitted before anything of its body is read; one that isn't is
/// answered with what the core says.
pub async fn handle<B>(
    core: &Core,
    limits: &Limits,
    request: http::Request<B>,
    connection: ConnectionContext,
) -> Response<Body>
where
    B: hyper::body::Body<Data = Bytes> + Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let head_only = request.method() == http::Method::HEAD;
    let mut response = match answered(core, limits, request, connection).await {
        Ok(answer) => answer::write(answer),
        Err(response) => response,
    };
    if head_only {
        *response.body_mut() = Body::default();
    }
    response
}

async fn answered<B>(
    core: &Core,
    limits: &Limits,
    request: http::Request<B>,
    connection: ConnectionContext,
) -> Result<Answer, Response<Body>>
where
    B: hyper::body::Body<Data = Bytes> + Send,
{
    let (head, body) = request.into_parts();
    let begun = Begun::new(head).map_err(Refusal::write)?;
    let token = begun.token();
    let client = connection.client;
    let head = RequestHead { path: begun.path(), token: token.as_ref(), connection: client };
    let mut permit = match core.admit(head).await {
        Ok(permit) => permit,
        Err(error) => {
            begun.hear_out(body, limits).await;
            return Err(error::write(&error));
        }
    };
    if !connection.is_trusted.load(Ordering::Relaxed) {
        permit.tell_when_authenticated(connection.is_trusted.clone());
    }
    // Both are dropped once the request is answered.
    let _places = match permit.is_exempt() {
        true => Some(exempt_places(&connection, &begun).await.map_err(Refusal::write)?),
        false => None,
    };
    let class = request::class_of(&permit);
    let read = {
        let check_token = pin!(core.authenticate_early(&mut permit, token.as_ref(), client));
        request::read(begun, body, class, check_token, limits, client).await
    };
    let (request, share) = read.map_err(Refusal::write)?;
    // The body lives on as fields until the work ends, also if the client goes before.
    if share.is_some() {
        permit.hold(share);
    }
    let answer = core.handle(permit, Request { token, ..request }).await;
    answer.map_err(|error| error::write(&error))
}

/// A place among the requests of a connection to exempt paths. Such a request takes no share of the
/// memory for all, so that it must be small, and few of them may wait.
async fn exempt_places<'c>(
    connection: &'c ConnectionContext,
    begun: &Begun,
) -> Result<(SemaphorePermit<'c>, Option<SemaphorePermit<'c>>), Refusal> {
    begun.check_exempt_head()?;
    let waiting = connection.exempt_or_waiting.try_acquire();
    let waiting = waiting.map_err(|_| Refusal::too_many_exempt())?;
    // Never closed, so this is no error.
    Ok((waiting, connection.exempt.acquire().await.ok()))
}
