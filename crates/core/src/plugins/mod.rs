//! Plug-ins as the core sees them: a catalog of what may be mounted, and somebody who can start it.
//! How a process is started and spoken to is the business of whoever implements [`PluginLauncher`].

pub mod catalog;
pub mod selection;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
pub use catalog::{CatalogError, PluginCatalogStore};
use strongroom_sdk::engine::{Engine, EngineError, MountContext};

/// What a plug-in is for.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum PluginKind {
    /// An auth method.
    Auth,
    /// A driver of the database engine.
    Database,
    /// A secrets engine.
    Secret,
}

impl PluginKind {
    /// All, in the order of their names.
    pub const ALL: [Self; 3] = [Self::Auth, Self::Database, Self::Secret];

    /// The name in paths and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Database => "database",
            Self::Secret => "secret",
        }
    }

    /// The type of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

impl fmt::Display for PluginKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A registered plug-in.
#[derive(Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct PluginSpec {
    /// Its name, which is the type of its mounts.
    pub name: String,
    /// What it is for.
    pub kind: PluginKind,
    /// Its semantic version with a leading `v`; empty for an unversioned one.
    pub version: String,
    /// The file's name in the plug-in folder.
    pub command: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Additions to its environment, `NAME=value`. Never shown again.
    pub env: Vec<String>,
    /// The SHA-256 of the file, in lower-case hex.
    pub sha256: String,
}

impl fmt::Debug for PluginSpec {
    /// Without arguments and environment, which may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, kind, version, command, sha256, .. } = self;
        write!(f, "PluginSpec({kind} {name} {version}: {command} {sha256})")
    }
}

/// What a mount runs. It is kept with the mount: a restart runs exactly this, whatever was
/// registered meanwhile.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct RunningPlugin {
    /// The version it reports; empty if it has none.
    pub version: String,
    /// The plug-in; none for an engine that is linked in.
    pub plugin: Option<PluginSpec>,
}

impl RunningPlugin {
    /// The SHA-256 of its file; empty for an engine that is linked in.
    pub fn sha256(&self) -> &str {
        self.plugin.as_ref().map_or("", |spec| &spec.sha256)
    }
}

/// Starts plug-ins and linked-in engines. Implemented outside the core.
#[async_trait]
pub trait PluginLauncher: Send + Sync + fmt::Debug + 'static {
    /// Versions of the linked-in engine of this name, if there is one.
    fn builtin_version(&self, kind: PluginKind, name: &str) -> Option<String>;

    /// Names of all linked-in engines of a type, sorted.
    fn builtin_names(&self, kind: PluginKind) -> Vec<String>;

    /// Opens an instance of a linked-in engine.
    async fn open_builtin(
        &self,
        kind: PluginKind,
        name: &str,
        mount: MountContext,
    ) -> Result<Arc<dyn Engine>, PluginError>;

    /// Checks the file of a plug-in against its digest and runs it once. Gives the version it
    /// reports; empty if it reports none.
    async fn probe(&self, spec: &PluginSpec) -> Result<String, PluginError>;

    /// Starts a plug-in, or shares a process that runs it already, and opens an instance. `label`
    /// names the mount in the log.
    async fn open_plugin(
        &self,
        spec: &PluginSpec,
        mount: MountContext,
        label: &str,
    ) -> Result<Arc<dyn Engine>, PluginError>;

    /// From now on instances of this plug-in are opened in fresh processes: it is being reloaded.
    fn start_fresh_process_next(&self, kind: PluginKind, name: &str);

    /// Keeps the private copy of a plug-in until the answer is dropped. Whoever registers or mounts
    /// it keeps it until the catalog or the mount table has it.
    fn keep_copy(&self, spec: &PluginSpec) -> PluginCopyGuard;

    /// Removes private copies of plug-ins but those of `needed`, and those that were kept when it was
    /// asked or later: what is neither registered nor run by a mount must not be there to be started.
    async fn remove_copies_except(&self, needed: &NeededPlugins<'_>);
}

/// What keeps a copy; see [`PluginLauncher::keep_copy`].
pub type PluginCopyGuard = Box<dyn std::any::Any + Send + Sync>;

/// Says what is registered or run by a mount at the moment.
pub type NeededPlugins<'a> = dyn Fn() -> Vec<PluginSpec> + Send + Sync + 'a;

/// Why a plug-in can't be used. The text is for the operator.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PluginError {
    /// The registration is wrong, or the file isn't what it says.
    #[error("{0}")]
    Invalid(String),
    /// The server can't start it now, which is not the plug-in's fault.
    #[error("{0}")]
    Start(String),
    /// It started and refused.
    #[error(transparent)]
    Engine(#[from] EngineError),
}
