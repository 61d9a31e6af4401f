//! [`Listener`]: accepts connections within bounds, and ends them gracefully.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use strongroom_core::Core;
use strongroom_sdk::engine::Connection;
use strongroom_types::fields::JsonLimits;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::body::Bodies;
use crate::watch::Timeouts;
use crate::{connection, misdirected};

/// Bounds of a listener.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of a request's body.
    pub max_request_bytes: usize,
    /// Bytes of a body that is a form.
    pub max_form_bytes: usize,
    /// Fields of a form or a query, counted before they are put together.
    pub max_form_fields: usize,
    /// Shape of a request's JSON.
    pub json: JsonLimits,
    /// The memory that bodies take together. Clones share it.
    pub bodies: Bodies,
    /// Open connections; more wait to be accepted.
    pub max_connections: usize,
    /// How long a client may take for what.
    pub timeouts: Timeouts,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_request_bytes: 32 << 20,
            max_form_bytes: 1 << 20,
            max_form_fields: 1024,
            json: JsonLimits::default(),
            bodies: Bodies::new(256 << 20, 32 << 20),
            max_connections: 768,
            timeouts: Timeouts::default(),
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
                let timeouts = limits.timeouts;
                let answer = move |request| {
                    let (core, limits) = (core.clone(), limits.clone());
                    async move { crate::handle(&core, &limits, request, Some(connection)).await }
                };
                match tls {
                    None => connection::serve(stream, timeouts, stop, answer).await,
                    Some(acceptor) => {
                        let greeting = secured(stream, &acceptor);
                        match tokio::time::timeout(timeouts.handshake, greeting).await {
                            Ok(Ok(Some(stream))) => {
                                connection::serve(stream, timeouts, stop, answer).await;
                            }
                            Ok(Ok(None)) => tracing::debug!(%peer, "plain HTTP came to a TLS port"),
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
        let patience = self.limits.timeouts.shutdown;
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

/// The TLS stream; none if the client speaks plain HTTP and was told so.
async fn secured(
    stream: TcpStream,
    acceptor: &TlsAcceptor,
) -> std::io::Result<Option<TlsStream<TcpStream>>> {
    if misdirected::is_plain_http(&stream).await? {
        misdirected::answer(stream).await?;
        return Ok(None);
    }
    acceptor.accept(stream).await.map(Some)
}
