//! How the expiration manager scans the due index. A scan covers everything that is due and never
//! waits for an engine: when the permits of a mount are used up, a separate task works off that
//! mount from there on, and scans skip the leases that this task will reach.

use std::sync::Arc;
use strongroom_types::chain;

use strongroom_types::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::expiration::{ExpirationManager, STORE_RETRY_DELAY};
use crate::mount_limits::MountLimit;
use crate::store::{DueEntry, Error};

/// Failing leases after which a scan assumes that the store is broken.
const MAX_FAILURES: usize = 8;

impl ExpirationManager {
    /// Starts the attempts that are due; returns when the next entry is due.
    pub(crate) async fn scan_due(&self, stop: &CancellationToken) -> Result<Timestamp, Error> {
        let (mut after, mut failures) = (None, 0);
        let mut again = Timestamp::FAR_FUTURE;
        let mut pages = self.0.store.due_pages(None);
        while let Some(entries) = pages.next_page().await? {
            for entry in entries {
                let now = self.0.clock.now();
                if entry.due > now {
                    return Ok(entry.due.min(again));
                }
                if let Err(error) = self.start_due_entry(&entry, after.as_ref(), stop).await {
                    failures += 1;
                    if failures == MAX_FAILURES {
                        return Err(error);
                    }
                    tracing::warn!(lease = %entry.id, error = %chain(&error), "a due lease is skipped for now");
                    again = now.plus(STORE_RETRY_DELAY);
                }
                after = Some(entry.key);
            }
        }
        Ok(again)
    }

    /// Starts an attempt for one lease, or leaves it to the task of its mount.
    async fn start_due_entry(
        &self,
        entry: &DueEntry,
        after: Option<&String>,
        stop: &CancellationToken,
    ) -> Result<(), Error> {
        if self.is_in_flight(&entry.id) || self.0.mount_limits.is_backlogged(&entry.id) {
            return Ok(());
        }
        let Some(found) = self.0.store.resolve_due_entry(entry).await? else { return Ok(()) };
        let slot = match self.0.mount_limits.for_lease(&found.lease) {
            None => self.0.mount_limits.acquire_for_token().await,
            Some(limit) => match limit.try_acquire() {
                Some(slot) => slot,
                None => {
                    self.spawn_lane_worker(limit, after.cloned(), stop.clone());
                    return Ok(());
                }
            },
        };
        self.start_due_attempt(entry.id.clone(), slot);
        Ok(())
    }

    /// Spawns a task that works off the backlog of a mount from a position in the index.
    fn spawn_lane_worker(
        &self,
        limit: Arc<MountLimit>,
        after: Option<String>,
        stop: CancellationToken,
    ) {
        limit.set_backlog(true);
        let manager = self.clone();
        self.0.tasks.spawn(async move {
            let ended = stop.run_until_cancelled(manager.drain_lane(&limit, after)).await;
            limit.set_backlog(false);
            if let Some(Err(error)) = ended {
                tracing::warn!(error = %chain(&error), "the lease table can't be read; trying again");
            }
            // Leases that became due behind the task's position were skipped by all scans until
            // now.
            manager.0.wake.notify_one();
        });
    }

    /// Revokes what is due for one mount, waiting for its permits.
    async fn drain_lane(&self, limit: &MountLimit, after: Option<String>) -> Result<(), Error> {
        let mut pages = self.0.store.due_pages(after);
        while let Some(entries) = pages.next_page().await? {
            for entry in entries {
                if entry.due > self.0.clock.now() {
                    return Ok(());
                }
                if limit.covers(&entry.id) && !self.is_in_flight(&entry.id) {
                    let slot = limit.acquire().await;
                    if self.0.store.resolve_due_entry(&entry).await?.is_some() {
                        self.start_due_attempt(entry.id, slot);
                    }
                }
            }
        }
        Ok(())
    }
}
