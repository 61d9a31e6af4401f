//! Connections: directly or through a proxy, with TLS for https.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::Uri;
use http::uri::Scheme;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{CertificateError, ClientConfig};
use strongroom_types::Secret;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::proxy::{ProxyAddress, ProxySettings, unbracketed_host};
use super::tls;

/// Makes connections for a client; cheap to clone.
#[derive(Clone)]
pub(super) struct HttpConnector(Arc<ConnectorSettings>);

struct ConnectorSettings {
    proxies: ProxySettings,
    /// `None` for the configuration of the process.
    tls: Option<Arc<ClientConfig>>,
    /// `None` for the host of each request.
    server_name: Option<ServerName<'static>>,
}

/// Why no connection was made. The text is ours, since those of libraries name addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct ConnectError(pub(super) &'static str);

#[cfg(feature = "ldap")]
impl ConnectError {
    /// What went wrong, without address and certificate.
    pub(crate) fn reason(self) -> &'static str {
        self.0
    }
}

/// The reason if the port is closed, the name is unknown, or there is no route.
const COULD_NOT_CONNECT: ConnectError = ConnectError("could not connect");
const PROXY_FAILED: ConnectError = ConnectError("the proxy failed");

impl HttpConnector {
    pub(super) fn new(
        proxies: ProxySettings,
        tls: Option<Arc<ClientConfig>>,
        server_name: Option<ServerName<'static>>,
    ) -> Self {
        Self(Arc::new(ConnectorSettings { proxies, tls, server_name }))
    }
}

impl tower_service::Service<Uri> for HttpConnector {
    type Response = HttpConnection;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpConnection, ConnectError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let settings = self.0.clone();
        Box::pin(async move { settings.connect(&uri).await })
    }
}

impl ConnectorSettings {
    async fn connect(&self, uri: &Uri) -> Result<HttpConnection, ConnectError> {
        let is_https = uri.scheme() == Some(&Scheme::HTTPS);
        let host = unbracketed_host(uri);
        let port = uri.port_u16().unwrap_or(if is_https { 443 } else { 80 });
        let unusable = ConnectError("the proxy in the environment can't be used");
        let proxy = self.proxies.proxy_for(uri).map_err(|_| unusable)?;
        let stream = match proxy {
            None => Box::new(connect_tcp(host, port).await?) as Box<dyn ByteStream>,
            Some(proxy) => {
                let stream = connect_to_proxy(proxy).await?;
                if !is_https {
                    return Ok(HttpConnection { stream: TokioIo::new(stream), is_proxied: true });
                }
                open_tunnel(stream, proxy, uri.host().unwrap_or_default(), port).await?
            }
        };
        if !is_https {
            return Ok(HttpConnection { stream: TokioIo::new(stream), is_proxied: false });
        }
        let config = match &self.tls {
            Some(config) => config.clone(),
            None => tls::system_config()
                .map_err(|_| ConnectError("no certificate authority is known"))?,
        };
        let name = match &self.server_name {
            Some(name) => name.clone(),
            None => ServerName::try_from(host.to_owned()).map_err(|_| COULD_NOT_CONNECT)?,
        };
        let stream = connect_tls(stream, config, name).await?;
        Ok(HttpConnection { stream: TokioIo::new(stream), is_proxied: false })
    }
}

/// Connects without a proxy.
pub(crate) async fn connect_tcp(host: &str, port: u16) -> Result<TcpStream, ConnectError> {
    let stream = TcpStream::connect((host, port)).await.map_err(|_| COULD_NOT_CONNECT)?;
    // A request is one write; waiting for more would only delay it.
    stream.set_nodelay(true).map_err(|_| COULD_NOT_CONNECT)?;
    Ok(stream)
}

/// Encrypts a connection, and verifies the certificate of the server.
pub(crate) async fn connect_tls(
    stream: Box<dyn ByteStream>,
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
) -> Result<Box<dyn ByteStream>, ConnectError> {
    match TlsConnector::from(config).connect(name, stream).await {
        Ok(stream) => Ok(Box::new(stream)),
        Err(error) => Err(ConnectError(tls_failure(&error))),
    }
}

/// What is wrong with the server's certificate, in words that name neither host nor certificate.
fn tls_failure(error: &io::Error) -> &'static str {
    use CertificateError::{
        Expired, ExpiredContext, NotValidForName, NotValidForNameContext, NotValidYet,
        NotValidYetContext,
    };
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(problem)) => match problem {
            Expired | ExpiredContext { .. } => "the server's certificate has expired",
            NotValidYet | NotValidYetContext { .. } => "the server's certificate is not valid yet",
            NotValidForName | NotValidForNameContext { .. } => {
                "the server's certificate is for another name"
            }
            _ => "the server's certificate is of no accepted authority",
        },
        _ => "the TLS handshake failed",
    }
}

async fn connect_to_proxy(proxy: &ProxyAddress) -> Result<Box<dyn ByteStream>, ConnectError> {
    let unreachable = ConnectError("could not connect to the proxy");
    let stream = connect_tcp(&proxy.host, proxy.port).await.map_err(|_| unreachable)?;
    if !proxy.tls {
        return Ok(Box::new(stream));
    }
    let config = tls::system_config().map_err(|_| unreachable)?;
    let name = ServerName::try_from(proxy.host.clone()).map_err(|_| unreachable)?;
    connect_tls(Box::new(stream), config, name).await.map_err(|_| unreachable)
}

/// The maximum size in bytes of a proxy's response to CONNECT.
const MAX_TUNNEL_RESPONSE_BYTES: usize = 8 << 10;

/// Has the proxy connect to `host:port` (RFC 9110, 9.3.6). Nothing of the request has been sent.
async fn open_tunnel(
    mut stream: Box<dyn ByteStream>,
    proxy: &ProxyAddress,
    host: &str,
    port: u16,
) -> Result<Box<dyn ByteStream>, ConnectError> {
    let authorization = proxy.authorization.as_ref().map_or(&b""[..], |value| value.as_bytes());
    let start = format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n");
    let name = b"Proxy-Authorization: ";
    let capacity = start.len() + name.len() + authorization.len() + 4;
    let mut head = Secret::new(Vec::with_capacity(capacity));
    head.expose_secret_mut().extend_from_slice(start.as_bytes());
    if !authorization.is_empty() {
        head.expose_secret_mut().extend_from_slice(name);
        head.expose_secret_mut().extend_from_slice(authorization);
        head.expose_secret_mut().extend_from_slice(b"\r\n");
    }
    head.expose_secret_mut().extend_from_slice(b"\r\n");
    stream.write_all(head.expose_secret()).await.map_err(|_| PROXY_FAILED)?;
    stream.flush().await.map_err(|_| PROXY_FAILED)?;
    let mut response = Vec::new();
    // Byte by byte, since what follows belongs to the tunnel.
    while !response.ends_with(b"\r\n\r\n") {
        if response.len() >= MAX_TUNNEL_RESPONSE_BYTES {
            return Err(PROXY_FAILED);
        }
        response.push(stream.read_u8().await.map_err(|_| PROXY_FAILED)?);
    }
    let status = response.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
    match (response.starts_with(b"HTTP/1."), status) {
        (true, [b'2', _, _]) => Ok(stream),
        (true, b"407") => Err(ConnectError("the proxy asks for a user and a password")),
        _ => Err(ConnectError("the proxy refused to connect")),
    }
}

/// A connection of any kind: bytes in both directions.
pub(crate) trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for T {}

/// A connection to the outside system, or to a proxy that forwards each request.
pub(super) struct HttpConnection {
    stream: TokioIo<Box<dyn ByteStream>>,
    is_proxied: bool,
}

impl Connection for HttpConnection {
    fn connected(&self) -> Connected {
        Connected::new().proxy(self.is_proxied)
    }
}

impl Read for HttpConnection {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buf)
    }
}

impl Write for HttpConnection {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
