//! [`SystemView`]: the queries that an engine may send to the server.

use std::fmt;

use async_trait::async_trait;
use strongroom_types::{RawObject, Secret, Ttl};

use crate::identity::{EntityGroup, EntityInfo};
use crate::wrapping_token::WrappingToken;

/// Queries to the server, and what the engine reports to it or has it store for clients. Every answer is for the
/// engine's own mount.
#[async_trait]
pub trait SystemView: Send + Sync + fmt::Debug + 'static {
    /// The default and maximum lease lifetimes of this mount, with the mount's tuning applied.
    ///
    /// # Errors
    ///
    /// [`SystemError`] if the server did not answer.
    async fn lifetimes(&self) -> Result<MountLifetimes, SystemError>;

    /// Whether the mount is tainted, that is, being removed.
    ///
    /// # Errors
    ///
    /// [`SystemError`] if the server did not answer.
    async fn tainted(&self) -> Result<bool, SystemError>;

    /// The name and the id of the cluster.
    ///
    /// # Errors
    ///
    /// [`SystemError`] if the server did not answer.
    async fn cluster_info(&self) -> Result<ClusterInfo, SystemError>;

    /// The server's version.
    ///
    /// # Errors
    ///
    /// [`SystemError`] if the server did not answer.
    async fn server_version(&self) -> Result<String, SystemError>;

    /// Generates a password according to one of the server's password policies, named by `policy`.
    ///
    /// # Errors
    ///
    /// [`SystemError`] if the server did not answer, there is no such policy, or the server offers
    /// no password policies (as this default implementation).
    async fn generate_password(&self, policy: &str) -> Result<Secret<String>, SystemError> {
        let _ = policy;
        Err(SystemError("password policies are not offered here".to_owned()))
    }

    /// The entity with this id, such as that of a caller; `None` if there is none.
    ///
    /// # Errors
    ///
    /// [`SystemError`] if the server did not answer, or has no identity store (as this default
    /// implementation).
    async fn entity(&self, id: &str) -> Result<Option<EntityInfo>, SystemError> {
        let _ = id;
        Err(no_identity_store())
    }

    /// The groups that the entity with this id belongs to, directly or through another group; none
    /// if there is no such entity.
    ///
    /// # Errors
    ///
    /// [`SystemError`] if the server did not answer, or has no identity store (as this default
    /// implementation).
    async fn entity_groups(&self, id: &str) -> Result<Vec<EntityGroup>, SystemError> {
        let _ = id;
        Err(no_identity_store())
    }

    /// Stores data for the holder of a new wrapping token, who can get it once within `ttl`; the
    /// mount's and the server's maximum lifetimes limit that. The token ends with the mount.
    ///
    /// # Errors
    ///
    /// [`SystemError`] if `ttl` is zero, the data can't be stored, the server did not answer, or it
    /// doesn't wrap data (as this default implementation).
    ///
    /// # Cancel safety
    ///
    /// The data may be wrapped even if the future is dropped; nobody then has the token, and it
    /// expires.
    async fn wrap_data(&self, data: RawObject, ttl: Ttl) -> Result<WrappingToken, SystemError> {
        let _ = (data, ttl);
        Err(SystemError("response wrapping is not offered here".to_owned()))
    }

    /// Reports a run of one of the engine's tasks, for the server's metrics. The default
    /// implementation does nothing; the plug-in protocol can't transmit it.
    fn record_task_run(&self, task: &'static str, outcome: TaskOutcome) {
        let _ = (task, outcome);
    }
}

fn no_identity_store() -> SystemError {
    SystemError("entities and groups are not offered here".to_owned())
}

/// How a run of an engine's task ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskOutcome {
    /// It completed without an error.
    Succeeded,
    /// It returned an error, or panicked.
    Failed,
    /// It exceeded its time limit and was dropped.
    TimedOut,
}

impl TaskOutcome {
    /// The outcome's name as the label of a metric.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
        }
    }
}

/// The default and the maximum lifetime of a mount's leases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MountLifetimes {
    /// The lifetime of a lease that doesn't specify one.
    pub default: Ttl,
    /// The lifetime beyond which no lease can be renewed.
    pub max: Ttl,
}

/// The name and the id of the server's cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterInfo {
    /// The human-readable name of the cluster.
    pub name: String,
    /// The UUID of the cluster.
    pub id: String,
}

/// The server could not answer a [`SystemView`] query; the text has the reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server did not answer: {0}")]
pub struct SystemError(pub String);
