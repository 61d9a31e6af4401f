//! HTTP to core requests and back; no decisions of its own.
//!
//! In reading order:
//!
//! - [`listener`]: accepts connections, with TLS or without, within bounds
//! - [`socket`]: over TCP or a socket file
//! - [`forwarding`]: who a client is if a proxy speaks for it
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
mod misdirected;
mod paced;
pub mod request;
pub mod socket;
mod stream;
pub mod target;
pub mod watch;

#[cfg(test)]
mod fuzzed;

pub use body::Bodies;
pub use forwarding::Forwarding;
pub use listener::{Limits, Listener, TlsSource};
pub use socket::Socket;
pub use watch::Timeouts;

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use strongroom_core::Core;

/// The body of every answer: whole and in memory.
pub type Body = Full<Bytes>;

/// Answers one HTTP request.
pub async fn handle<B>(
    core: &Core,
    limits: &Limits,
    request: http::Request<B>,
    connection: Option<strongroom_sdk::engine::Connection>,
) -> Response<Body>
where
    B: hyper::body::Body<Data = Bytes> + Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let head_only = request.method() == http::Method::HEAD;
    let mut response = match request::read(request, limits, connection).await {
        // The share is held until the request is answered: till then its body lives on as fields.
        Ok((read, _share)) => match core.handle(read).await {
            Ok(answer) => answer::write(answer),
            Err(error) => error::write(&error),
        },
        Err(refusal) => refusal.write(),
    };
    if head_only {
        *response.body_mut() = Body::default();
    }
    response
}
