//! One request and its answer. Nothing is cleaned up on the way: paths go out as they are written,
//! and redirects are answers.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// An answer as it came.
#[derive(Debug)]
pub struct RawExchange {
    /// The HTTP status.
    pub status: u16,
    /// All headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

const RESPONSE_TIMEOUT: Duration = Duration::from_secs(60);

/// Asks a server at `http://host:port`.
pub async fn send(address: &str, request: Request<Full<Bytes>>) -> Result<RawExchange, String> {
    match tokio::time::timeout(RESPONSE_TIMEOUT, exchange(address, request)).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(format!("no whole answer came from {address}: {error}")),
        Err(_) => Err(format!("no answer came from {address} in {} s", RESPONSE_TIMEOUT.as_secs())),
    }
}

async fn exchange(
    address: &str,
    mut request: Request<Full<Bytes>>,
) -> Result<RawExchange, Box<dyn std::error::Error>> {
    let host = address.strip_prefix("http://").ok_or("the address must be http://host:port")?;
    request.headers_mut().insert("host", host.parse()?);
    let stream = TcpStream::connect(host).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let asking = async move {
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok::<_, hyper::Error>(RawExchange {
            status: head.status.as_u16(),
            headers: head.headers,
            body,
        })
    };
    // The connection ends once its only sender is gone.
    let (answer, _) = tokio::join!(asking, connection);
    Ok(answer?)
}
