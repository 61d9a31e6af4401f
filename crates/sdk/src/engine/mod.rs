//! What an engine is to the core: a thing that handles requests below a mount.
//!
//! Engine authors rarely meet this module: a [`crate::Blueprint`] builds all of it from
//! declarations. It is for those who put something else behind a mount, such as the plug-in host.
//!
//! - [`Engine`], [`EngineFactory`] and [`MountContext`]: the thing, its maker, and what it is made with
//! - [`EngineRequest`] and [`EngineResponse`]
//! - [`EngineAuth`]: a login, as auth methods answer it
//! - [`FoldedPaths`] and [`FieldKinds`]: which form of a path and of a field counts, for policies
//! - [`EngineError`]
//! - [`Storage`] and [`SystemView`]: the two services an engine has

mod auth;
mod canonical;
mod error;
mod request;
mod response;
mod storage;
mod system;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
pub use auth::{EngineAuth, IdentityAlias, TokenType};
pub use canonical::{CanonicalPath, FieldKinds, FoldedPaths};
pub use error::{EngineError, StatusKind};
pub use request::{CallerInfo, ConnectionInfo, EngineRequest, LeaseContext, MountInfo, Operation};
pub use response::{DataResponse, EngineResponse, LeasedResponse, RawResponse};
pub(crate) use storage::is_bucket_name;
pub use storage::{
    LEGACY_RECORD_PREFIX, RECORD_PREFIX, Storage, StorageBatch, StorageChange, StorageEntry,
    StorageError, StoragePrecondition, check_folder, check_key,
};
use strongroom_types::{Clock, Entropy};
pub use system::{ClusterInfo, MountLifetimes, SystemError, SystemView};

/// Something mounted: it handles the requests below its path.
///
/// All methods may run at the same time. A method that is dropped before it ends must leave
/// nothing half done that the engine can't find again.
#[async_trait]
pub trait Engine: Send + Sync + fmt::Debug + 'static {
    /// What this engine is. Constant for the life of the instance.
    fn description(&self) -> &EngineDescription;

    /// The form in which policies are judged for a path below the mount. Asked for every request
    /// before anything is allowed: it may not wait.
    fn canonical_path<'p>(&self, path: &'p str) -> CanonicalPath<'p> {
        self.description().folded_paths.canonical_path(path)
    }

    /// How the fields of requests to a path are read, so that conditions of policies are judged on
    /// what the engine makes of a value. It may not wait.
    fn field_kinds(&self, path: &str) -> FieldKinds {
        let _ = path;
        FieldKinds::Unknown
    }

    /// Called once, after the mount exists and its storage may be written.
    async fn initialize(&self) -> Result<(), EngineError>;

    /// Whether the thing that a create or update names is there already.
    async fn exists(&self, request: &EngineRequest) -> Result<Existence, EngineError>;

    /// Does what is asked.
    async fn handle(&self, request: EngineRequest) -> Result<EngineResponse, EngineError>;

    /// A stored key was changed by someone else: forget what was kept of it.
    async fn invalidate(&self, key: &str);

    /// Called about once a minute: periodic work, and undoing what was left half done.
    async fn periodic(&self) -> Result<(), EngineError>;

    /// The end: close connections, stop tasks. No call comes after this one.
    async fn close(&self);
}

/// Answers of [`Engine::exists`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existence {
    /// The path makes no difference between creating and updating.
    NoCheck,
    /// It is there: the request is an update.
    Exists,
    /// It is not there: the request is a create.
    Absent,
}

/// Makes instances of one engine.
#[async_trait]
pub trait EngineFactory: Send + Sync + fmt::Debug + 'static {
    /// The engine's name: `kv`, `api-token`.
    fn name(&self) -> &str;

    /// Its semantic version, with a leading `v`.
    fn version(&self) -> String;

    /// Secrets engine or auth method.
    fn kind(&self) -> MountKind;

    /// Makes an instance. Storage can't be written yet, and nothing may be contacted.
    async fn open(&self, mount: MountContext) -> Result<Arc<dyn Engine>, EngineError>;
}

/// What an instance is made with.
#[derive(Clone)]
pub struct MountContext {
    /// The mount's UUID; stable as long as the mount lives.
    pub uuid: String,
    /// The mount's options, and what the host tells about itself.
    pub config: BTreeMap<String, String>,
    /// The mount's own encrypted storage.
    pub storage: Arc<dyn Storage>,
    /// Questions to the server.
    pub system: Arc<dyn SystemView>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub entropy: Arc<dyn Entropy>,
}

impl fmt::Debug for MountContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MountContext").field("uuid", &self.uuid).finish_non_exhaustive()
    }
}

/// Where an engine can be mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MountKind {
    /// Below `sys/mounts`.
    Secret,
    /// Below `sys/auth`.
    Auth,
}

/// What an engine says of itself.
#[derive(Clone, Debug)]
pub struct EngineDescription {
    /// Secrets engine or auth method.
    pub kind: MountKind,
    /// Its version with a leading `v`; empty when it doesn't say.
    pub version: String,
    /// Paths that are treated in a special way.
    pub special_paths: SpecialPaths,
    /// Whether requests should carry a keyed hash of the caller's token.
    pub wants_token_hash: bool,
    /// Which parts of its paths it takes without regard to case.
    pub folded_paths: FoldedPaths,
    /// Two instances of it must never run side by side, not even for the moment of a reload.
    pub exclusive: bool,
}

/// Paths and storage keys that are treated in a special way, below the mount. A trailing `*`
/// matches any rest; `+` stands for one whole segment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpecialPaths {
    /// Need the `sudo` capability as well.
    pub root: Vec<String>,
    /// Need no token.
    pub unauthenticated: Vec<String>,
    /// Take a body that isn't JSON.
    pub binary: Vec<String>,
    /// Storage keys that don't leave this cluster.
    pub local_storage: Vec<String>,
    /// Storage keys under the seal's extra encryption.
    pub seal_wrap_storage: Vec<String>,
}
