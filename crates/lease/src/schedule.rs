//! How the keeper reads the due index. One look goes through all that is due and never waits for an
//! engine: where a mount's lane is full, a task of the lane's own goes on from there, and the look
//! passes over what that task will come to.

use std::sync::Arc;

use strongroom_types::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::keeper::{Keeper, STORE_PAUSE};
use crate::lanes::Lane;
use crate::store::{DueEntry, Error};

/// Index entries read at once.
const PAGE: usize = 256;
/// Leases a look may fail at before it takes the store for broken.
const FAILURES: usize = 8;

impl Keeper {
    /// Starts what is due; gives the moment of the next entry.
    pub(crate) async fn look(&self, stop: &CancellationToken) -> Result<Timestamp, Error> {
        let (mut after, mut failures) = (None, 0);
        let mut again = Timestamp::FAR_FUTURE;
        loop {
            let entries = self.0.store.due(after.as_deref(), PAGE).await?;
            let full = entries.len() == PAGE;
            for entry in entries {
                let now = self.0.clock.now();
                if entry.due > now {
                    return Ok(entry.due.min(again));
                }
                if let Err(error) = self.take_up(&entry, after.as_ref(), stop).await {
                    failures += 1;
                    if failures == FAILURES {
                        return Err(error);
                    }
                    tracing::warn!(lease = %entry.id, %error, "a lease is passed over for now");
                    again = now.plus(STORE_PAUSE);
                }
                after = Some(entry.key);
            }
            if !full {
                return Ok(again);
            }
        }
    }

    /// Starts the end of one lease, or leaves it to its lane.
    async fn take_up(
        &self,
        entry: &DueEntry,
        after: Option<&String>,
        stop: &CancellationToken,
    ) -> Result<(), Error> {
        if self.is_under_way(&entry.id) || self.0.lanes.is_behind(&entry.id) {
            return Ok(());
        }
        let Some(found) = self.0.store.current(entry).await? else { return Ok(()) };
        let slot = match self.0.lanes.of(&found.lease) {
            None => self.0.lanes.enter_for_token().await,
            Some(lane) => match lane.try_enter() {
                Some(slot) => slot,
                None => {
                    self.fall_behind(lane, after.cloned(), stop.clone());
                    return Ok(());
                }
            },
        };
        self.start_due(entry.id.clone(), slot);
        Ok(())
    }

    /// Has a full lane worked off by a task of its own, from a place in the index.
    fn fall_behind(&self, lane: Arc<Lane>, after: Option<String>, stop: CancellationToken) {
        lane.set_behind(true);
        let keeper = self.clone();
        self.0.tasks.spawn(async move {
            let ended = stop.run_until_cancelled(keeper.catch_up(&lane, after)).await;
            lane.set_behind(false);
            if let Some(Err(error)) = ended {
                tracing::warn!(%error, "the lease table can't be read; trying again");
            }
            // What became due behind the task's back was passed over by every look until now.
            keeper.0.wake.notify_one();
        });
    }

    /// Ends what is due in one lane, as fast as the lane allows.
    async fn catch_up(&self, lane: &Lane, mut after: Option<String>) -> Result<(), Error> {
        loop {
            let entries = self.0.store.due(after.as_deref(), PAGE).await?;
            let full = entries.len() == PAGE;
            for entry in entries {
                if entry.due > self.0.clock.now() {
                    return Ok(());
                }
                if lane.covers(&entry.id) && !self.is_under_way(&entry.id) {
                    let slot = lane.enter().await;
                    if self.0.store.current(&entry).await?.is_some() {
                        self.start_due(entry.id, slot);
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
