//! The HTTP request that fetches the certificate.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HOST};
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use strongroom_types::Secret;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use super::address::{UnwrapAddress, UnwrapEndpoint, unbracketed_host};
use super::server_verification::{self, TrustError};
use super::settings::UnwrapTlsSettings;

/// Why the request failed. The token can be used only once, so the request is never repeated.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    #[error(transparent)]
    Trust(#[from] TrustError),
    #[error("the server's name {0:?} is none that a certificate could have")]
    Name(String),
    #[error("the server can't be reached: {0}")]
    Connect(io::Error),
    #[error("TLS with the server failed: {0}")]
    Tls(io::Error),
    #[error("the connection to the server failed: {0}")]
    Http(#[from] hyper::Error),
    #[error("the server answers with status {}{}", .0.as_u16(), status_hint(*.0))]
    Status(StatusCode),
    #[error("the server's answer is cut off, or longer than any answer")]
    Body,
    #[error("the request can't be made")]
    Request,
}

/// Certificate and key take some 2 KiB; a server may add warnings.
const MAX_RESPONSE_BYTES: usize = 64 * 1024;

fn status_hint(status: StatusCode) -> &'static str {
    match status.as_u16() {
        300..400 => ": it names another server, which isn't followed",
        400 | 403 | 404 => ": the token is used up, too old, or of another server",
        _ => "",
    }
}

/// Sends the token to the server and returns its response.
pub(super) async fn send_unwrap(
    address: &UnwrapAddress,
    settings: &UnwrapTlsSettings,
    token: &Secret<String>,
) -> Result<Secret<Vec<u8>>, CallError> {
    let request = unwrap_request(address, token)?;
    match &address.endpoint {
        UnwrapEndpoint::Unix(path) => {
            let socket = UnixStream::connect(path).await.map_err(CallError::Connect)?;
            send_request(socket, request).await
        }
        UnwrapEndpoint::Http(authority) => {
            let port = authority.port_u16().unwrap_or(80);
            send_request(connect_tcp(unbracketed_host(authority), port).await?, request).await
        }
        UnwrapEndpoint::Https(authority) => {
            let config = Arc::new(server_verification::client_config(settings)?);
            let host = unbracketed_host(authority);
            let name = parse_server_name(settings.server_name.as_deref().unwrap_or(host))?;
            let socket = connect_tcp(host, authority.port_u16().unwrap_or(443)).await?;
            send_request(connect_tls(socket, config, name).await?, request).await
        }
    }
}

fn unwrap_request(
    address: &UnwrapAddress,
    token: &Secret<String>,
) -> Result<Request<Full<Bytes>>, CallError> {
    let mut shown = HeaderValue::from_str(token.expose_secret()).map_err(|_| CallError::Request)?;
    shown.set_sensitive(true);
    Request::builder()
        .method(Method::PUT)
        .uri(address.unwrap_path())
        .header(HOST, address.host_header())
        .header(CONTENT_TYPE, "application/json")
        .header(CONNECTION, "close")
        .header("x-vault-request", "true")
        .header("x-vault-token", shown)
        .body(Full::new(Bytes::from_static(b"null")))
        .map_err(|_| CallError::Request)
}

fn parse_server_name(text: &str) -> Result<ServerName<'static>, CallError> {
    ServerName::try_from(text.to_owned()).map_err(|_| CallError::Name(text.to_owned()))
}

async fn connect_tcp(host: &str, port: u16) -> Result<TcpStream, CallError> {
    TcpStream::connect((host, port)).await.map_err(CallError::Connect)
}

async fn connect_tls(
    socket: TcpStream,
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
) -> Result<impl AsyncRead + AsyncWrite + Send + Unpin + 'static, CallError> {
    TlsConnector::from(config).connect(name, socket).await.map_err(CallError::Tls)
}

async fn send_request<T>(
    stream: T,
    request: Request<Full<Bytes>>,
) -> Result<Secret<Vec<u8>>, CallError>
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let answer = async {
        let response = sender.send_request(request).await?;
        if response.status() != StatusCode::OK {
            return Err(CallError::Status(response.status()));
        }
        let body = Limited::new(response.into_body(), MAX_RESPONSE_BYTES).collect().await;
        Ok(Secret::new(body.map_err(|_| CallError::Body)?.to_bytes().to_vec()))
    };
    let driven = async {
        // The caller that waits for the response receives the error too.
        drop(connection.await);
        std::future::pending().await
    };
    tokio::select! {
        biased;
        answer = answer => answer,
        never = driven => never,
    }
}
