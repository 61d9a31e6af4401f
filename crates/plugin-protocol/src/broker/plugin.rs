//! The plug-in's side.

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

use crate::address::{Address, InvalidAddress};
use crate::generated::plugin::ConnInfo;
use crate::generated::plugin::grpc_broker_server::{GrpcBroker, GrpcBrokerServer};
use crate::tasks::Tasks;
use crate::transport::{Channel, ConnectError, Security};

/// Hears what the host announces, and dials it. Clones share what was heard.
#[derive(Clone, Debug)]
pub struct PluginBroker(pub(super) Arc<Shared>);

#[derive(Debug)]
pub(super) struct Shared {
    slots: Mutex<HashMap<u32, Slot>>,
    tasks: Tasks,
    host_gone: CancellationToken,
}

/// What is known of a service id.
#[derive(Debug)]
enum Slot {
    /// Somebody wants to dial it.
    Wanted(oneshot::Sender<Announced>),
    /// The host announced it, and nobody has asked yet.
    Announced(Announced, Timestamp),
}

type Announced = Result<Address, InvalidAddress>;

/// Why a service could not be dialled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// The host did not announce it in time.
    #[error("the host did not say where to dial service {0}")]
    NotAnnounced(u32),
    /// Each service is for one instance.
    #[error("service {0} is being dialled already")]
    Taken(u32),
    /// More at once than any host offers.
    #[error("too many services are being dialled")]
    TooMany,
    /// The host announced what this side can't or won't dial.
    #[error("the host announced no usable address: {0}")]
    Address(#[from] InvalidAddress),
    /// It was announced, but there is no connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
}

/// How long announcement and dialling wait for each other.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// Service ids known at once. A host announces one an instance, and instances dial at once.
pub(super) const MAX_SLOTS: usize = 1024;

impl PluginBroker {
    /// Hears nothing yet. Streams of the host end when `tasks` drain.
    pub fn new(tasks: &Tasks) -> Self {
        let (slots, host_gone) = (Mutex::default(), CancellationToken::new());
        Self(Arc::new(Shared { slots, tasks: tasks.clone(), host_gone }))
    }

    /// What the host talks to, for the services of the main connection.
    pub fn service(&self) -> GrpcBrokerServer<Self> {
        GrpcBrokerServer::new(self.clone())
    }

    /// Dials the service the host announced, or will announce within [`PATIENCE`].
    ///
    /// Cancel safety: when dropped, the announcement is forgotten or left, and may be dialled.
    pub async fn dial(
        &self,
        service_id: u32,
        security: impl Into<Security<ClientConfig>>,
    ) -> Result<Channel, DialError> {
        let address = self.announced(service_id).await?;
        Ok(Channel::connect(&address, security, &self.0.tasks).await?)
    }

    /// Where the host said to dial, or will say within [`PATIENCE`].
    pub async fn announced(&self, service_id: u32) -> Result<Address, DialError> {
        let waiting = match self.look_or_wait(service_id)? {
            Look::Known(announced) => return Ok(announced?),
            Look::Wait(waiting) => waiting,
        };
        // Taken back when this future is dropped, so that the id can be asked for again.
        let _withdraw = Withdraw { shared: &self.0, service_id };
        match self.0.tasks.within(PATIENCE, waiting).await {
            Some(Ok(announced)) => Ok(announced?),
            _ => Err(DialError::NotAnnounced(service_id)),
        }
    }

    /// Resolves when a stream of announcements has ended: the host has closed the broker, or is
    /// gone.
    pub async fn host_gone(&self) {
        self.0.host_gone.cancelled().await;
    }

    /// Looks and, in the same breath, leaves word: what is announced in between can't be missed.
    fn look_or_wait(&self, service_id: u32) -> Result<Look, DialError> {
        let mut slots = self.0.fresh_slots();
        let full = slots.len() >= MAX_SLOTS;
        match slots.entry(service_id) {
            Entry::Occupied(slot) => match slot.remove() {
                Slot::Announced(announced, _) => Ok(Look::Known(announced)),
                wanted @ Slot::Wanted(_) => {
                    slots.insert(service_id, wanted);
                    Err(DialError::Taken(service_id))
                }
            },
            Entry::Vacant(_) if full => Err(DialError::TooMany),
            Entry::Vacant(slot) => {
                let (sender, waiting) = oneshot::channel();
                slot.insert(Slot::Wanted(sender));
                Ok(Look::Wait(waiting))
            }
        }
    }
}

enum Look {
    Known(Announced),
    Wait(oneshot::Receiver<Announced>),
}

struct Withdraw<'a> {
    shared: &'a Shared,
    service_id: u32,
}

impl Drop for Withdraw<'_> {
    fn drop(&mut self) {
        let mut slots = self.shared.fresh_slots();
        if let Some(Slot::Wanted(sender)) = slots.get(&self.service_id)
            && sender.is_closed()
        {
            slots.remove(&self.service_id);
        }
    }
}

impl Shared {
    /// What is known, without what nobody collected in time.
    fn fresh_slots(&self) -> MutexGuard<'_, HashMap<u32, Slot>> {
        let now = self.tasks.clock().now();
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.retain(|_, slot| match slot {
            Slot::Announced(_, at) => now.since(*at) < PATIENCE,
            Slot::Wanted(_) => true,
        });
        slots
    }

    pub(super) fn deliver(&self, info: &ConnInfo) {
        // A knock belongs to connections that share a socket, and is never asked of us.
        if info.knock.is_some() {
            return;
        }
        let announced = Address::parse(&info.network, &info.address);
        let now = self.tasks.clock().now();
        let mut slots = self.fresh_slots();
        let full = slots.len() >= MAX_SLOTS;
        match slots.entry(info.service_id) {
            Entry::Occupied(slot) => {
                // The first announcement of an id counts.
                if let Slot::Wanted(_) = slot.get()
                    && let Slot::Wanted(sender) = slot.remove()
                {
                    // Whoever wanted it may just have given up.
                    let _ = sender.send(announced);
                }
            }
            Entry::Vacant(_) if full => {
                tracing::warn!(id = info.service_id, "too many announcements of the host");
            }
            Entry::Vacant(slot) => {
                slot.insert(Slot::Announced(announced, now));
            }
        }
    }
}

#[tonic::async_trait]
impl GrpcBroker for PluginBroker {
    type StartStreamStream = Pin<Box<dyn Stream<Item = Result<ConnInfo, Status>> + Send>>;

    /// Hears announcements for as long as the stream is open, and says nothing itself.
    async fn start_stream(
        &self,
        request: Request<Streaming<ConnInfo>>,
    ) -> Result<Response<Self::StartStreamStream>, Status> {
        let hearing = Hearing {
            incoming: request.into_inner(),
            shared: self.0.clone(),
            _gone: self.0.host_gone.clone().drop_guard(),
        };
        Ok(Response::new(stream::once(hearing.hear()).filter_map(std::future::ready).boxed()))
    }
}

struct Hearing {
    incoming: Streaming<ConnInfo>,
    shared: Arc<Shared>,
    _gone: DropGuard,
}

impl Hearing {
    /// Ends with the stream, without ever having had an answer.
    async fn hear(mut self) -> Option<Result<ConnInfo, Status>> {
        loop {
            let heard = tokio::select! {
                biased;
                heard = self.incoming.message() => heard,
                () = self.shared.tasks.draining() => return None,
            };
            match heard {
                Ok(Some(info)) => self.shared.deliver(&info),
                Ok(None) | Err(_) => return None,
            }
        }
    }
}
