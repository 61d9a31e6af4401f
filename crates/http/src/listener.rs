//! [`Listener`]: accepts connections within bounds, and ends them gracefully.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use strongroom_core::Core;
use strongroom_sdk::engine::Connection;
use strongroom_types::fields::JsonLimits;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Bounds of a listener.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of a request's body.
    pub max_request_bytes: usize,
    /// Shape of a request's JSON.
    pub json: JsonLimits,
    /// Open connections; more wait to be accepted.
    pub max_connections: usize,
    /// How long a client may take to send a request's head, and how long an idle connection lives.
    pub header_timeout: Duration,
    /// How long a client may take to send a request's body.
    pub body_timeout: Duration,
    /// How long a client may take for the TLS handshake.
    pub handshake_timeout: Duration,
    /// How long requests being answered are waited for at the end.
    pub shutdown_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_request_bytes: 32 << 20,
            json: JsonLimits::default(),
            max_connections: 16_384,
            header_timeout: Duration::from_secs(60),
            body_timeout: Duration::from_secs(60),
            handshake_timeout: Duration::from_secs(10),
            shutdown_timeout: Duration::from_secs(10),
        }
    }
}

/// Gives the TLS settings of the moment: certificates can be changed while the server runs.
pub trait TlsSource: Send + Sync + 'static {
    /// Asked once for each connection.
    fn current(&self) -> Arc<rustls::ServerConfig>;
}

/// A bound socket.
pub struct Listener {
    socket: TcpListener,
    tls: Option<Arc<dyn TlsSource>>,
    limits: Arc<Limits>,
}

impl Listener {
    /// Over a socket that is bound already.
    pub fn new(socket: TcpListener, tls: Option<Arc<dyn TlsSource>>, limits: Limits) -> Self {
        Self { socket, tls, limits: Arc::new(limits) }
    }

    /// Where it listens.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Serves until told to stop, then lets requests being answered finish.
    pub async fn serve(self, core: Core, stop: CancellationToken) {
        let connections = TaskTracker::new();
        let places = Arc::new(Semaphore::new(self.limits.max_connections));
        loop {
            let place = tokio::select! {
                place = places.clone().acquire_owned() => place,
                () = stop.cancelled() => break,
            };
            let accepted = tokio::select! {
                accepted = self.socket.accept() => accepted,
                () = stop.cancelled() => break,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of file descriptors, most likely: give others time to close theirs.
                    tracing::warn!(%error, "a connection could not be accepted");
                    let pause = tokio::time::timeout(Duration::from_millis(100), stop.cancelled());
                    let _ = pause.await;
                    continue;
                }
            };
            // Small answers should leave at once; failing to say so costs only time.
            let _ = stream.set_nodelay(true);
            let connection = Connection { address: peer.ip(), port: peer.port() };
            let (core, limits, stop) = (core.clone(), self.limits.clone(), stop.clone());
            let tls = self.tls.as_ref().map(|tls| TlsAcceptor::from(tls.current()));
            connections.spawn(async move {
                let _place = place;
                match tls {
                    None => serve_connection(stream, connection, core, limits, stop).await,
                    Some(acceptor) => {
                        let handshake = acceptor.accept(stream);
                        let patience = limits.handshake_timeout;
                        match tokio::time::timeout(patience, handshake).await {
                            Ok(Ok(stream)) => {
                                serve_connection(stream, connection, core, limits, stop).await;
                            }
                            Ok(Err(error)) => {
                                tracing::debug!(%error, %peer, "a TLS handshake failed");
                            }
                            Err(_) => tracing::debug!(%peer, "a TLS handshake took too long"),
                        }
                    }
                }
            });
        }
        connections.close();
        let patience = self.limits.shutdown_timeout;
        if tokio::time::timeout(patience, connections.wait()).await.is_err() {
            tracing::warn!("some connections did not end in time and are cut off");
        }
    }
}

impl std::fmt::Debug for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listener").field("tls", &self.tls.is_some()).finish_non_exhaustive()
    }
}

async fn serve_connection<S>(
    stream: S,
    connection: Connection,
    core: Core,
    limits: Arc<Limits>,
    stop: CancellationToken,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .pipeline_flush(true);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(256)
        .max_header_list_size(64 << 10)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20));
    let service = service_fn(|request| {
        let (core, limits) = (core.clone(), limits.clone());
        async move {
            let response = crate::handle(&core, &limits, request, Some(connection)).await;
            Ok::<_, std::convert::Infallible>(response)
        }
    });
    let serving = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(error, "a connection ended badly");
    }
}
