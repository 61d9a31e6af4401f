//! [`Listener`]: accepts connections up to a limit, and closes them gracefully on shutdown.

use std::sync::Arc;
use std::time::Duration;
use strongroom_types::chain;

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use hyper::body::Incoming;
use strongroom_core::Core;
use strongroom_engine::{ClientCertificates, ConnectionInfo};
use strongroom_types::fields::JsonLimits;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::body::{BodyMemoryPool, max_request_memory};
use crate::connection_deadlines::ConnectionTimeouts;
use crate::connection_slots::{ConnectionSlot, ConnectionSlots};
use crate::forwarding::ForwardedForRules;
use crate::metrics_access::MetricsAccess;
use crate::response_rules::{RedactionKind, ResponseRules};
use crate::socket::{AcceptedStream, ListenerSocket};
use crate::{Body, ConnectionContext, connection, plain_http_on_tls};

/// Limits of a listener: sizes, connections and timeouts. The server sets them from the
/// configuration.
#[derive(Clone, Debug)]
pub struct HttpLimits {
    /// Maximum size of a request's body, in bytes. Default: 32 MiB.
    pub max_request_bytes: usize,
    /// Maximum size of the body of a request to an unauthenticated path, in bytes. Default: 256
    /// KiB.
    pub max_unauthenticated_bytes: usize,
    /// Maximum number of top-level fields in such a body. Default: 256.
    pub max_unauthenticated_fields: usize,
    /// Maximum size of a form-encoded body, in bytes. Default: 1 MiB.
    pub max_form_bytes: usize,
    /// Maximum number of fields in a form or a query, counted before repeated names are merged.
    /// Default: 1024.
    pub max_form_fields: usize,
    /// Limits on the structure of a request's JSON, such as its depth.
    pub json: JsonLimits,
    /// The memory that all request bodies share. Clones share the same pool.
    pub body_memory: BodyMemoryPool,
    /// Maximum number of open connections. When it is reached, connections without a valid token
    /// are closed to admit new ones; if there are none, new connections wait. Default: 768.
    pub max_connections: usize,
    /// The timeouts for each phase of a connection.
    pub timeouts: ConnectionTimeouts,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            max_request_bytes: 32 << 20,
            max_unauthenticated_bytes: 256 << 10,
            max_unauthenticated_fields: 256,
            max_form_bytes: 1 << 20,
            max_form_fields: 1024,
            json: JsonLimits::default(),
            body_memory: BodyMemoryPool::new(
                256 << 20,
                max_request_memory(32 << 20, JsonLimits::default().strings),
                max_request_memory(256 << 10, 256),
            ),
            max_connections: 768,
            timeouts: ConnectionTimeouts::default(),
        }
    }
}

/// Supplies the current TLS settings, so that certificates can be reloaded while the server runs.
pub trait TlsSource: Send + Sync + 'static {
    /// The settings for a new connection; called once for each.
    fn current(&self) -> Arc<rustls::ServerConfig>;
}

/// A bound socket with the rules for the connections it accepts. [`serve`](Self::serve) runs it.
pub struct Listener {
    socket: ListenerSocket,
    context: ListenerContext,
}

/// The settings that all connections of a listener share.
struct ListenerContext {
    tls: Option<Arc<dyn TlsSource>>,
    forwarding: Option<ForwardedForRules>,
    metrics: MetricsAccess,
    response_rules: ResponseRules,
    limits: Arc<HttpLimits>,
}

impl Listener {
    /// Creates a listener on a socket that is already bound. `tls` applies to TCP only; connections
    /// over a Unix socket are never encrypted. Without `forwarding`, `X-Forwarded-For` is ignored.
    pub fn new(
        socket: impl Into<ListenerSocket>,
        tls: Option<Arc<dyn TlsSource>>,
        forwarding: Option<ForwardedForRules>,
        limits: HttpLimits,
    ) -> Self {
        let limits = Arc::new(limits);
        let (metrics, outgoing) = (MetricsAccess::default(), ResponseRules::default());
        let serving =
            ListenerContext { tls, forwarding, metrics, response_rules: outgoing, limits };
        Self { socket: socket.into(), context: serving }
    }

    /// Sets the rules for `sys/metrics`. By default it needs a token, as any other path.
    #[must_use]
    pub fn with_metrics_access(mut self, metrics: MetricsAccess) -> Self {
        self.context.metrics = metrics;
        self
    }

    /// Sets the custom headers and the redaction of responses. By default there are none.
    #[must_use]
    pub fn with_response_rules(mut self, outgoing: ResponseRules) -> Self {
        self.context.response_rules = outgoing;
        self
    }

    /// Accepts connections until `stop` is cancelled, then lets requests in progress finish, for at
    /// most [`ConnectionTimeouts::shutdown`]. Connections still open after that are not waited for;
    /// they end with the runtime.
    pub async fn serve(self, core: Core, stop: CancellationToken) {
        let Self { socket, context: serving } = self;
        let serving = Arc::new(serving);
        let connections = TaskTracker::new();
        let places = ConnectionSlots::new(serving.limits.max_connections);
        loop {
            let accepted = tokio::select! {
                accepted = socket.accept() => accepted,
                () = stop.cancelled() => break,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Most likely the process is out of file descriptors: pause until some are
                    // closed.
                    tracing::warn!(error = %chain(&error), "a connection could not be accepted");
                    let pause = tokio::time::timeout(Duration::from_millis(100), stop.cancelled());
                    let _ = pause.await;
                    continue;
                }
            };
            let context = ConnectionContext::new(peer);
            let place = tokio::select! {
                place = places.acquire(context.is_trusted.clone()) => place,
                () = stop.cancelled() => break,
            };
            let Some(place) = place else { break };
            let (serving, core, stop) = (serving.clone(), core.clone(), stop.clone());
            connections.spawn(async move {
                serving.serve_connection(stream, context, place, core, stop).await;
            });
        }
        // From here on new connections are refused at once.
        drop(socket);
        connections.close();
        let patience = serving.limits.timeouts.shutdown;
        if tokio::time::timeout(patience, connections.wait()).await.is_err() {
            tracing::warn!("some connections did not end in time and are cut off");
        }
    }
}

impl ListenerContext {
    /// Serves one connection until it ends. It holds its slot until then.
    async fn serve_connection(
        self: Arc<Self>,
        stream: AcceptedStream,
        context: ConnectionContext,
        place: ConnectionSlot,
        core: Core,
        stop: CancellationToken,
    ) {
        let peer = context.client.clone();
        let timeouts = self.limits.timeouts;
        let tls = self.tls.as_ref().map(|tls| TlsAcceptor::from(tls.current()));
        let (begin, needed) = (place.request_tracker(), place.eviction_token());
        let respond_to = move |context: ConnectionContext| {
            move |request| {
                let prepared = self.prepare_request(&core, request, context.clone());
                let (core, serving) = (core.clone(), self.clone());
                let request_tracker = begin();
                async move {
                    let _request_tracker = request_tracker;
                    serving.handle_request(&core, prepared).await
                }
            }
        };
        match (stream, tls) {
            (AcceptedStream::Unix(stream), _) => {
                let respond = respond_to(context);
                connection::serve_connection(stream, timeouts, stop, needed, respond).await;
            }
            (AcceptedStream::Tcp(stream), None) => {
                let respond = respond_to(context);
                connection::serve_connection(stream, timeouts, stop, needed, respond).await;
            }
            (AcceptedStream::Tcp(stream), Some(acceptor)) => {
                // Boxed, as the future below is: a connection without TLS must not reserve memory
                // for it.
                let handshake = Box::pin(accept_tls(stream, &acceptor));
                let handshake = tokio::time::timeout(timeouts.handshake, handshake);
                match needed.run_until_cancelled(handshake).await {
                    Some(Ok(Ok(Some(stream)))) => {
                        let certificates = client_certificates(&stream);
                        let client = context.client.clone();
                        let client = client.map(|client| ConnectionInfo { certificates, ..client });
                        let respond = respond_to(ConnectionContext { client, ..context });
                        Box::pin(connection::serve_connection(
                            stream, timeouts, stop, needed, respond,
                        ))
                        .await;
                    }
                    Some(Ok(Ok(None))) => tracing::debug!(?peer, "plain HTTP on a TLS port"),
                    Some(Ok(Err(error))) => {
                        tracing::debug!(error = %chain(&error), ?peer, "a TLS handshake failed");
                    }
                    Some(Err(_)) => tracing::debug!(?peer, "a TLS handshake took too long"),
                    None => tracing::debug!(?peer, "a connection was evicted"),
                }
            }
        }
    }

    /// Applies this listener's rules to a request that has arrived. Done before there is a future of
    /// the request, which would otherwise have to carry the whole request.
    fn prepare_request(
        &self,
        core: &Core,
        request: Request<Incoming>,
        context: ConnectionContext,
    ) -> PreparedRequest {
        let redacts = self.response_rules.redaction_for(request.uri());
        let request = self.apply_request_rules(core, request, context);
        PreparedRequest { redacts, request }
    }

    /// The request to serve, with the client's address behind a proxy, or the response to it.
    fn apply_request_rules(
        &self,
        core: &Core,
        request: Request<Incoming>,
        context: ConnectionContext,
    ) -> Result<AcceptedRequest, Box<Response<Body>>> {
        let client = match (&self.forwarding, &context.client) {
            (Some(forwarding), Some(peer)) => {
                let client = forwarding.resolve_client(peer.clone(), request.headers());
                Some(client.map_err(|text| Box::new(ForwardedForRules::refusal_response(text)))?)
            }
            (_, peer) => peer.clone(),
        };
        let context = ConnectionContext { client, ..context };
        let request = match self.metrics.has_rules() {
            true => self.metrics.apply_rules(core, request, self.limits.max_form_fields)?,
            false => request,
        };
        let (head, body) = request.into_parts();
        Ok(AcceptedRequest { head: Box::new(head), body, context })
    }

    async fn handle_request(&self, core: &Core, prepared: PreparedRequest) -> Response<Body> {
        let PreparedRequest { redacts, request } = prepared;
        let mut response = match request {
            Ok(AcceptedRequest { head, body, context }) => {
                crate::handle_parts(core, &self.limits, head, body, context).await
            }
            Err(response) => *response,
        };
        if let Some(redacted) = redacts {
            response = Box::pin(self.response_rules.redact(redacted, response)).await;
        }
        self.response_rules.add_headers(&mut response);
        response
    }
}

/// A request to which the listener's rules have been applied.
struct PreparedRequest {
    /// What is redacted in the response.
    redacts: Option<RedactionKind>,
    /// The request, or the response of the rules.
    request: Result<AcceptedRequest, Box<Response<Body>>>,
}

/// A request that the listener's rules let through.
struct AcceptedRequest {
    head: Box<Parts>,
    body: Incoming,
    context: ConnectionContext,
}

impl std::fmt::Debug for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listener").field("socket", &self.socket).finish_non_exhaustive()
    }
}

/// The certificates that the client showed; `None` if it showed none.
fn client_certificates(stream: &TlsStream<TcpStream>) -> Option<Arc<ClientCertificates>> {
    let shown = stream.get_ref().1.peer_certificates()?;
    let chain: Vec<Bytes> = shown.iter().map(|it| Bytes::copy_from_slice(it)).collect();
    (!chain.is_empty()).then(|| Arc::new(ClientCertificates { chain }))
}

/// The TLS stream; `None` if the client spoke plain HTTP and got an error response.
async fn accept_tls(
    stream: TcpStream,
    acceptor: &TlsAcceptor,
) -> std::io::Result<Option<TlsStream<TcpStream>>> {
    if plain_http_on_tls::is_plain_http(&stream).await? {
        plain_http_on_tls::reject_plain_http(stream).await?;
        return Ok(None);
    }
    match acceptor.accept(stream).into_fallible().await {
        Ok(stream) => Ok(Some(stream)),
        Err((error, stream)) => {
            plain_http_on_tls::close_lingering(stream).await;
            Err(error)
        }
    }
}
