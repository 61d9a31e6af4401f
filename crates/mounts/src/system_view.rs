//! [`MountSystemView`]: the information about its mount and the server that an engine can query.

use std::sync::{Arc, Weak};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use strongroom_engine::{
    ClusterInfo, MountLifetimes, SystemError, SystemView, TaskOutcome, WrappingToken,
};
use strongroom_policy::PasswordPolicies;
use strongroom_telemetry::names;
use strongroom_types::{RawObject, Secret, Ttl};

use crate::data_wrapping::DataWrapperCell;
use crate::table::MountTable;

/// Implements the SDK's `SystemView` for one mount, from the current mount table.
#[derive(Debug)]
pub struct MountSystemView {
    /// Weak, because the engine holds this view and the table holds the engine.
    table: Weak<ArcSwap<MountTable>>,
    uuid: String,
    route: String,
    server_info: ServerInfo,
    password_policies: PasswordPolicies,
    data_wrapper: DataWrapperCell,
}

/// Properties of the whole server that mounts and engines use.
#[derive(Clone, Debug)]
pub struct ServerInfo {
    /// Default and maximum lease lifetime of mounts that set none of their own.
    pub lifetimes: MountLifetimes,
    /// The name and id of the cluster.
    pub cluster: ClusterInfo,
    /// The server's version, without a leading `v`.
    pub version: String,
}

impl MountSystemView {
    /// Creates the view of the mount with this UUID. `route` is its route when the engine is
    /// opened; a mount that was moved since is found by its UUID.
    pub fn new(
        table: &Arc<ArcSwap<MountTable>>,
        uuid: String,
        route: String,
        server: ServerInfo,
        passwords: PasswordPolicies,
        data_wrapper: DataWrapperCell,
    ) -> Self {
        Self {
            table: Arc::downgrade(table),
            uuid,
            route,
            server_info: server,
            password_policies: passwords,
            data_wrapper,
        }
    }
}

impl MountSystemView {
    /// The current mount table; empty once the server is sealed.
    fn mount_table(&self) -> Arc<MountTable> {
        self.table.upgrade().map(|table| table.load_full()).unwrap_or_default()
    }
}

#[async_trait]
impl SystemView for MountSystemView {
    async fn lifetimes(&self) -> Result<MountLifetimes, SystemError> {
        let table = self.mount_table();
        let at_route = table.longest_match(&self.route).map(|(mounted, _)| mounted);
        let own_mount = at_route.filter(|mounted| mounted.entry.uuid.as_str() == self.uuid);
        // The mount may have been moved since the view was created.
        let own_mount = own_mount.or_else(|| table.find_by_uuid(&self.uuid));
        Ok(own_mount.map_or(self.server_info.lifetimes, |m| {
            m.entry.effective_lifetimes(self.server_info.lifetimes)
        }))
    }

    async fn tainted(&self) -> Result<bool, SystemError> {
        Ok(self.mount_table().find_by_uuid(&self.uuid).is_some_and(|mounted| mounted.entry.tainted))
    }

    async fn cluster_info(&self) -> Result<ClusterInfo, SystemError> {
        Ok(self.server_info.cluster.clone())
    }

    async fn server_version(&self) -> Result<String, SystemError> {
        Ok(self.server_info.version.clone())
    }

    async fn generate_password(&self, policy: &str) -> Result<Secret<String>, SystemError> {
        self.password_policies
            .generate(policy)
            .await
            .map_err(|error| SystemError(error.to_string()))
    }

    async fn wrap_data(&self, data: RawObject, ttl: Ttl) -> Result<WrappingToken, SystemError> {
        if ttl.is_zero() {
            return Err(SystemError("a wrapping token needs a lifetime".to_owned()));
        }
        let own_mount = self.mount_table().find_by_uuid(&self.uuid).cloned();
        let own_mount = own_mount
            .filter(|mounted| !mounted.entry.tainted)
            .ok_or_else(|| SystemError("the mount is being removed".to_owned()))?;
        let max = own_mount.entry.effective_lifetimes(self.server_info.lifetimes).max;
        self.data_wrapper.get()?.wrap_data(&own_mount.info, data, ttl.min(max)).await
    }

    fn record_task_run(&self, task: &'static str, outcome: TaskOutcome) {
        let table = self.mount_table();
        let Some(mounted) = table.find_by_uuid(&self.uuid) else { return };
        let (mount, outcome) = (mounted.info.path.clone(), outcome.as_str());
        metrics::counter!(names::TASK_RUNS, "mount" => mount, "task" => task, "outcome" => outcome)
            .increment(1);
    }
}
