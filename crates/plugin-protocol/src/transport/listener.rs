//! [`PluginListener`]: accepts connections and serves them.

use std::fs;
use std::io;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use h2::RecvStream;
use h2::server::SendResponse;
use http::{Request, Response};
use http_body::Body as _;
use rustls::ServerConfig;
use strongroom_types::Clock;
use tokio::io::{AsyncRead, AsyncWrite, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::either::Either;
use tokio_util::task::TaskTracker;
use tonic::Status;
use tonic::body::Body;

use super::body::{BodySender, IncomingBody};
use super::deadline;
use super::folder::SocketFolder;
use super::security::TransportSecurity;
use super::services::GrpcServices;
use super::write_coalescer::WriteCoalescer;
use super::{
    CONNECTION_WINDOW_BYTES, HANDSHAKE_LIMIT, MAX_FRAME_BYTES, MAX_HEADER_BYTES,
    MAX_PENDING_RESETS, MAX_RESET_STREAMS, MAX_STREAMS, READ_BUFFER_BYTES, SEND_BUFFER_BYTES,
    STREAM_WINDOW_BYTES,
};
use crate::address::{InvalidPeerAddress, PeerAddress};
use crate::tasks::TaskGroup;

/// The maximum length of a socket's path in bytes. Linux allows 107; some systems allow less.
pub const MAX_SOCKET_PATH_BYTES: usize = 99;

/// The maximum number of connections on one socket, including those in their handshake. A peer
/// needs one.
pub(super) const MAX_CONNECTIONS: usize = 32;

/// How long to pause after a failed accept, which usually means that descriptors are used up.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A bound Unix socket. Its file is removed on drop.
#[derive(Debug)]
pub struct PluginListener {
    socket: UnixListener,
    address: PeerAddress,
    file: PluginSocketFile,
}

/// Why a socket could not be bound.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// The folder's path is too long, so that the socket's would exceed the limit.
    #[error("the socket path is longer than {MAX_SOCKET_PATH_BYTES} bytes: {0}")]
    TooLong(PathBuf),
    /// The path is relative, or has characters that the handshake line can't carry.
    #[error(transparent)]
    Address(#[from] InvalidPeerAddress),
    /// The operating system refused to bind it.
    #[error("can't listen on {path}: {cause}")]
    Io {
        /// The path of the socket.
        path: PathBuf,
        /// The error of the operating system.
        cause: io::Error,
    },
}

impl PluginListener {
    /// Binds `name` in a folder that this process created; the folder exists at least as long as
    /// the socket. Must be called within a Tokio runtime.
    pub fn bind(folder: &Arc<SocketFolder>, name: &str) -> Result<Self, BindError> {
        Self::bind_path(folder.path().join(name), Some(folder.clone()))
    }

    /// Binds `name` in a folder that was created and protected by another process.
    pub fn bind_in(folder: &Path, name: &str) -> Result<Self, BindError> {
        Self::bind_path(folder.join(name), None)
    }

    fn bind_path(path: PathBuf, folder: Option<Arc<SocketFolder>>) -> Result<Self, BindError> {
        if path.as_os_str().len() > MAX_SOCKET_PATH_BYTES {
            return Err(BindError::TooLong(path));
        }
        let address = PeerAddress::unix(&path)?;
        match UnixListener::bind(&path) {
            Ok(socket) => {
                Ok(Self { socket, address, file: PluginSocketFile { path, _folder: folder } })
            }
            Err(cause) => Err(BindError::Io { path, cause }),
        }
    }

    /// The address for the peer to dial.
    pub fn address(&self) -> &PeerAddress {
        &self.address
    }

    /// Accepts and serves connections until `tasks` are drained. Then the socket is closed, running
    /// calls may finish, and this returns when the last connection is closed.
    ///
    /// Each connection is a task of its own from its first byte on: one that stays silent delays no
    /// other, and is dropped after [`HANDSHAKE_LIMIT`]. Cancel safety: when dropped, open
    /// connections continue until `tasks` end.
    pub async fn serve(
        self,
        security: impl Into<TransportSecurity<ServerConfig>>,
        services: GrpcServices,
        tasks: &TaskGroup,
    ) {
        let Self { socket, address, file } = self;
        let (security, services) = (security.into(), Arc::new(services));
        let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let connections = TaskTracker::new();
        loop {
            let accepted = tokio::select! {
                biased;
                () = tasks.wait_for_drain() => break,
                accepted = socket.accept() => accepted,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%address, %error, "can't accept a plug-in connection");
                    tasks.with_timeout(ACCEPT_PAUSE, tasks.wait_for_drain()).await;
                    continue;
                }
            };
            let Ok(slot) = slots.clone().try_acquire_owned() else {
                tracing::warn!(%address, "too many plug-in connections, one is refused");
                continue;
            };
            let (security, services) = (security.clone(), services.clone());
            let (counted, own) = (connections.token(), tasks.clone());
            tasks.spawn(async move {
                let _held = (slot, counted);
                if let Err(error) = serve_connection(stream, security, services, &own).await {
                    tracing::debug!(%error, "a plug-in connection was refused");
                }
            });
        }
        drop((socket, file));
        connections.close();
        connections.wait().await;
    }
}

/// Removes the socket's file, and then the folder if this was its last user.
#[derive(Debug)]
struct PluginSocketFile {
    path: PathBuf,
    _folder: Option<Arc<SocketFolder>>,
}

impl Drop for PluginSocketFile {
    fn drop(&mut self) {
        // The file was removed already if its folder was.
        let _ = fs::remove_file(&self.path);
    }
}

/// Why a connection could not be established.
#[derive(Debug, thiserror::Error)]
pub(super) enum AcceptError {
    #[error("mutual TLS failed: {0}")]
    Tls(#[from] io::Error),
    #[error("the peer does not support HTTP/2: {0}")]
    Http(#[from] h2::Error),
    #[error("the handshake took too long")]
    TooSlow,
}

async fn serve_connection(
    stream: UnixStream,
    security: TransportSecurity<ServerConfig>,
    services: Arc<GrpcServices>,
    tasks: &TaskGroup,
) -> Result<(), AcceptError> {
    let handshake = Box::pin(async {
        let stream = BufReader::with_capacity(READ_BUFFER_BYTES, stream);
        let stream = match security {
            TransportSecurity::Tls(config) => {
                Either::Left(TlsAcceptor::from(config).accept(stream).await?)
            }
            TransportSecurity::Plaintext(_) => Either::Right(stream),
        };
        http2_handshake(WriteCoalescer::new(stream)).await
    });
    let begun = tasks.with_timeout(HANDSHAKE_LIMIT, handshake).await;
    let (connection, coalescer) = begun.unwrap_or(Err(AcceptError::TooSlow))?;
    run_connection(connection, coalescer, services, tasks).await;
    Ok(())
}

pub(super) type Http2Connection<T> = h2::server::Connection<WriteCoalescer<T>, Bytes>;

pub(super) async fn http2_handshake<T>(
    coalescer: WriteCoalescer<T>,
) -> Result<(Http2Connection<T>, WriteCoalescer<T>), AcceptError>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let connection = h2::server::Builder::new()
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(MAX_FRAME_BYTES)
        .max_header_list_size(MAX_HEADER_BYTES)
        .max_concurrent_streams(MAX_STREAMS)
        .max_send_buffer_size(SEND_BUFFER_BYTES)
        .max_concurrent_reset_streams(MAX_RESET_STREAMS)
        .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
        // This limit counts over the whole life of the connection, and cancelled calls are normal.
        .max_local_error_reset_streams(None)
        .handshake(coalescer.clone())
        .await?;
    Ok((connection, coalescer))
}

/// Serves one connection until the peer closes it or, once `tasks` are drained, its last call ends.
pub(super) async fn run_connection<T>(
    mut connection: Http2Connection<T>,
    coalescer: WriteCoalescer<T>,
    services: Arc<GrpcServices>,
    tasks: &TaskGroup,
) where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let mut draining = pin!(tasks.wait_for_drain());
    let mut asked_to_end = false;
    std::future::poll_fn(|cx| {
        loop {
            if !asked_to_end && draining.as_mut().poll(cx).is_ready() {
                asked_to_end = true;
                connection.graceful_shutdown();
            }
            match connection.poll_accept(cx) {
                Poll::Ready(Some(Ok((request, respond)))) => {
                    let (services, clock) = (services.clone(), tasks.clock().clone());
                    // The call needs no supervision: it ends with its connection.
                    tasks.spawn_counted(handle_call(request, respond, services, clock));
                }
                Poll::Ready(Some(Err(error))) => {
                    tracing::debug!(%error, "a plug-in connection ended");
                    return Poll::Ready(());
                }
                Poll::Ready(None) => return Poll::Ready(()),
                Poll::Pending if coalescer.flush_pending(cx) => {}
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await;
}

/// Runs one call until it has a response, is cancelled by the peer, or exceeds its deadline.
async fn handle_call(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    services: Arc<GrpcServices>,
    clock: Arc<dyn Clock>,
) {
    let mut deadline = deadline::from_headers(request.headers(), &*clock);
    let request = request.map(|stream| Body::new(IncomingBody::for_request(stream)));
    let handler = AssertUnwindSafe(async { services.call(request).await }).catch_unwind();
    let mut handler = pin!(handler);
    let response = std::future::poll_fn(|cx| {
        if let Poll::Ready(answer) = handler.as_mut().poll(cx) {
            return Poll::Ready(Some(answer.unwrap_or_else(|_| panic_response())));
        }
        if respond.poll_reset(cx).is_ready() {
            return Poll::Ready(None);
        }
        match &mut deadline {
            Some(deadline) => {
                deadline.as_mut().poll(cx).map(|()| Some(deadline::exceeded_status().into_http()))
            }
            None => Poll::Pending,
        }
    });
    let Some(response) = response.await else { return };
    let (head, body) = response.into_parts();
    let at_end = body.is_end_stream();
    // An error means that the peer no longer waits for the response.
    if let Ok(stream) = respond.send_response(Response::from_parts(head, ()), at_end)
        && !at_end
    {
        BodySender::new(body, stream).await;
    }
}

/// The panic hook has logged the details, which may not be meant for the peer.
fn panic_response() -> Response<Body> {
    Status::internal("the handler of this call panicked").into_http()
}
