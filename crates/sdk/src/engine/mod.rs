//! What an engine is to the core: a thing that handles requests below a mount.
//!
//! Engine authors rarely meet this module: a [`crate::Blueprint`] builds all of it from
//! declarations. It is for those who put something else behind a mount, such as the plug-in host.
//!
//! - [`Engine`], [`Factory`] and [`Mount`]: the thing, its maker, and what it is made with
//! - [`Request`] and [`Response`]
//! - [`Auth`]: a login, as auth methods answer it
//! - [`FoldedPaths`] and [`FieldKinds`]: which form of a path and of a field counts, for policies
//! - [`EngineError`]
//! - [`Storage`] and [`System`]: the two services an engine has

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
pub use auth::{Alias, Auth, TokenType};
pub use canonical::{CanonicalPath, FieldKinds, FoldedPaths};
pub use error::{EngineError, StatusKind};
pub use request::{Caller, Connection, LeaseContext, MountInfo, Operation, Request};
pub use response::{Data, Leased, Raw, Response};
pub(crate) use storage::is_shelf;
pub use storage::{
    APART, APART_BEFORE, Change, Precondition, Storage, StorageBatch, StorageError, Stored,
    check_folder, check_key,
};
use strongroom_types::{Clock, Entropy};
pub use system::{ClusterInfo, Lifetimes, System, SystemError};

/// Something mounted: it handles the requests below its path.
///
/// All methods may run at the same time. A method that is dropped before it ends must leave
/// nothing half done that the engine can't find again.
#[async_trait]
pub trait Engine: Send + Sync + fmt::Debug + 'static {
    /// What this engine is. Constant for the life of the instance.
    fn description(&self) -> &Description;

    /// The form in which policies are judged for a path below the mount. Asked for every request
    /// before anything is allowed: it may not wait.
    fn canonical_path<'p>(&self, path: &'p str) -> CanonicalPath<'p> {
        self.description().folded.canonical(path)
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
    async fn exists(&self, request: &Request) -> Result<Existence, EngineError>;

    /// Does what is asked.
    async fn handle(&self, request: Request) -> Result<Response, EngineError>;

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
pub trait Factory: Send + Sync + fmt::Debug + 'static {
    /// The engine's name: `kv`, `api-token`.
    fn name(&self) -> &str;

    /// Its semantic version, with a leading `v`.
    fn version(&self) -> String;

    /// Secrets engine or auth method.
    fn kind(&self) -> Kind;

    /// Makes an instance. Storage can't be written yet, and nothing may be contacted.
    async fn open(&self, mount: Mount) -> Result<Arc<dyn Engine>, EngineError>;
}

/// What an instance is made with.
#[derive(Clone)]
pub struct Mount {
    /// The mount's UUID; stable as long as the mount lives.
    pub uuid: String,
    /// The mount's options, and what the host tells about itself.
    pub config: BTreeMap<String, String>,
    /// The mount's own encrypted storage.
    pub storage: Arc<dyn Storage>,
    /// Questions to the server.
    pub system: Arc<dyn System>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub entropy: Arc<dyn Entropy>,
}

impl fmt::Debug for Mount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mount").field("uuid", &self.uuid).finish_non_exhaustive()
    }
}

/// Where an engine can be mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Below `sys/mounts`.
    Secrets,
    /// Below `sys/auth`.
    Auth,
}

/// What an engine says of itself.
#[derive(Clone, Debug)]
pub struct Description {
    /// Secrets engine or auth method.
    pub kind: Kind,
    /// Its version with a leading `v`; empty when it doesn't say.
    pub version: String,
    /// Paths that are treated in a special way.
    pub special: SpecialPaths,
    /// Whether requests should carry a keyed hash of the caller's token.
    pub wants_token_hash: bool,
    /// Which parts of its paths it takes without regard to case.
    pub folded: FoldedPaths,
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
