//! [`PluginBroker`]: the plug-in's side of the broker.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::{Stream, StreamExt, stream};
use rustls::ClientConfig;
use strongroom_types::Timestamp;
use tokio::sync::oneshot;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::{Request, Response, Status, Streaming};

use crate::address::{InvalidPeerAddress, PeerAddress};
use crate::generated::plugin::ConnInfo;
use crate::generated::plugin::grpc_broker_server::{GrpcBroker, GrpcBrokerServer};
use crate::tasks::TaskGroup;
use crate::transport::{Channel, ConnectError, TransportSecurity};

/// Receives the host's announcements, and dials the announced services. Clones share the state.
#[derive(Clone, Debug)]
pub struct PluginBroker(pub(super) Arc<PluginBrokerInner>);

#[derive(Debug)]
pub(super) struct PluginBrokerInner {
    slots: Mutex<HashMap<u32, AnnouncementSlot>>,
    tasks: TaskGroup,
    host_gone: CancellationToken,
}

/// The state of a service ID.
#[derive(Debug)]
enum AnnouncementSlot {
    /// A caller waits for its announcement.
    Wanted(oneshot::Sender<Announcement>),
    /// The host announced it at that time, and no caller has asked for it yet.
    Announced(Announcement, Timestamp),
}

type Announcement = Result<PeerAddress, InvalidPeerAddress>;

/// Why a service could not be dialled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// The host did not announce it within [`ANNOUNCEMENT_TIMEOUT`].
    #[error("the host did not say where to dial service {0}")]
    NotAnnounced(u32),
    /// Another caller is waiting for it: each service is for one instance.
    #[error("service {0} is being dialled already")]
    Taken(u32),
    /// The limit of known service IDs is reached; no regular host offers so many.
    #[error("too many services are being dialled")]
    TooMany,
    /// The host announced an address that is not local or not valid.
    #[error("the host announced no usable address: {0}")]
    Address(#[from] InvalidPeerAddress),
    /// It was announced, but connecting to it failed.
    #[error(transparent)]
    Connect(#[from] ConnectError),
}

/// How long a dial waits for its announcement, and an announcement for its dial.
pub const ANNOUNCEMENT_TIMEOUT: Duration = Duration::from_secs(5);

/// The maximum number of service IDs known at once. A host announces one for each instance, which
/// the instance dials at once.
pub(super) const MAX_SLOTS: usize = 1024;

impl PluginBroker {
    /// A broker without announcements. The host's streams end when `tasks` are drained.
    pub fn new(tasks: &TaskGroup) -> Self {
        let (slots, host_gone) = (Mutex::default(), CancellationToken::new());
        Self(Arc::new(PluginBrokerInner { slots, tasks: tasks.clone(), host_gone }))
    }

    /// The gRPC service that receives announcements, to be served on the main connection.
    pub fn broker_server(&self) -> GrpcBrokerServer<Self> {
        GrpcBrokerServer::new(self.clone())
    }

    /// Dials a service that the host has announced, or announces within [`ANNOUNCEMENT_TIMEOUT`].
    ///
    /// Cancel safety: when dropped, the announcement is discarded or kept; the service may be
    /// dialled again in the latter case.
    pub async fn dial(
        &self,
        service_id: u32,
        security: impl Into<TransportSecurity<ClientConfig>>,
    ) -> Result<Channel, DialError> {
        let address = self.wait_for_address(service_id).await?;
        Ok(Channel::connect(&address, security, &self.0.tasks).await?)
    }

    /// The address of a service that the host has announced, or announces within
    /// [`ANNOUNCEMENT_TIMEOUT`].
    pub async fn wait_for_address(&self, service_id: u32) -> Result<PeerAddress, DialError> {
        let waiting = match self.look_up_or_wait(service_id)? {
            AnnouncementLookup::Known(announced) => return Ok(announced?),
            AnnouncementLookup::Wait(waiting) => waiting,
        };
        // Removed when this future is dropped, so that the ID can be requested again.
        let _withdraw = WithdrawOnDrop { shared: &self.0, service_id };
        match self.0.tasks.with_timeout(ANNOUNCEMENT_TIMEOUT, waiting).await {
            Some(Ok(announced)) => Ok(announced?),
            _ => Err(DialError::NotAnnounced(service_id)),
        }
    }

    /// Resolves when a stream of announcements has ended, because the host closed the broker or
    /// exited.
    pub async fn host_gone(&self) {
        self.0.host_gone.cancelled().await;
    }

    /// Looks the ID up and registers the caller under one lock, so that no announcement is missed.
    fn look_up_or_wait(&self, service_id: u32) -> Result<AnnouncementLookup, DialError> {
        let mut slots = self.0.live_slots();
        let full = slots.len() >= MAX_SLOTS;
        match slots.entry(service_id) {
            Entry::Occupied(slot) => match slot.remove() {
                AnnouncementSlot::Announced(announced, _) => {
                    Ok(AnnouncementLookup::Known(announced))
                }
                wanted @ AnnouncementSlot::Wanted(_) => {
                    slots.insert(service_id, wanted);
                    Err(DialError::Taken(service_id))
                }
            },
            Entry::Vacant(_) if full => Err(DialError::TooMany),
            Entry::Vacant(slot) => {
                let (sender, waiting) = oneshot::channel();
                slot.insert(AnnouncementSlot::Wanted(sender));
                Ok(AnnouncementLookup::Wait(waiting))
            }
        }
    }
}

enum AnnouncementLookup {
    Known(Announcement),
    Wait(oneshot::Receiver<Announcement>),
}

struct WithdrawOnDrop<'a> {
    shared: &'a PluginBrokerInner,
    service_id: u32,
}

impl Drop for WithdrawOnDrop<'_> {
    fn drop(&mut self) {
        let mut slots = self.shared.live_slots();
        if let Some(AnnouncementSlot::Wanted(sender)) = slots.get(&self.service_id)
            && sender.is_closed()
        {
            slots.remove(&self.service_id);
        }
    }
}

impl PluginBrokerInner {
    /// All known IDs, after removing announcements that no caller asked for in time.
    fn live_slots(&self) -> MutexGuard<'_, HashMap<u32, AnnouncementSlot>> {
        let now = self.tasks.clock().now();
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.retain(|_, slot| match slot {
            AnnouncementSlot::Announced(_, at) => now.since(*at) < ANNOUNCEMENT_TIMEOUT,
            AnnouncementSlot::Wanted(_) => true,
        });
        slots
    }

    pub(super) fn record_announcement(&self, info: &ConnInfo) {
        // A knock belongs to connections that share a socket, which this side never asks for.
        if info.knock.is_some() {
            return;
        }
        let announced = PeerAddress::parse(&info.network, &info.address);
        let now = self.tasks.clock().now();
        let mut slots = self.live_slots();
        let full = slots.len() >= MAX_SLOTS;
        match slots.entry(info.service_id) {
            Entry::Occupied(slot) => {
                // Only the first announcement of an ID counts.
                if let AnnouncementSlot::Wanted(_) = slot.get()
                    && let AnnouncementSlot::Wanted(sender) = slot.remove()
                {
                    // The caller may have given up.
                    let _ = sender.send(announced);
                }
            }
            Entry::Vacant(_) if full => {
                tracing::warn!(id = info.service_id, "too many announcements of the host");
            }
            Entry::Vacant(slot) => {
                slot.insert(AnnouncementSlot::Announced(announced, now));
            }
        }
    }
}

#[tonic::async_trait]
impl GrpcBroker for PluginBroker {
    type StartStreamStream = Pin<Box<dyn Stream<Item = Result<ConnInfo, Status>> + Send>>;

    /// Reads announcements while the stream is open, and sends none.
    async fn start_stream(
        &self,
        request: Request<Streaming<ConnInfo>>,
    ) -> Result<Response<Self::StartStreamStream>, Status> {
        let hearing = AnnouncementReader {
            incoming: request.into_inner(),
            shared: self.0.clone(),
            _gone: self.0.host_gone.clone().drop_guard(),
        };
        Ok(Response::new(stream::once(hearing.run()).filter_map(std::future::ready).boxed()))
    }
}

struct AnnouncementReader {
    incoming: Streaming<ConnInfo>,
    shared: Arc<PluginBrokerInner>,
    _gone: DropGuard,
}

impl AnnouncementReader {
    /// Reads until the stream ends; never yields a message.
    async fn run(mut self) -> Option<Result<ConnInfo, Status>> {
        loop {
            let heard = tokio::select! {
                biased;
                heard = self.incoming.message() => heard,
                () = self.shared.tasks.wait_for_drain() => return None,
            };
            match heard {
                Ok(Some(info)) => self.shared.record_announcement(&info),
                Ok(None) | Err(_) => return None,
            }
        }
    }
}
