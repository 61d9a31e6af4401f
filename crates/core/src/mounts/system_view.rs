//! [`MountSystem`]: what an engine may ask the server about its own mount.

use std::sync::{Arc, Weak};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use strongroom_policy::PasswordPolicies;
use strongroom_sdk::engine::{ClusterInfo, Lifetimes, System, SystemError};
use strongroom_types::Secret;

use super::table::MountTable;

/// Answers from the mount table of the moment.
#[derive(Debug)]
pub struct MountSystem {
    /// Weak: the engine holds this, and the table holds the engine.
    table: Weak<ArcSwap<MountTable>>,
    uuid: String,
    route: String,
    server: Server,
    passwords: PasswordPolicies,
}

/// What holds for the whole server.
#[derive(Clone, Debug)]
pub struct Server {
    /// Lifetimes where a mount has none of its own.
    pub lifetimes: Lifetimes,
    /// Names of the cluster.
    pub cluster: ClusterInfo,
    /// The server's version.
    pub version: String,
}

impl MountSystem {
    /// For the mount of this UUID, which is or will be at this route as long as it isn't moved.
    pub fn new(
        table: &Arc<ArcSwap<MountTable>>,
        uuid: String,
        route: String,
        server: Server,
        passwords: PasswordPolicies,
    ) -> Self {
        Self { table: Arc::downgrade(table), uuid, route, server, passwords }
    }
}

impl MountSystem {
    /// All mounts of the moment; none once the server is sealed.
    fn table(&self) -> Arc<MountTable> {
        self.table.upgrade().map(|table| table.load_full()).unwrap_or_default()
    }
}

#[async_trait]
impl System for MountSystem {
    async fn lifetimes(&self) -> Result<Lifetimes, SystemError> {
        let table = self.table();
        let here = table.route(&self.route).map(|(mounted, _)| mounted);
        let own = here.filter(|mounted| mounted.entry.uuid.as_str() == self.uuid);
        // It may have been moved since.
        let own = own.or_else(|| table.by_uuid(&self.uuid));
        Ok(own.map_or(self.server.lifetimes, |m| m.entry.lifetimes(self.server.lifetimes)))
    }

    async fn tainted(&self) -> Result<bool, SystemError> {
        Ok(self.table().by_uuid(&self.uuid).is_some_and(|mounted| mounted.entry.tainted))
    }

    async fn cluster(&self) -> Result<ClusterInfo, SystemError> {
        Ok(self.server.cluster.clone())
    }

    async fn server_version(&self) -> Result<String, SystemError> {
        Ok(self.server.version.clone())
    }

    async fn password(&self, policy: &str) -> Result<Secret<String>, SystemError> {
        self.passwords.generate(policy).await.map_err(|error| SystemError(error.to_string()))
    }
}
