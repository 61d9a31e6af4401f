//! [`Context`]: the services and the caller's details available to an engine's code.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use strongroom_engine::{EngineRequest, MountContext, MountLifetimes, RawRequestBody, SystemView};
use strongroom_schema::pattern::RoutePattern;
use strongroom_types::{Clock, Entropy, RequestId, Secret, Timestamp};

use crate::Error;
use crate::caller::{PassedHeaders, RequestCaller};
use crate::document::{Document, DocumentStore};
use crate::lifecycle::BackgroundTasks;
use crate::records::RecordStore;

/// The instance's services, and details of the request if there is one. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Context {
    services: Arc<InstanceServices>,
    request: Option<Arc<RequestInfo>>,
    /// The store of an action that can't create documents.
    restricted_documents: Option<Arc<DocumentStore>>,
}

/// The part of the context that belongs to the instance.
#[derive(Debug)]
pub(crate) struct InstanceServices {
    pub(crate) mount: MountContext,
    pub(crate) documents: DocumentStore,
    pub(crate) records: RecordStore,
    pub(crate) tasks: BackgroundTasks,
    /// The name of the outside system in errors.
    pub(crate) system: &'static str,
    pub(crate) password_policy: Option<PasswordPolicyReader>,
    /// The instance's connections to the outside system.
    #[cfg(feature = "http")]
    pub(crate) http: crate::http::HttpClient,
}

/// Reads the name of the password policy from the configuration of an engine.
#[derive(Clone)]
pub(crate) struct PasswordPolicyReader(Arc<ReadPolicyName>);

type ReadPolicyName = dyn Fn(Context) -> BoxFuture<'static, Result<String, Error>> + Send + Sync;

impl PasswordPolicyReader {
    pub(crate) fn new(
        read: impl Fn(Context) -> BoxFuture<'static, Result<String, Error>> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(read))
    }
}

impl std::fmt::Debug for PasswordPolicyReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PasswordPolicyReader")
    }
}

/// The part of the context that belongs to the request.
#[derive(Debug)]
pub(crate) struct RequestInfo {
    id: RequestId,
    mount_path: String,
    display_name: String,
    deadline: Timestamp,
    pub(crate) raw_body: Option<Box<RawRequestBody>>,
    pub(crate) caller: Option<RequestCaller>,
    pub(crate) headers: PassedHeaders,
}

impl Context {
    /// A context for background work without a request, such as undoing stale intents.
    pub(crate) fn background(services: Arc<InstanceServices>) -> Self {
        Self { services, request: None, restricted_documents: None }
    }

    pub(crate) fn for_request(services: Arc<InstanceServices>, request: &EngineRequest) -> Self {
        let asked = RequestInfo {
            id: request.id.clone(),
            mount_path: request.mount.path.clone(),
            display_name: request.caller.display_name.clone(),
            deadline: request.deadline,
            raw_body: request.raw_body.clone(),
            caller: RequestCaller::of_request(request),
            headers: PassedHeaders(request.headers.clone()),
        };
        Self { services, request: Some(Arc::new(asked)), restricted_documents: None }
    }

    /// The same context for an action whose path has no existence check; see [`DocumentStore`].
    pub(crate) fn without_creation(self) -> Self {
        let documents = self.services.documents.without_creation();
        Self { restricted_documents: Some(Arc::new(documents)), ..self }
    }

    pub(crate) fn request_info(&self) -> Option<&RequestInfo> {
        self.request.as_deref()
    }

    pub(crate) fn services(&self) -> &InstanceServices {
        &self.services
    }

    /// The typed documents of this mount, such as its configuration and roles.
    pub fn documents(&self) -> &DocumentStore {
        self.restricted_documents.as_deref().unwrap_or(&self.services.documents)
    }

    /// Storage for data that isn't a document; see [`crate::records`].
    pub fn records(&self) -> &RecordStore {
        &self.services.records
    }

    /// Loads a document whose path has no capture, such as `config`.
    ///
    /// # Errors
    ///
    /// A user error that asks to write the document first if it doesn't exist; a storage error if
    /// it can't be read.
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

    /// Loads a document of a collection by its name, such as a role of `roles/{name}`.
    ///
    /// # Errors
    ///
    /// A user error ("... not found") if it doesn't exist; a storage error if it can't be read.
    pub async fn named<D: Document>(&self, name: &str) -> Result<Arc<D>, Error> {
        match self.documents().get::<D>(&[name]).await? {
            Some(document) => Ok(document),
            None => Err(Self::missing_document::<D>(name)),
        }
    }

    /// The user error for a document of a collection that doesn't exist.
    pub(crate) fn missing_document<D: Document>(name: &str) -> Error {
        let folder = RoutePattern::new(D::PATH).list_folder().unwrap_or_default();
        let what = folder.trim_end_matches('/').trim_end_matches('s');
        let what = if what.is_empty() { "document" } else { what };
        Error::user(format!("{what} {name:?} not found"))
    }

    /// The default and maximum lease lifetimes of this mount.
    ///
    /// # Errors
    ///
    /// An internal error if the server does not answer.
    pub async fn lifetimes(&self) -> Result<MountLifetimes, Error> {
        Ok(self.services.mount.system.lifetimes().await?)
    }

    /// Other queries to the server, such as its version or a generated password.
    pub fn system(&self) -> &dyn SystemView {
        &*self.services.mount.system
    }

    /// The name of the outside system in errors.
    pub(crate) fn outside_system(&self) -> &'static str {
        self.services.system
    }

    /// Generates a password as the configuration of the engine demands: with the password policy that
    /// [`Blueprint::password_policy`](crate::Blueprint::password_policy) finds there.
    ///
    /// # Errors
    ///
    /// A user error if the configuration is missing; otherwise as of
    /// [`generate_password`](Self::generate_password).
    pub async fn new_password(&self) -> Result<Secret<String>, Error> {
        match &self.services.password_policy {
            Some(PasswordPolicyReader(read)) => {
                self.generate_password(&read(self.clone()).await?).await
            }
            None => self.generate_password("").await,
        }
    }

    /// Generates a password: as the server's password policy of this name demands, or 32 letters and
    /// digits if the name is empty.
    ///
    /// # Errors
    ///
    /// An internal error if the server has no such policy, or does not answer.
    pub async fn generate_password(&self, policy: &str) -> Result<Secret<String>, Error> {
        const CHARS: usize = 32;
        match policy {
            "" => Ok(Secret::new(self.entropy().base62(CHARS))),
            policy => Ok(self.system().generate_password(policy).await?),
        }
    }

    /// The current time of the instance's clock, which tests can control.
    pub fn now(&self) -> Timestamp {
        self.services.mount.clock.now()
    }

    /// The instance's clock, for sleeping and deadlines. Don't use the system clock directly: tests
    /// replace this one.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.services.mount.clock
    }

    /// The source of randomness, which tests replace with a seeded one.
    pub fn entropy(&self) -> &dyn Entropy {
        &*self.services.mount.entropy
    }

    /// The id of the request, as in the log; empty in background work.
    pub fn request_id(&self) -> &str {
        self.request.as_ref().map_or("", |asked| asked.id.as_str())
    }

    /// The path of the mount with a trailing slash; empty in background work.
    pub fn mount_path(&self) -> &str {
        self.request.as_ref().map_or("", |asked| &asked.mount_path)
    }

    /// The display name of the caller's token, such as `token-ci`; empty in background work.
    pub fn display_name(&self) -> &str {
        self.request.as_ref().map_or("", |asked| &asked.display_name)
    }

    /// When the caller stops waiting for the response; far in the future in background work.
    pub fn deadline(&self) -> Timestamp {
        self.request.as_ref().map_or(Timestamp::FAR_FUTURE, |asked| asked.deadline)
    }
}
