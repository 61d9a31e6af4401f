//! [`Listener`]: accepts connections within bounds, and ends them gracefully.

use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use strongroom_core::Core;
use strongroom_types::fields::JsonLimits;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::body::{Bodies, heaviest};
use crate::forwarding::Forwarding;
use crate::metrics_access::MetricsAccess;
use crate::outgoing::Outgoing;
use crate::places::{Place, Places};
use crate::socket::{Socket, Stream};
use crate::watch::Timeouts;
use crate::{Body, ConnectionContext, connection, misdirected};

/// Bounds of a listener.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of a request's body.
    pub max_request_bytes: usize,
    /// Bytes of the body of a request to a path that needs no token.
    pub max_unauthenticated_bytes: usize,
    /// Fields of such a body.
    pub max_unauthenticated_fields: usize,
    /// Bytes of a body that is a form.
    pub max_form_bytes: usize,
    /// Fields of a form or a query, counted before they are put together.
    pub max_form_fields: usize,
    /// Shape of a request's JSON.
    pub json: JsonLimits,
    /// The memory that bodies take together. Clones share it.
    pub bodies: Bodies,
    /// Open connections. For more, those make room over which no valid token came; if there are none,
    /// they wait.
    pub max_connections: usize,
    /// How long a client may take for what.
    pub timeouts: Timeouts,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_request_bytes: 32 << 20,
            max_unauthenticated_bytes: 256 << 10,
            max_unauthenticated_fields: 256,
            max_form_bytes: 1 << 20,
            max_form_fields: 1024,
            json: JsonLimits::default(),
            bodies: Bodies::new(
                256 << 20,
                heaviest(32 << 20, JsonLimits::default().strings),
                heaviest(256 << 10, 256),
            ),
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
    socket: Socket,
    serving: Serving,
}

/// What every connection of a listener has in common.
struct Serving {
    tls: Option<Arc<dyn TlsSource>>,
    forwarding: Option<Forwarding>,
    metrics: MetricsAccess,
    outgoing: Outgoing,
    limits: Arc<Limits>,
}

impl Listener {
    /// Over a socket that is bound already. TLS is for TCP alone.
    pub fn new(
        socket: impl Into<Socket>,
        tls: Option<Arc<dyn TlsSource>>,
        forwarding: Option<Forwarding>,
        limits: Limits,
    ) -> Self {
        let limits = Arc::new(limits);
        let (metrics, outgoing) = (MetricsAccess::default(), Outgoing::default());
        let serving = Serving { tls, forwarding, metrics, outgoing, limits };
        Self { socket: socket.into(), serving }
    }

    /// With rules for metrics.
    #[must_use]
    pub fn with_metrics_access(mut self, metrics: MetricsAccess) -> Self {
        self.serving.metrics = metrics;
        self
    }

    /// With rules for answers.
    #[must_use]
    pub fn with_outgoing(mut self, outgoing: Outgoing) -> Self {
        self.serving.outgoing = outgoing;
        self
    }

    /// Serves until told to stop, then lets requests being answered finish.
    pub async fn serve(self, core: Core, stop: CancellationToken) {
        let Self { socket, serving } = self;
        let serving = Arc::new(serving);
        let connections = TaskTracker::new();
        let places = Places::new(serving.limits.max_connections);
        loop {
            let accepted = tokio::select! {
                accepted = socket.accept() => accepted,
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
            let context = ConnectionContext::new(peer);
            let place = tokio::select! {
                place = places.take(context.is_trusted.clone()) => place,
                () = stop.cancelled() => break,
            };
            let Some(place) = place else { break };
            let (serving, core, stop) = (serving.clone(), core.clone(), stop.clone());
            connections
                .spawn(async move { serving.serve(stream, context, place, core, stop).await });
        }
        // Whoever comes now is told so at once.
        drop(socket);
        connections.close();
        let patience = serving.limits.timeouts.shutdown;
        if tokio::time::timeout(patience, connections.wait()).await.is_err() {
            tracing::warn!("some connections did not end in time and are cut off");
        }
    }
}

impl Serving {
    /// One connection, to its end. It has its place as long.
    async fn serve(
        self: Arc<Self>,
        stream: Stream,
        context: ConnectionContext,
        place: Place,
        core: Core,
        stop: CancellationToken,
    ) {
        let peer = context.client;
        let timeouts = self.limits.timeouts;
        let tls = self.tls.as_ref().map(|tls| TlsAcceptor::from(tls.current()));
        let (begin, needed) = (place.requests(), place.needed());
        let answer = move |request| {
            let (core, serving, context) = (core.clone(), self.clone(), context.clone());
            let busy = begin();
            async move {
                let _busy = busy;
                serving.answer(&core, request, context).await
            }
        };
        match (stream, tls) {
            (Stream::Unix(stream), _) => {
                connection::serve(stream, timeouts, stop, needed, answer).await;
            }
            (Stream::Tcp(stream), None) => {
                connection::serve(stream, timeouts, stop, needed, answer).await;
            }
            (Stream::Tcp(stream), Some(acceptor)) => {
                // Boxed, as what follows: without TLS a connection must not hold room for it.
                let greeting = Box::pin(secured(stream, &acceptor));
                let greeting = tokio::time::timeout(timeouts.handshake, greeting);
                match needed.run_until_cancelled(greeting).await {
                    Some(Ok(Ok(Some(stream)))) => {
                        Box::pin(connection::serve(stream, timeouts, stop, needed, answer)).await;
                    }
                    Some(Ok(Ok(None))) => tracing::debug!(?peer, "plain HTTP came to a TLS port"),
                    Some(Ok(Err(error))) => {
                        tracing::debug!(%error, ?peer, "a TLS handshake failed");
                    }
                    Some(Err(_)) => tracing::debug!(?peer, "a TLS handshake took too long"),
                    None => tracing::debug!(?peer, "a connection made room"),
                }
            }
        }
    }

    async fn answer(
        &self,
        core: &Core,
        request: Request<Incoming>,
        context: ConnectionContext,
    ) -> Response<Body> {
        let redacts = self.outgoing.redacts(request.uri());
        let mut response = self.answer_whole(core, request, context).await;
        if let Some(redacted) = redacts {
            response = self.outgoing.redacted(redacted, response).await;
        }
        self.outgoing.add_headers(&mut response);
        response
    }

    async fn answer_whole(
        &self,
        core: &Core,
        request: Request<Incoming>,
        context: ConnectionContext,
    ) -> Response<Body> {
        let client = match (&self.forwarding, context.client) {
            (Some(forwarding), Some(peer)) => match forwarding.client(peer, request.headers()) {
                Ok(client) => Some(client),
                Err(text) => return Forwarding::refusal(text),
            },
            (_, peer) => peer,
        };
        let context = ConnectionContext { client, ..context };
        if !self.metrics.has_rules() {
            return crate::handle(core, &self.limits, request, context).await;
        }
        match self.metrics.apply(core, request, self.limits.max_form_fields) {
            Ok(request) => crate::handle(core, &self.limits, request, context).await,
            Err(answered) => *answered,
        }
    }
}

impl std::fmt::Debug for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listener").field("socket", &self.socket).finish_non_exhaustive()
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
    match acceptor.accept(stream).into_fallible().await {
        Ok(stream) => Ok(Some(stream)),
        Err((error, stream)) => {
            misdirected::part(stream).await;
            Err(error)
        }
    }
}
