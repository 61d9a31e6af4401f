//! [`Context`]: what an engine's code has at hand while it works.

use std::sync::Arc;

use strongroom_types::{Clock, Entropy, RequestId, Timestamp};

use crate::Error;
use crate::document::{Document, DocumentStore};
use crate::engine::{EngineRequest, MountContext, MountLifetimes, SystemView};
use crate::pattern::RoutePattern;
use crate::records::RecordStore;

/// The instance's services, and who asks. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Context {
    services: Arc<InstanceServices>,
    request: Option<Arc<RequestInfo>>,
}

/// What belongs to the instance.
#[derive(Debug)]
pub(crate) struct InstanceServices {
    pub(crate) mount: MountContext,
    pub(crate) documents: DocumentStore,
    pub(crate) records: RecordStore,
}

/// What belongs to the request.
#[derive(Debug)]
struct RequestInfo {
    id: RequestId,
    mount_path: String,
    display_name: String,
    deadline: Timestamp,
}

impl Context {
    /// For work that nobody asked for, such as undoing stale intents.
    pub(crate) fn background(services: Arc<InstanceServices>) -> Self {
        Self { services, request: None }
    }

    pub(crate) fn for_request(services: Arc<InstanceServices>, request: &EngineRequest) -> Self {
        let asked = RequestInfo {
            id: request.id.clone(),
            mount_path: request.mount.path.clone(),
            display_name: request.caller.display_name.clone(),
            deadline: request.deadline,
        };
        Self { services, request: Some(Arc::new(asked)) }
    }

    /// The documents of this mount.
    pub fn documents(&self) -> &DocumentStore {
        &self.services.documents
    }

    /// What this mount keeps beside documents.
    pub fn records(&self) -> &RecordStore {
        &self.services.records
    }

    /// The only document of its kind, such as the configuration. When it isn't there the user is
    /// told to write it first.
    pub async fn config<D: Document>(&self) -> Result<Arc<D>, Error> {
        match self.documents().get::<D>(&[]).await? {
            Some(document) => Ok(document),
            None => Err(Error::user(format!(
                "configure the engine first: write {}{}",
                self.mount_path(),
                D::PATH
            ))),
        }
    }

    /// A document of a collection, such as a role. When it isn't there the user is told so.
    pub async fn named<D: Document>(&self, name: &str) -> Result<Arc<D>, Error> {
        match self.documents().get::<D>(&[name]).await? {
            Some(document) => Ok(document),
            None => {
                let capture = RoutePattern::new(D::PATH).list_folder().unwrap_or_default();
                let what = capture.trim_end_matches('/').trim_end_matches('s');
                let what = if what.is_empty() { "document" } else { what };
                Err(Error::user(format!("{what} {name:?} not found")))
            }
        }
    }

    /// The lifetimes of leases of this mount.
    pub async fn lifetimes(&self) -> Result<MountLifetimes, Error> {
        Ok(self.services.mount.system.lifetimes().await?)
    }

    /// Other questions to the server.
    pub fn system(&self) -> &dyn SystemView {
        &*self.services.mount.system
    }

    /// The present moment.
    pub fn now(&self) -> Timestamp {
        self.services.mount.clock.now()
    }

    /// The time.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.services.mount.clock
    }

    /// Chance.
    pub fn entropy(&self) -> &dyn Entropy {
        &*self.services.mount.entropy
    }

    /// The id of the request, as in the log; empty in the background.
    pub fn request_id(&self) -> &str {
        self.request.as_ref().map_or("", |asked| asked.id.as_str())
    }

    /// Where the engine is mounted, with a trailing slash; empty in the background.
    pub fn mount_path(&self) -> &str {
        self.request.as_ref().map_or("", |asked| &asked.mount_path)
    }

    /// The caller's display name, such as `token-ci`; empty in the background.
    pub fn display_name(&self) -> &str {
        self.request.as_ref().map_or("", |asked| &asked.display_name)
    }

    /// When nobody waits for the answer any more.
    pub fn deadline(&self) -> Timestamp {
        self.request.as_ref().map_or(Timestamp::FAR_FUTURE, |asked| asked.deadline)
    }
}
