//! [`SystemView`]: what an engine may ask the server.

use std::fmt;

use async_trait::async_trait;
use strongroom_types::{Secret, Ttl};

/// Questions to the server, answered for the engine's own mount.
#[async_trait]
pub trait SystemView: Send + Sync + fmt::Debug + 'static {
    /// The default and longest lifetime of leases of this mount, tuning applied.
    async fn lifetimes(&self) -> Result<MountLifetimes, SystemError>;

    /// Whether the mount is being removed.
    async fn tainted(&self) -> Result<bool, SystemError>;

    /// The cluster's name and id.
    async fn cluster_info(&self) -> Result<ClusterInfo, SystemError>;

    /// The server's version.
    async fn server_version(&self) -> Result<String, SystemError>;

    /// A password after the rules of one of the server's password policies.
    async fn generate_password(&self, policy: &str) -> Result<Secret<String>, SystemError> {
        let _ = policy;
        Err(SystemError("password policies are not offered here".to_owned()))
    }
}

/// Default and longest lifetime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MountLifetimes {
    /// Where a lease asks for none.
    pub default: Ttl,
    /// Beyond which no lease is renewed.
    pub max: Ttl,
}

/// Names of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterInfo {
    /// For people.
    pub name: String,
    /// A UUID.
    pub id: String,
}

/// The server did not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server did not answer: {0}")]
pub struct SystemError(pub String);
