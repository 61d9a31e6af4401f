//! [`Lanes`]: each mount's share of what is revoked at the same time. An engine that hangs fills its
//! own lane and no other.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use strongroom_types::LeaseId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::keeper::KeeperOptions;
use crate::lease::{Kind, Lease};

/// All lanes.
pub(crate) struct Lanes {
    /// By the path of the mount; those at rest are dropped.
    mounts: Mutex<HashMap<String, Arc<Lane>>>,
    /// What all mounts share.
    total: Arc<Semaphore>,
    share: usize,
    /// Ends of tokens call no engine, and wait for none.
    tokens: Arc<Semaphore>,
}

/// The lane of one mount.
pub(crate) struct Lane {
    prefix: String,
    slots: Arc<Semaphore>,
    total: Arc<Semaphore>,
    behind: AtomicBool,
}

/// The right to make one attempt; dropping it gives it back.
pub(crate) struct Slot {
    _share: Option<OwnedSemaphorePermit>,
    _total: Option<OwnedSemaphorePermit>,
}

impl Lanes {
    pub(crate) fn new(options: KeeperOptions) -> Self {
        let all = || Arc::new(Semaphore::new(options.concurrency.max(1)));
        let share = options.per_mount.max(1);
        Self { mounts: Mutex::default(), total: all(), share, tokens: all() }
    }

    /// The lane a lease goes by; none for a token's.
    pub(crate) fn of(&self, lease: &Lease) -> Option<Arc<Lane>> {
        if matches!(lease.kind, Kind::Token { .. }) {
            return None;
        }
        let prefix = lease.mount_prefix();
        let mut mounts = self.lock();
        if let Some(lane) = mounts.get(&prefix) {
            return Some(lane.clone());
        }
        mounts.retain(|_, lane| lane.is_behind() || lane.slots.available_permits() < self.share);
        let lane = Arc::new(Lane {
            prefix: prefix.clone(),
            slots: Arc::new(Semaphore::new(self.share)),
            total: self.total.clone(),
            behind: AtomicBool::new(false),
        });
        mounts.insert(prefix, lane.clone());
        Some(lane)
    }

    /// Whether a lease lies in a lane that somebody works off already.
    pub(crate) fn is_behind(&self, id: &LeaseId) -> bool {
        self.lock().values().any(|lane| lane.is_behind() && lane.covers(id))
    }

    /// Waits until one more token may be ended.
    pub(crate) async fn enter_for_token(&self) -> Slot {
        // None of the semaphores here is ever closed.
        Slot { _share: self.tokens.clone().acquire_owned().await.ok(), _total: None }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Lane>>> {
        self.mounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lane {
    pub(crate) fn covers(&self, id: &LeaseId) -> bool {
        id.as_str().starts_with(&self.prefix)
    }

    pub(crate) fn is_behind(&self) -> bool {
        self.behind.load(Ordering::SeqCst)
    }

    pub(crate) fn set_behind(&self, behind: bool) {
        self.behind.store(behind, Ordering::SeqCst);
    }

    /// A slot, if one is free.
    pub(crate) fn try_enter(&self) -> Option<Slot> {
        let share = self.slots.clone().try_acquire_owned().ok()?;
        let total = self.total.clone().try_acquire_owned().ok()?;
        Some(Slot { _share: Some(share), _total: Some(total) })
    }

    /// Waits for a slot.
    pub(crate) async fn enter(&self) -> Slot {
        let share = self.slots.clone().acquire_owned().await.ok();
        Slot { _share: share, _total: self.total.clone().acquire_owned().await.ok() }
    }
}
