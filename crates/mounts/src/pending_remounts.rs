//! [`PendingRemounts`]: the remounts that are in progress.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use strongroom_types::MountUuid;
use tokio::sync::Notify;

/// The remounts in progress.
#[derive(Debug, Default)]
pub(crate) struct PendingRemounts {
    pub(crate) remount_started: Notify,
    /// Mounts whose remount a task is working on.
    in_progress: Mutex<HashSet<MountUuid>>,
}

impl PendingRemounts {
    pub(crate) fn lock_in_progress(&self) -> MutexGuard<'_, HashSet<MountUuid>> {
        self.in_progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
