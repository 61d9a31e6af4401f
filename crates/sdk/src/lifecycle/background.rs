//! [`BackgroundTasks`]: the tasks that one instance owns.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use super::MAX_BACKGROUND_TASKS;
use crate::Error;

/// Starts tasks of one instance, which are dropped when it closes. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct BackgroundTasks {
    tracker: TaskTracker,
    closing: CancellationToken,
    /// One permit for each task that [`Context::spawn`](crate::Context::spawn) may start.
    permits: Arc<Semaphore>,
    /// The names of the running tasks of [`Context::spawn_single`](crate::Context::spawn_single).
    /// They are declared in code, so there are few.
    single: Arc<Mutex<BTreeSet<&'static str>>>,
}

/// Marks a task as running until it is dropped.
#[derive(Debug)]
pub(super) struct SingleTaskMark {
    name: &'static str,
    running: Arc<Mutex<BTreeSet<&'static str>>>,
}

impl Drop for SingleTaskMark {
    fn drop(&mut self) {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).remove(self.name);
    }
}

impl BackgroundTasks {
    pub(crate) fn new(tracker: TaskTracker, closing: CancellationToken) -> Self {
        Self {
            tracker,
            closing,
            permits: Arc::new(Semaphore::new(MAX_BACKGROUND_TASKS)),
            single: Arc::default(),
        }
    }

    /// A permit for a task of [`Context::spawn`](crate::Context::spawn), which the task holds until
    /// it ends.
    ///
    /// # Errors
    ///
    /// A "try again" error if all permits are taken, or the instance is closing.
    pub(super) fn acquire_permit(&self) -> Result<OwnedSemaphorePermit, Error> {
        if self.closing.is_cancelled() {
            return Err(Error::busy("the engine is closing; try again"));
        }
        let too_many = |_| Error::busy("too many background tasks are running; try again");
        self.permits.clone().try_acquire_owned().map_err(too_many)
    }

    /// Marks the task of this name as running; `None` if it is running already.
    pub(super) fn begin_single(&self, name: &'static str) -> Option<SingleTaskMark> {
        let mut running = self.single.lock().unwrap_or_else(PoisonError::into_inner);
        running.insert(name).then(|| SingleTaskMark { name, running: self.single.clone() })
    }

    /// Runs the task until it completes or the instance closes.
    pub(crate) fn spawn_until_close(&self, task: impl Future<Output = ()> + Send + 'static) {
        let closing = self.closing.clone();
        let until_close = async move {
            tokio::select! {
                biased;
                () = closing.cancelled() => {}
                () = task => {}
            }
        };
        self.tracker.spawn(until_close.in_current_span());
    }
}
