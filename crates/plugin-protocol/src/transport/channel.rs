//! [`Channel`]: calls over one connection.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::client::SendRequest;
use http::uri::{Authority, Scheme, Uri};
use http::{Request, Response};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use strongroom_types::clock::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite, BufReader};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_util::either::Either;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Service;

use super::body::{BodySender, IncomingBody};
use super::deadline;
use super::error::TransportError;
use super::security::TransportSecurity;
use super::status;
use super::write_coalescer::WriteCoalescer;
use super::{
    CONNECTION_WINDOW_BYTES, HANDSHAKE_LIMIT, MAX_FRAME_BYTES, MAX_HEADER_BYTES, MAX_RESET_STREAMS,
    READ_BUFFER_BYTES, SEND_BUFFER_BYTES, STREAM_WINDOW_BYTES,
};
use crate::address::{DialTarget, PeerAddress};
use crate::tasks::TaskGroup;
use crate::tls::SERVER_NAME;

/// Makes calls over one connection, for the clients in [`generated`](crate::generated). Clones
/// share the connection, which is closed when the last of them is dropped.
///
/// It never reconnects: once the connection is lost, every call fails with `Unavailable`, and
/// [`TransportError`] tells whether the peer may have received it. A deadline set on a request
/// (`Request::set_timeout`) is sent to the peer and also enforced here, by the clock of the tasks.
#[derive(Clone)]
pub struct Channel {
    requests: SendRequest<Bytes>,
    shared: Arc<ChannelInner>,
}

struct ChannelInner {
    tasks: TaskGroup,
    lost: CancellationToken,
    scheme: Scheme,
    authority: Authority,
}

/// Why a connection could not be established.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The peer's socket could not be connected to.
    #[error("can't connect to {address}: {cause}")]
    Connect {
        /// The address that was dialled.
        address: PeerAddress,
        /// The error of the operating system.
        cause: io::Error,
    },
    /// The peer presented another certificate than expected, or refused ours.
    #[error("mutual TLS with the peer failed: {0}")]
    Tls(io::Error),
    /// The HTTP/2 handshake with the peer failed.
    #[error("the peer does not support HTTP/2: {0}")]
    Http(h2::Error),
    /// Connecting took longer than [`HANDSHAKE_LIMIT`], or the tasks were stopped.
    #[error("the peer did not finish connecting in {} s", HANDSHAKE_LIMIT.as_secs())]
    TimedOut,
}

impl Channel {
    /// Connects to a peer. One of `tasks` drives the connection.
    ///
    /// Success does not mean that the peer accepted our certificate: under TLS 1.3 a server checks
    /// it after the client's handshake is complete. So make a health check before any other call.
    ///
    /// Cancel safety: when dropped, the connection is closed.
    pub async fn connect(
        address: &PeerAddress,
        security: impl Into<TransportSecurity<ClientConfig>>,
        tasks: &TaskGroup,
    ) -> Result<Self, ConnectError> {
        let security = security.into();
        let connecting = Box::pin(async {
            let socket = dial(address)
                .await
                .map_err(|cause| ConnectError::Connect { address: address.clone(), cause })?;
            let socket = BufReader::with_capacity(READ_BUFFER_BYTES, socket);
            let stream = match security {
                TransportSecurity::Tls(config) => {
                    // The name is a valid constant.
                    let name = ServerName::try_from(SERVER_NAME)
                        .map_err(|error| ConnectError::Tls(io::Error::other(error)))?;
                    let connecting = TlsConnector::from(config).connect(name, socket);
                    Either::Left(connecting.await.map_err(ConnectError::Tls)?)
                }
                TransportSecurity::Plaintext(_) => Either::Right(socket),
            };
            Self::connect_over(stream, tasks).await
        });
        tasks.with_timeout(HANDSHAKE_LIMIT, connecting).await.unwrap_or(Err(ConnectError::TimedOut))
    }

    /// Starts HTTP/2 on an established stream that is already protected.
    pub(crate) async fn connect_over<T>(stream: T, tasks: &TaskGroup) -> Result<Self, ConnectError>
    where
        T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let coalescer = WriteCoalescer::new(stream);
        let (requests, connection) = h2::client::Builder::new()
            .enable_push(false)
            .initial_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_frame_size(MAX_FRAME_BYTES)
            .max_header_list_size(MAX_HEADER_BYTES)
            .max_send_buffer_size(SEND_BUFFER_BYTES)
            .max_concurrent_reset_streams(MAX_RESET_STREAMS)
            // This limit counts over the whole life of the connection, and cancelled calls are
            // normal.
            .max_local_error_reset_streams(None)
            .handshake(coalescer.clone())
            .await
            .map_err(ConnectError::Http)?;
        let lost = CancellationToken::new();
        let guard = lost.clone().drop_guard();
        tasks.spawn(async move {
            let _guard = guard;
            let mut connection = pin!(connection);
            let end = std::future::poll_fn(move |cx| {
                loop {
                    let end = connection.as_mut().poll(cx);
                    if end.is_ready() || !coalescer.flush_pending(cx) {
                        return end;
                    }
                }
            });
            if let Err(error) = end.await {
                tracing::debug!(%error, "a plug-in connection ended");
            }
        });
        let (scheme, authority) = (Scheme::HTTP, Authority::from_static(SERVER_NAME));
        let shared = ChannelInner { tasks: tasks.clone(), lost, scheme, authority };
        Ok(Self { requests, shared: Arc::new(shared) })
    }

    /// Resolves when the connection is lost. The process at its other end is then considered lost
    /// too.
    pub async fn wait_until_lost(&self) {
        self.shared.lost.cancelled().await;
    }

    /// Whether the connection is lost, so that calls fail.
    pub fn is_lost(&self) -> bool {
        self.shared.lost.is_cancelled()
    }

    /// HTTP/2 requires an absolute URI; the peers ignore its scheme and authority.
    fn absolute_uri(&self, path: Uri) -> Uri {
        let mut parts = path.into_parts();
        parts.scheme = Some(self.shared.scheme.clone());
        parts.authority = Some(self.shared.authority.clone());
        Uri::from_parts(parts).unwrap_or_default()
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel").field("lost", &self.is_lost()).finish_non_exhaustive()
    }
}

impl Service<Request<Body>> for Channel {
    type Response = Response<IncomingBody>;
    type Error = Status;
    type Future = BoxFuture<'static, Result<Self::Response, Status>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        // Generated clients replace an error from here by their own; `call` returns the same error
        // again.
        self.requests.poll_ready(cx).map(|_| Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let deadline = deadline::from_headers(request.headers(), &**self.shared.tasks.clock());
        let (mut head, body) = request.into_parts();
        head.uri = self.absolute_uri(head.uri);
        let sent = self.requests.send_request(Request::from_parts(head, ()), false);
        let shared = self.shared.clone();
        Box::pin(async move {
            let (response, stream) = sent.map_err(TransportError::not_sent)?;
            let mut call =
                PendingCall { response, sending: Some(BodySender::new(body, stream)), deadline };
            let mut response = std::future::poll_fn(|cx| call.poll_response(cx)).await?;
            if let Some(sending) = call.sending {
                // The peer responds before the request's body has ended, as in a bidirectional
                // stream.
                shared.tasks.spawn(sending);
            }
            let deadline = call.deadline;
            status::sanitize_headers(response.headers_mut());
            status::check_head(&response)?;
            let (head, stream) = response.into_parts();
            let answer = IncomingBody::for_response(stream, deadline, &head.headers);
            Ok(Response::from_parts(head, answer))
        })
    }
}

struct PendingCall {
    response: h2::client::ResponseFuture,
    sending: Option<BodySender>,
    deadline: Option<deadline::Deadline>,
}

impl PendingCall {
    fn poll_response(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Response<h2::RecvStream>, Status>> {
        if let Some(sending) = &mut self.sending
            && Pin::new(sending).poll(cx).is_ready()
        {
            self.sending = None;
        }
        if let Poll::Ready(response) = Pin::new(&mut self.response).poll(cx) {
            return Poll::Ready(response.map_err(TransportError::in_flight));
        }
        match &mut self.deadline {
            Some(deadline) => deadline.as_mut().poll(cx).map(|()| Err(deadline::exceeded_status())),
            None => Poll::Pending,
        }
    }
}

async fn dial(address: &PeerAddress) -> io::Result<Either<UnixStream, TcpStream>> {
    Ok(match address.dial_target() {
        DialTarget::Unix(path) => Either::Left(UnixStream::connect(path).await?),
        DialTarget::Tcp(address) => {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            Either::Right(stream)
        }
    })
}
