//! [`HostBroker`]: the host's side of the broker.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::stream;
use rustls::ServerConfig;
use tokio::sync::{mpsc, oneshot};

use crate::generated::plugin::ConnInfo;
use crate::generated::plugin::grpc_broker_client::GrpcBrokerClient;
use crate::tasks::TaskGroup;
use crate::transport::{
    AnySize, BindError, Channel, GrpcServices, PluginListener, SocketFolder, TransportSecurity,
};

/// Offers services to one plug-in process; there is one for the lifetime of the process. Dropping
/// it ends the stream of announcements, but not the services already offered.
#[derive(Debug)]
pub struct HostBroker {
    announcements: mpsc::Sender<ConnInfo>,
    pub(super) last_id: AtomicU32,
    folder: Arc<SocketFolder>,
    security: TransportSecurity<ServerConfig>,
    tasks: TaskGroup,
}

/// Why services could not be offered to an instance.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OfferError {
    /// The socket could not be bound.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The plug-in has closed the stream of announcements, or has exited.
    #[error("the plug-in does not listen for announcements")]
    Closed,
    /// All 32-bit service IDs of this process have been used.
    #[error("the service ids of this process are used up")]
    UsedUp,
}

/// How many announcements may be queued; there is one for each instance.
const MAX_QUEUED_ANNOUNCEMENTS: usize = 64;

impl HostBroker {
    /// Opens the stream of announcements on the main connection. Sockets are created in `folder`
    /// and served with `security`, by child groups of `tasks`.
    ///
    /// Returns without waiting for the plug-in's response: Go plug-ins send none before they have a
    /// message.
    pub fn open(
        main: &Channel,
        folder: Arc<SocketFolder>,
        security: impl Into<TransportSecurity<ServerConfig>>,
        tasks: &TaskGroup,
    ) -> Self {
        let (announcements, mut waiting) = mpsc::channel(MAX_QUEUED_ANNOUNCEMENTS);
        let mut client = GrpcBrokerClient::new(main.clone()).any_size();
        tasks.spawn(async move {
            let outgoing = stream::poll_fn(move |cx| waiting.poll_recv(cx));
            let ended = async {
                let mut incoming = client.start_stream(outgoing).await?.into_inner();
                // Plug-ins offer no services to the host, so their announcements are ignored.
                while incoming.message().await?.is_some() {}
                Ok::<_, tonic::Status>(())
            };
            if let Err(status) = ended.await {
                tracing::debug!(code = ?status.code(), "the broker's stream ended");
            }
        });
        let (last_id, tasks) = (AtomicU32::new(0), tasks.clone());
        Self { announcements, last_id, folder, security: security.into(), tasks }
    }

    /// Binds a new socket, serves `services` on it, and announces it to the plug-in. The service ID
    /// belongs into the set-up call.
    ///
    /// Cancel safety: when dropped, nothing stays behind.
    pub async fn offer(&self, services: GrpcServices) -> Result<OfferedServices, OfferError> {
        let service_id = self.next_id()?;
        let listener = PluginListener::bind(&self.folder, &format!("b{service_id}"))?;
        let announcement = ConnInfo {
            service_id,
            network: listener.address().network().to_owned(),
            address: listener.address().to_string(),
            knock: None,
        };
        let (part, (done, ended)) = (self.tasks.child(), oneshot::channel());
        let offered = OfferedServices { service_id, tasks: part.clone(), ended: Some(ended) };
        let security = self.security.clone();
        self.tasks.spawn_counted(async move {
            listener.serve(security, services, &part).await;
            // The receiver may have been dropped.
            let _ = done.send(());
        });
        self.announcements.send(announcement).await.map_err(|_| OfferError::Closed)?;
        Ok(offered)
    }

    /// IDs start at 1 and are never reused.
    fn next_id(&self) -> Result<u32, OfferError> {
        let next = |last: u32| last.checked_add(1);
        let last = self.last_id.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        last.ok().and_then(next).ok_or(OfferError::UsedUp)
    }
}

/// Services that one instance can dial. Dropping this stops them at once.
#[derive(Debug)]
pub struct OfferedServices {
    service_id: u32,
    tasks: TaskGroup,
    ended: Option<oneshot::Receiver<()>>,
}

impl OfferedServices {
    /// The ID of the announcement, by which the plug-in finds the services.
    pub fn service_id(&self) -> u32 {
        self.service_id
    }

    /// Waits up to `limit` for running calls to end, then stops. Called after the instance was
    /// cleaned up.
    pub async fn close(mut self, limit: Duration) {
        self.tasks.drain();
        if let Some(ended) = self.ended.take()
            && self.tasks.with_timeout(limit, ended).await.is_none()
        {
            tracing::debug!(id = self.service_id, "calls of a plug-in instance were cut off");
        }
    }
}

impl Drop for OfferedServices {
    fn drop(&mut self) {
        self.tasks.stop();
    }
}
