//! How the keeper reads the due index. One look goes through all that is due and never waits for an
//! engine: where a mount's lane is full, a task of the lane's own goes on from there, and the look
//! passes over what that task will come to.

use std::sync::Arc;

use strongroom_types::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::expiration::{ExpirationManager, STORE_RETRY_DELAY};
use crate::mount_limits::MountLimit;
use crate::store::{DueEntry, Error};

/// Index entries read at once.
const PAGE: usize = 256;
/// Leases a look may fail at before it takes the store for broken.
const MAX_FAILURES: usize = 8;

impl ExpirationManager {
    /// Starts what is due; gives the moment of the next entry.
    pub(crate) async fn scan_due(&self, stop: &CancellationToken) -> Result<Timestamp, Error> {
        let (mut after, mut failures) = (None, 0);
        let mut again = Timestamp::FAR_FUTURE;
        loop {
            let entries = self.0.store.due_entries(after.as_deref(), PAGE).await?;
            let full = entries.len() == PAGE;
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
                    tracing::warn!(lease = %entry.id, %error, "a lease is passed over for now");
                    again = now.plus(STORE_RETRY_DELAY);
                }
                after = Some(entry.key);
            }
            if !full {
                return Ok(again);
            }
        }
    }

    /// Starts the end of one lease, or leaves it to its lane.
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
            Some(lane) => match lane.try_acquire() {
                Some(slot) => slot,
                None => {
                    self.spawn_lane_worker(lane, after.cloned(), stop.clone());
                    return Ok(());
                }
            },
        };
        self.start_due_attempt(entry.id.clone(), slot);
        Ok(())
    }

    /// Has a full lane worked off by a task of its own, from a place in the index.
    fn spawn_lane_worker(
        &self,
        lane: Arc<MountLimit>,
        after: Option<String>,
        stop: CancellationToken,
    ) {
        lane.set_backlog(true);
        let keeper = self.clone();
        self.0.tasks.spawn(async move {
            let ended = stop.run_until_cancelled(keeper.drain_lane(&lane, after)).await;
            lane.set_backlog(false);
            if let Some(Err(error)) = ended {
                tracing::warn!(%error, "the lease table can't be read; trying again");
            }
            // What became due behind the task's back was passed over by every look until now.
            keeper.0.wake.notify_one();
        });
    }

    /// Ends what is due in one lane, as fast as the lane allows.
    async fn drain_lane(&self, lane: &MountLimit, mut after: Option<String>) -> Result<(), Error> {
        loop {
            let entries = self.0.store.due_entries(after.as_deref(), PAGE).await?;
            let full = entries.len() == PAGE;
            for entry in entries {
                if entry.due > self.0.clock.now() {
                    return Ok(());
                }
                if lane.covers(&entry.id) && !self.is_in_flight(&entry.id) {
                    let slot = lane.acquire().await;
                    if self.0.store.resolve_due_entry(&entry).await?.is_some() {
                        self.start_due_attempt(entry.id, slot);
                    }
                }
                after = Some(entry.key);
            }
            if !full {
                return Ok(());
            }
        }
    }
}
