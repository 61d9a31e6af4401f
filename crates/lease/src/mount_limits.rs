//! [`MountLimits`]: limits the concurrent revocations of each mount, so that an engine that hangs
//! blocks only its own leases.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use strongroom_types::LeaseId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::lease::{Lease, LeaseKind};

/// The limits of all mounts.
pub(crate) struct MountLimits {
    /// By mount path; idle ones are dropped.
    mounts: Mutex<HashMap<String, Arc<MountLimit>>>,
    /// The limit shared by all mounts.
    total: Arc<Semaphore>,
    per_mount: usize,
    /// Token revocations call no engine, so they have a limit of their own.
    tokens: Arc<Semaphore>,
}

/// The limit of one mount.
pub(crate) struct MountLimit {
    prefix: String,
    permits: Arc<Semaphore>,
    total: Arc<Semaphore>,
    has_backlog: AtomicBool,
}

/// Permission for one attempt; released on drop.
pub(crate) struct RevocationPermit {
    _share: Option<OwnedSemaphorePermit>,
    _total: Option<OwnedSemaphorePermit>,
}

impl MountLimits {
    /// Allows `total` revocations of credentials at a time, as many of tokens, and `per_mount` of
    /// one mount. Zero is taken as one.
    pub(crate) fn new(total: usize, per_mount: usize) -> Self {
        let all = || Arc::new(Semaphore::new(total.max(1)));
        let per_mount = per_mount.max(1);
        Self { mounts: Mutex::default(), total: all(), per_mount, tokens: all() }
    }

    /// The limit that applies to a lease; `None` for a token's lease.
    pub(crate) fn for_lease(&self, lease: &Lease) -> Option<Arc<MountLimit>> {
        if matches!(lease.kind, LeaseKind::Token { .. }) {
            return None;
        }
        let prefix = lease.mount_prefix();
        let mut mounts = self.lock_mounts();
        if let Some(limit) = mounts.get(&prefix) {
            return Some(limit.clone());
        }
        mounts.retain(|_, limit| {
            limit.has_backlog() || limit.permits.available_permits() < self.per_mount
        });
        let limit = Arc::new(MountLimit {
            prefix: prefix.clone(),
            permits: Arc::new(Semaphore::new(self.per_mount)),
            total: self.total.clone(),
            has_backlog: AtomicBool::new(false),
        });
        mounts.insert(prefix, limit.clone());
        Some(limit)
    }

    /// Whether a task already works off the backlog of the mount of this lease.
    pub(crate) fn is_backlogged(&self, id: &LeaseId) -> bool {
        self.lock_mounts().values().any(|limit| limit.has_backlog() && limit.covers(id))
    }

    /// Waits for permission to revoke a token.
    pub(crate) async fn acquire_for_token(&self) -> RevocationPermit {
        // The semaphores here are never closed.
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

    /// Takes a permit if one is free.
    pub(crate) fn try_acquire(&self) -> Option<RevocationPermit> {
        let share = self.permits.clone().try_acquire_owned().ok()?;
        let total = self.total.clone().try_acquire_owned().ok()?;
        Some(RevocationPermit { _share: Some(share), _total: Some(total) })
    }

    /// Waits for a permit.
    pub(crate) async fn acquire(&self) -> RevocationPermit {
        let share = self.permits.clone().acquire_owned().await.ok();
        RevocationPermit { _share: share, _total: self.total.clone().acquire_owned().await.ok() }
    }
}
