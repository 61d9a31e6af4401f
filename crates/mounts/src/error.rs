//! [`Error`]: why an operation on mounts failed, with the messages clients match on.

use crate::plugins::PluginError;
use strongroom_engine::EngineError;
use strongroom_types::printable::sanitise_message;
use strongroom_types::serial_queue::SerialQueueError;
use strongroom_types::{ErrorKind, MountKind};

/// Why an operation on mounts failed. The display text is the client's message. [`Error::kind`]
/// gives the category. Routes are paths with the `auth/` prefix of auth methods.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The path of a new mount is reserved for the server; the value is the path.
    #[error("cannot mount {0:?}")]
    ReservedPath(String),
    /// The path of a new mount overlaps an existing one; the value is the path of that mount.
    #[error("path is already in use at {0}")]
    PathInUse(String),
    /// There is no mount whose settings could be tuned; the value is the route or path.
    #[error("tune of path {0:?} failed: no mount entry found")]
    NothingToTune(String),
    /// There is no mount whose engine could be reloaded.
    #[error("No {} at {path}", kind.noun_in_messages())]
    NothingToReload {
        /// The kind of the mount that was looked up.
        kind: MountKind,
        /// The mount path, without the `auth/` prefix of auth methods.
        path: String,
    },
    /// The mount is one of the server's own, which have no engine; the value is its path.
    #[error("the engine at {0} can't be reloaded")]
    NotReloadable(String),
    /// The engine of the mount is being started, so it can't be reloaded at the same time.
    #[error("the engine is being started; try again")]
    EngineStarting,
    /// Running requests kept an engine busy that must not run twice, so it was not reloaded.
    #[error("the running requests did not finish in time, and the engine must run alone")]
    NotDrained,
    /// The mount to move is one of the server's own; the value is its route.
    #[error("cannot remount {0:?}")]
    ReservedSource(String),
    /// The target of a remount is reserved for the server; the value is its route.
    #[error("cannot remount to destination {0}")]
    ReservedTarget(String),
    /// There is no mount with an engine that could be moved; the value is the route.
    #[error("no matching mount at {0:?}")]
    NothingToRemount(String),
    /// The mount to move is being removed or moved already; the value is its route.
    #[error("the mount at {0:?} is being removed or moved already")]
    RemovedOrMoved(String),
    /// The target of a remount overlaps an existing mount; the value is the route of that mount.
    #[error("path already in use at {0:?}")]
    TargetInUse(String),
    /// The entropy source gave no valid UUID for a new mount.
    #[error("a UUID could not be made")]
    InvalidUuid,
    /// A seal has started, so no engine may be installed any more.
    #[error("Vault is sealed")]
    Sealed,
    /// The engine of the mount could not be opened. The message is printable and on one line.
    #[error("{}", plugin_error_message(.0))]
    Open(#[source] PluginError),
    /// The engine was opened and failed to initialise. The message is printable and on one line.
    #[error("{}", sanitise_message(&.0.to_string()))]
    Engine(#[from] EngineError),
    /// Too many changes are waiting, or the change was interrupted by a panic or the shutdown of
    /// the process.
    #[error(transparent)]
    Queue(#[from] SerialQueueError),
    /// An error of the barrier or the store below it.
    #[error(transparent)]
    Barrier(#[from] strongroom_barrier::Error),
}

impl Error {
    /// The category of the failure, which determines the HTTP status code. An engine's own error
    /// keeps its category.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::EngineStarting | Self::Queue(_) => ErrorKind::Unavailable,
            Self::NotDrained | Self::InvalidUuid => ErrorKind::Internal,
            Self::Sealed => ErrorKind::Sealed,
            Self::Open(error) => error.kind(),
            Self::Engine(error) => error.kind(),
            Self::Barrier(error) => error.kind(),
            Self::ReservedPath(_)
            | Self::PathInUse(_)
            | Self::NothingToTune(_)
            | Self::NothingToReload { .. }
            | Self::NotReloadable(_)
            | Self::ReservedSource(_)
            | Self::ReservedTarget(_)
            | Self::NothingToRemount(_)
            | Self::RemovedOrMoved(_)
            | Self::TargetInUse(_) => ErrorKind::Invalid,
        }
    }
}

/// The error of an engine that could not be opened, with the messages clients know.
fn plugin_error_message(error: &PluginError) -> String {
    match error {
        PluginError::Invalid(text) | PluginError::Start(text) => sanitise_message(text),
        PluginError::Engine(error) => {
            sanitise_message(&format!("invalid backend version: {error}"))
        }
    }
}
