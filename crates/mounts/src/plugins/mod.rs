//! The plug-in catalog, and the trait that launches plug-ins. [`PluginLauncher`] is implemented
//! outside this crate; how processes are started and called is up to the implementation.

pub mod catalog;
pub mod selection;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
pub use catalog::{CatalogError, PluginCatalogStore};
use strongroom_engine::{Engine, EngineError, MountContext};
use strongroom_types::{ErrorKind, MountKind};

/// The type of a plug-in, as the API of the catalog names it. Plug-ins of the types `Auth` and
/// `Secret` are mounted as the [`MountKind`] of the same name. A database driver is listed in the
/// catalog as well and can't be mounted, so this type has a value that [`MountKind`] lacks.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum PluginKind {
    /// An auth method, mounted below `auth/`.
    Auth,
    /// A driver of the database engine, which is not mounted itself.
    Database,
    /// A secrets engine, mounted at a path of its own.
    Secret,
}

impl PluginKind {
    /// All plug-in types, sorted by their names in the API.
    pub const ALL: [Self; 3] = [Self::Auth, Self::Database, Self::Secret];

    /// The name of the type in API paths and responses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Database => "database",
            Self::Secret => "secret",
        }
    }

    /// The type with this name; `None` if there is none.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

impl From<MountKind> for PluginKind {
    /// The type that a plug-in must have to be mounted as this kind.
    fn from(kind: MountKind) -> Self {
        match kind {
            MountKind::Auth => Self::Auth,
            MountKind::Secret => Self::Secret,
        }
    }
}

impl fmt::Display for PluginKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A plug-in as registered in the catalog: its identity and how to start it.
#[derive(Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct PluginSpec {
    /// The plug-in's name, which is also the type of its mounts.
    pub name: String,
    /// The type of the plug-in: auth method, database driver or secrets engine.
    pub kind: PluginKind,
    /// The semantic version with a leading `v`; empty for an unversioned plug-in.
    pub version: String,
    /// The name of the executable in the plug-in directory.
    pub command: String,
    /// The command-line arguments of the plug-in's process; may contain secrets.
    pub args: Vec<String>,
    /// Environment variables added for the process, as `NAME=value`. The API never returns them.
    pub env: Vec<String>,
    /// The SHA-256 digest of the executable, in lower-case hex.
    pub sha256: String,
}

impl fmt::Debug for PluginSpec {
    /// Omits arguments and environment, which may contain secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, kind, version, command, sha256, .. } = self;
        write!(f, "PluginSpec({kind} {name} {version}: {command} {sha256})")
    }
}

/// The version of an engine that a mount runs. Stored with the mount, so that a restart runs the
/// same one even if the catalog has changed.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct RunningPlugin {
    /// The version that the plug-in reports, else the registered one; may be empty.
    pub version: String,
    /// The registration it was last loaded from; `None` for a linked-in engine.
    pub plugin: Option<PluginSpec>,
}

impl RunningPlugin {
    /// The SHA-256 digest of the executable, in lower-case hex; empty for a linked-in engine.
    pub fn sha256(&self) -> &str {
        self.plugin.as_ref().map_or("", |spec| &spec.sha256)
    }
}

/// Opens linked-in engines and starts plug-ins. Implemented by the server.
#[async_trait]
pub trait PluginLauncher: Send + Sync + fmt::Debug + 'static {
    /// The version of the linked-in engine with this type and name; `None` if there is none.
    fn builtin_version(&self, kind: PluginKind, name: &str) -> Option<String>;

    /// The names of all linked-in engines of a type, sorted.
    fn builtin_names(&self, kind: PluginKind) -> Vec<String>;

    /// Opens an instance of a linked-in engine for a mount.
    async fn open_builtin(
        &self,
        kind: PluginKind,
        name: &str,
        mount: MountContext,
    ) -> Result<Arc<dyn Engine>, PluginError>;

    /// Checks the executable against its digest and runs it once. Returns the version it reports;
    /// empty if it reports none.
    async fn probe(&self, spec: &PluginSpec) -> Result<String, PluginError>;

    /// Opens an instance of a plug-in for a mount, in a new process or in one that already runs the
    /// plug-in. `label` names the mount in the log.
    async fn open_plugin(
        &self,
        spec: &PluginSpec,
        mount: MountContext,
        label: &str,
    ) -> Result<Arc<dyn Engine>, PluginError>;

    /// Makes later instances of this plug-in use a new process. Called when the plug-in is
    /// reloaded; open instances are not affected.
    fn start_fresh_process_next(&self, kind: PluginKind, name: &str);

    /// Protects the private copy of a plug-in's executable from removal until the guard is dropped.
    /// Held while a plug-in is being registered or mounted, until the catalog or mount table
    /// contains it.
    fn keep_copy(&self, spec: &PluginSpec) -> PluginCopyGuard;

    /// Removes the private copies of executables, except those that `needed` returns and those
    /// protected by a guard when `needed` is called or later. A plug-in that is neither registered
    /// nor run by a mount must not remain startable.
    async fn remove_copies_except(&self, needed: &NeededPlugins<'_>);
}

/// The guard that protects a copy; see [`PluginLauncher::keep_copy`].
pub type PluginCopyGuard = Box<dyn std::any::Any + Send + Sync>;

/// Returns the plug-ins that are currently registered or run by a mount.
pub type NeededPlugins<'a> = dyn Fn() -> Vec<PluginSpec> + Send + Sync + 'a;

/// The reason why a plug-in cannot be used. Messages are meant for the operator.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PluginError {
    /// The registration is invalid, or the executable does not match its digest.
    #[error("{0}")]
    Invalid(String),
    /// The server cannot start the plug-in now, for a reason outside the plug-in.
    #[error("{0}")]
    Start(String),
    /// The plug-in started and returned an error.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl PluginError {
    /// The category of the failure, which determines the HTTP status code. `Invalid` unless the
    /// server could not start the plug-in, which is `Internal`.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Invalid(_) | Self::Engine(_) => ErrorKind::Invalid,
            Self::Start(_) => ErrorKind::Internal,
        }
    }
}
