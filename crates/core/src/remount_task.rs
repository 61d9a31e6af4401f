//! The background task that completes remounts: see [`strongroom_mounts::remount`].

use std::sync::Arc;
use std::time::Duration;
use strongroom_types::chain;

use strongroom_mounts::MountEntry;
use strongroom_mounts::handle::Blocked;
use strongroom_mounts::remount::RemountGuard;
use tokio_util::task::TaskTracker;

use crate::error::Error;
use crate::unmount::{Unmount, UnmountService};

/// The interval at which remounts are retried that no task is working on, because their last step
/// failed.
const REMOUNT_RETRY_INTERVAL: Duration = Duration::from_secs(60);

/// Completes remounts.
#[derive(Debug)]
pub(crate) struct RemountService {
    pub(crate) unmounts: Arc<UnmountService>,
    /// Counts remounts among the running requests.
    pub(crate) requests: TaskTracker,
}

impl RemountService {
    /// Completes remounts in progress, including those begun before the last restart.
    pub(crate) async fn run_remounts(self: &Arc<Self>) {
        loop {
            let table = self.unmounts.leases.mounts.table();
            for mounted in table.all_mounts() {
                let Some(moving) = mounted.entry.remount_in_progress() else { continue };
                let Some(under_way) =
                    RemountGuard::acquire(&self.unmounts.leases.mounts, &mounted.entry.uuid)
                else {
                    continue;
                };
                let (remounts, entry, id) =
                    (self.clone(), mounted.entry.clone(), moving.id.clone());
                self.requests.spawn(async move {
                    let _under_way = under_way;
                    remounts.finish_remount(entry, id).await;
                });
            }
            tokio::select! {
                () = self.unmounts.leases.mounts.remount_begun() => {}
                () = self.unmounts.leases.clock().sleep(REMOUNT_RETRY_INTERVAL) => {}
            }
        }
    }

    async fn finish_remount(self: &Arc<Self>, entry: MountEntry, id: String) {
        let (route, uuid) = (entry.route(), entry.uuid.clone());
        let left = self.drain_old_path(&entry).await;
        match &left {
            Ok(()) => tracing::info!(mount = route, id, "a mount is moved"),
            Err(error) => {
                tracing::warn!(mount = route, id, error = %chain(error), "a mount could not be moved");
            }
        }
        let ended = self.unmounts.leases.mounts.end_remount(uuid, id, left.is_ok()).await;
        if let Err(error) = ended.map_err(Error::from) {
            tracing::warn!(mount = route, error = %chain(&error), "the result of a remount could not be stored; it will be retried");
        }
    }

    /// Waits for requests and revokes leases that refer to the old path.
    async fn drain_old_path(&self, entry: &MountEntry) -> Result<(), Error> {
        Unmount { unmounts: &self.unmounts, entry }
            .block_and_drain_requests(Blocked::Moving)
            .await?;
        self.unmounts.leases.revoke_prefix(&entry.route()).await
    }
}
