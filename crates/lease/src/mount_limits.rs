//! [`MountLimits`]: each mount's share of what is revoked at the same time. An engine that hangs fills its
//! own lane and no other.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use strongroom_types::LeaseId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::expiration::ExpirationOptions;
use crate::lease::{Lease, LeaseKind};

/// All lanes.
pub(crate) struct MountLimits {
    /// By the path of the mount; those at rest are dropped.
    mounts: Mutex<HashMap<String, Arc<MountLimit>>>,
    /// What all mounts share.
    total: Arc<Semaphore>,
    per_mount: usize,
    /// Ends of tokens call no engine, and wait for none.
    tokens: Arc<Semaphore>,
}

/// The lane of one mount.
pub(crate) struct MountLimit {
    prefix: String,
    permits: Arc<Semaphore>,
    total: Arc<Semaphore>,
    has_backlog: AtomicBool,
}

/// The right to make one attempt; dropping it gives it back.
pub(crate) struct RevocationPermit {
    _share: Option<OwnedSemaphorePermit>,
    _total: Option<OwnedSemaphorePermit>,
}

impl MountLimits {
    pub(crate) fn new(options: ExpirationOptions) -> Self {
        let all = || Arc::new(Semaphore::new(options.concurrency.max(1)));
        let share = options.per_mount.max(1);
        Self { mounts: Mutex::default(), total: all(), per_mount: share, tokens: all() }
    }

    /// The lane a lease goes by; none for a token's.
    pub(crate) fn for_lease(&self, lease: &Lease) -> Option<Arc<MountLimit>> {
        if matches!(lease.kind, LeaseKind::Token { .. }) {
            return None;
        }
        let prefix = lease.mount_prefix();
        let mut mounts = self.lock_mounts();
        if let Some(lane) = mounts.get(&prefix) {
            return Some(lane.clone());
        }
        mounts.retain(|_, lane| {
            lane.has_backlog() || lane.permits.available_permits() < self.per_mount
        });
        let lane = Arc::new(MountLimit {
            prefix: prefix.clone(),
            permits: Arc::new(Semaphore::new(self.per_mount)),
            total: self.total.clone(),
            has_backlog: AtomicBool::new(false),
        });
        mounts.insert(prefix, lane.clone());
        Some(lane)
    }

    /// Whether a lease lies in a lane that somebody works off already.
    pub(crate) fn is_backlogged(&self, id: &LeaseId) -> bool {
        self.lock_mounts().values().any(|lane| lane.has_backlog() && lane.covers(id))
    }

    /// Waits until one more token may be ended.
    pub(crate) async fn acquire_for_token(&self) -> RevocationPermit {
        // None of the semaphores here is ever closed.
        RevocationPermit { _share: self.tokens.clone().acquire_owned().await.ok(), _total: None }
    }

    fn lock_mounts(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<MountLimit>>> {
        self.mounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MountLimit {
    pub(crate) fn covers(&self, id: &LeaseId) -> bool {
        id.as_str().starts_with(&self.prefix)
    }

    pub(crate) fn has_backlog(&self) -> bool {
        self.has_backlog.load(Ordering::SeqCst)
    }

    pub(crate) fn set_backlog(&self, behind: bool) {
        self.has_backlog.store(behind, Ordering::SeqCst);
    }

    /// A slot, if one is free.
    pub(crate) fn try_acquire(&self) -> Option<RevocationPermit> {
        let share = self.permits.clone().try_acquire_owned().ok()?;
        let total = self.total.clone().try_acquire_owned().ok()?;
        Some(RevocationPermit { _share: Some(share), _total: Some(total) })
    }

    /// Waits for a slot.
    pub(crate) async fn acquire(&self) -> RevocationPermit {
        let share = self.permits.clone().acquire_owned().await.ok();
        RevocationPermit { _share: share, _total: self.total.clone().acquire_owned().await.ok() }
    }
}
