//! The interface between a host and an engine: an [`Engine`] handles the requests below one mount.
//!
//! Hosts are the server's core and the test host of `strongroom-sdk`. Engines are the blueprints of
//! that SDK, auth methods, and the plug-in host's view of an engine in another process. Nothing here
//! does I/O; `strongroom-engine-wire` carries the same interface over the plug-in protocol.
//!
//! - [`Engine`], [`EngineFactory`] and [`MountContext`]: the engine, its constructor, and the
//!   services passed to it
//! - [`EngineRequest`] and [`EngineResponse`]: one operation on one path, and its result
//! - [`EngineAuth`]: a successful login, as an auth method returns it
//! - [`FoldedPaths`] and [`FieldKinds`]: how an engine normalises paths and field values, so that
//!   policies are checked against the same form
//! - [`LifetimeLimits`]: how long leases and tokens live
//! - [`EngineError`]: what a call to an engine can fail with
//! - [`Storage`] and [`SystemView`]: the two services that the host provides to an engine
//! - [`intent`] and [`mount_config`]: keys and folders that both sides know
//! - [`catch_panic`]: how a panic of an engine becomes the error of one request

mod auth;
mod canonical;
mod data_response;
mod error;
mod identity;
pub mod intent;
mod lifetime;
pub mod mount_config;
mod panics;
pub mod receipt;
mod redirect;
mod request;
mod response;
mod storage;
mod system;
mod wrapping_token;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
pub use auth::{EngineAuth, IdentityAlias};
pub use canonical::{CanonicalPath, FieldKinds, FoldedPaths};
pub use data_response::DataResponse;
pub use error::{EngineError, StatusKind};
pub use identity::{EntityAlias, EntityGroup, EntityInfo};
pub use lifetime::{GrantedLifetime, LifetimeLimits};
pub use panics::{PANIC_MESSAGE, catch_panic};
pub use redirect::{InvalidRedirect, RedirectTarget};
pub use request::{
    CallerInfo, ClientCertificates, ConnectionInfo, EngineRequest, LeaseContext, MountInfo,
    Operation, RawRequestBody,
};
pub use response::{EngineResponse, LeasedResponse, RawResponse};
pub use storage::{
    LEGACY_RECORD_PREFIX, RECORD_PREFIX, Storage, StorageBatch, StorageChange, StorageEntry,
    StorageError, StoragePrecondition, check_folder, check_key, is_bucket_name,
};
use strongroom_types::{Clock, Entropy};
pub use strongroom_types::{MountKind, TokenTypeSetting};
pub use system::{ClusterInfo, MountLifetimes, SystemError, SystemView, TaskOutcome};
pub use wrapping_token::WrappingToken;

/// An instance of an engine at one mount; it handles the requests below the mount's path.
///
/// All methods may be called concurrently.
///
/// # Cancel safety
///
/// The host may drop the future of any method before it completes. Whatever was left half done must
/// be something the engine can find and clean up later.
#[async_trait]
pub trait Engine: Send + Sync + fmt::Debug + 'static {
    /// The version, special paths and other properties of this engine. Constant for the instance's
    /// lifetime.
    fn description(&self) -> &EngineDescription;

    /// The form of `path` (relative to the mount) against which policies are checked. Called for
    /// every request before authorisation, so it must not block.
    fn canonical_path<'p>(&self, path: &'p str) -> CanonicalPath<'p> {
        self.description().folded_paths.canonical_path(path)
    }

    /// How the fields of requests to `path` are parsed, so that parameter conditions in policies
    /// are checked against the value that the engine sees. The default is [`FieldKinds::Unknown`].
    /// Must not block.
    fn field_kinds(&self, path: &str) -> FieldKinds {
        let _ = path;
        FieldKinds::Unknown
    }

    /// Called once per instance, after the mount exists and its storage has become writable.
    ///
    /// # Errors
    ///
    /// Any [`EngineError`] means that the instance could not be initialised.
    async fn initialize(&self) -> Result<(), EngineError>;

    /// Whether the object that a create or update request names exists already. The core uses it to
    /// require the `create` or the `update` capability.
    ///
    /// # Errors
    ///
    /// [`StatusKind::UnsupportedPath`] if the engine has no such path: the core then treats the
    /// write as an update. Any other [`EngineError`]: the check itself failed, and the request is
    /// not sent to [`Engine::handle`].
    async fn exists(&self, request: &EngineRequest) -> Result<Existence, EngineError>;

    /// Handles one request and returns its response.
    ///
    /// # Errors
    ///
    /// [`EngineError::User`] if the request is wrong; the other kinds are described at
    /// [`EngineError`].
    async fn handle(&self, request: EngineRequest) -> Result<EngineResponse, EngineError>;

    /// Someone else changed the entry at this storage key: drop anything cached from it.
    async fn invalidate(&self, key: &str);

    /// Called about once a minute, for periodic work such as undoing operations that did not
    /// complete.
    ///
    /// # Errors
    ///
    /// Any [`EngineError`]: the work failed and is tried again at the next call.
    async fn periodic(&self) -> Result<(), EngineError>;

    /// Called when the instance is shut down: close connections and stop tasks. No other method is
    /// called afterwards.
    async fn close(&self);
}

/// The result of [`Engine::exists`], which decides the capability that a write needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existence {
    /// The path has no existence check, so a write is always an update.
    NoCheck,
    /// The object exists, so the request is an update.
    Exists,
    /// The object does not exist, so the request is a create.
    Absent,
}

/// Creates the instances of one engine. A factory is registered under a name, and operators mount
/// it by that name.
#[async_trait]
pub trait EngineFactory: Send + Sync + fmt::Debug + 'static {
    /// The engine's name, which is also the mount type: `kv`, `api-token`.
    fn name(&self) -> &str;

    /// The engine's semantic version with a leading `v`, such as `v1.2.0`.
    fn version(&self) -> String;

    /// Whether instances are mounted as secrets engines or as auth methods.
    fn kind(&self) -> MountKind;

    /// Creates an instance for one mount. Storage is not writable yet, and no outside system may be
    /// contacted; both are allowed from [`Engine::initialize`] on.
    ///
    /// # Errors
    ///
    /// [`EngineError`] if the mount's options or the engine's own declarations are invalid.
    async fn open(&self, mount: MountContext) -> Result<Arc<dyn Engine>, EngineError>;
}

/// The identity, configuration and services of one mount, passed to [`EngineFactory::open`].
#[derive(Clone)]
pub struct MountContext {
    /// The mount's UUID, which stays the same for the lifetime of the mount.
    pub uuid: String,
    /// The mount's options, and keys by which the host announces its own capabilities (for example
    /// [`HOST_CONFIG_KEY`](mount_config::HOST_CONFIG_KEY)).
    pub config: BTreeMap<String, String>,
    /// The mount's encrypted storage. No other mount can read or write it.
    pub storage: Arc<dyn Storage>,
    /// Read-only queries to the server, such as the mount's lease lifetimes.
    pub system: Arc<dyn SystemView>,
    /// The clock to use for every deadline and timestamp; tests replace it with a paused one.
    pub clock: Arc<dyn Clock>,
    /// The source of randomness; tests replace it with a seeded one.
    pub entropy: Arc<dyn Entropy>,
}

impl fmt::Debug for MountContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MountContext").field("uuid", &self.uuid).finish_non_exhaustive()
    }
}

/// Properties that an engine declares about itself, and that the core and the plug-in host act on.
#[derive(Clone, Debug)]
pub struct EngineDescription {
    /// Whether it is a secrets engine or an auth method.
    pub kind: MountKind,
    /// Its semantic version with a leading `v`; empty if the plug-in reports none.
    pub version: String,
    /// Paths and storage keys with special treatment, such as unauthenticated paths.
    pub special_paths: SpecialPaths,
    /// Whether requests should carry a keyed hash of the caller's token in
    /// [`CallerInfo::token_hash`].
    pub wants_token_hash: bool,
    /// Which segments of its paths the engine matches case-insensitively.
    pub folded_paths: FoldedPaths,
    /// Whether two instances for one mount must never run side by side, not even briefly during a
    /// reload.
    pub exclusive: bool,
}

/// Paths and storage keys, relative to the mount, that are treated specially. A trailing `*`
/// matches any rest; `+` matches one whole segment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpecialPaths {
    /// Paths that require the `sudo` capability in addition to the usual one.
    pub root: Vec<String>,
    /// Paths that can be called without a token.
    pub unauthenticated: Vec<String>,
    /// Paths whose writes get the request's body unparsed, as [`EngineRequest::raw_body`]. Only engines
    /// that are linked in have any: the plug-in protocol can't carry the body.
    pub binary: Vec<String>,
    /// Storage keys that are not replicated to other clusters.
    pub local_storage: Vec<String>,
    /// Storage keys whose values are additionally encrypted by the seal.
    pub seal_wrap_storage: Vec<String>,
}
