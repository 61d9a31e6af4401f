//! [`SingleTask`]: a background task that runs at most once per instance.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// State of a background task of which at most one runs per instance: undoing stale intents,
/// migrating documents of an earlier version, or moving entries to their new keys.
#[derive(Default)]
pub(super) struct SingleTask {
    is_running: Mutex<bool>,
    /// Notified by the periodic call, so that the task checks at once and not only when more is
    /// due.
    pub(super) wake: Notify,
}

/// Marks the task as finished when dropped, however it ends.
pub(super) struct SingleTaskGuard(pub(super) Arc<SingleTask>);

impl Drop for SingleTaskGuard {
    fn drop(&mut self) {
        *self.0.lock_running() = false;
    }
}

impl SingleTask {
    pub(super) fn lock_running(&self) -> MutexGuard<'_, bool> {
        self.is_running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
