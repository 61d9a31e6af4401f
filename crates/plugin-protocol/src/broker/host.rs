//! The host's side.

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

/// Offers services to one plug-in process. There is one for the life of the process; dropping it
/// ends the stream of announcements, not what was offered.
#[derive(Debug)]
pub struct HostBroker {
    announcements: mpsc::Sender<ConnInfo>,
    pub(super) last_id: AtomicU32,
    folder: Arc<SocketFolder>,
    security: TransportSecurity<ServerConfig>,
    tasks: TaskGroup,
}

/// Why nothing was offered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OfferError {
    /// No socket.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The plug-in ended the stream of announcements, or is gone.
    #[error("the plug-in does not listen for announcements")]
    Closed,
    /// Four billion instances in one process.
    #[error("the service ids of this process are used up")]
    UsedUp,
}

/// Announcements on their way; one an instance.
const MAX_QUEUED_ANNOUNCEMENTS: usize = 64;

impl HostBroker {
    /// Opens the stream of announcements on the main connection. Sockets will lie in `folder`,
    /// and be served with `security` by parts of `tasks`.
    ///
    /// It does not wait for the plug-in to answer: Go's doesn't, until it has something to say.
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
                // Plug-ins offer nothing: what they announce is heard and forgotten.
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

    /// Binds a new socket, serves `services` on it, and tells the plug-in. The id goes into the
    /// set-up call.
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
            // Whoever offered may no longer wait.
            let _ = done.send(());
        });
        self.announcements.send(announcement).await.map_err(|_| OfferError::Closed)?;
        Ok(offered)
    }

    /// From 1 on, and never the same twice.
    fn next_id(&self) -> Result<u32, OfferError> {
        let next = |last: u32| last.checked_add(1);
        let last = self.last_id.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        last.ok().and_then(next).ok_or(OfferError::UsedUp)
    }
}

/// Services that one instance of a backend can dial. Dropping it stops them at once.
#[derive(Debug)]
pub struct OfferedServices {
    service_id: u32,
    tasks: TaskGroup,
    ended: Option<oneshot::Receiver<()>>,
}

impl OfferedServices {
    /// The id under which the plug-in finds them.
    pub fn service_id(&self) -> u32 {
        self.service_id
    }

    /// Lets calls that run end, at most for `limit`, and then stops. To be called after the
    /// instance was cleaned up.
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
