//! [`TaskGroup`]: the background tasks of a connection, and how they are ended.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use strongroom_types::{Clock, clock};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Owns background tasks: it tracks them, ends them, and provides their clock.
///
/// There are two ways to end them. [`drain`](Self::drain) is graceful: no new work begins, running
/// work may finish. [`stop`](Self::stop) is immediate: every task is dropped at its next await
/// point.
#[derive(Clone, Debug)]
pub struct TaskGroup {
    tracker: TaskTracker,
    draining: CancellationToken,
    stopped: CancellationToken,
    clock: Arc<dyn Clock>,
}

impl TaskGroup {
    /// A group whose tasks are counted by `tracker` and use the time of `clock`.
    pub fn new(tracker: TaskTracker, clock: Arc<dyn Clock>) -> Self {
        let (draining, stopped) = (CancellationToken::new(), CancellationToken::new());
        Self { tracker, draining, stopped, clock }
    }

    /// A part of these tasks that can be ended on its own. Ending the parent also ends it, and the
    /// parent's tracker waits for its tasks.
    #[must_use]
    pub fn child(&self) -> Self {
        let (draining, stopped) = (self.draining.child_token(), self.stopped.child_token());
        Self { tracker: self.tracker.clone(), draining, stopped, clock: self.clock.clone() }
    }

    /// Asks for a graceful end: no new work begins, running work may finish. Child groups are
    /// drained too.
    pub fn drain(&self) {
        self.draining.cancel();
    }

    /// Drops all tasks at once, including those of child groups. The call returns without waiting
    /// for their destructors.
    pub fn stop(&self) {
        self.draining.cancel();
        self.stopped.cancel();
    }

    /// Resolves once the group is draining or stopped, so no new work may begin.
    pub async fn wait_for_drain(&self) {
        self.draining.cancelled().await;
    }

    /// Whether the group is draining or stopped.
    pub fn is_draining(&self) -> bool {
        self.draining.is_cancelled()
    }

    /// The clock that these tasks use for timeouts. It was passed to [`TaskGroup::new`]; child
    /// groups share it.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Runs `task` until it ends or the group is stopped.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stopped = self.stopped.clone();
        self.tracker.spawn(async move {
            stopped.run_until_cancelled(task).await;
        });
    }

    /// Runs `task` without stopping it; the task must watch the group itself.
    pub(crate) fn spawn_counted(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tracker.spawn(task);
    }

    /// The output of `future`; `None` if it takes longer than `limit` or the group is stopped.
    pub(crate) async fn with_timeout<F: Future>(
        &self,
        limit: Duration,
        future: F,
    ) -> Option<F::Output> {
        tokio::select! {
            biased;
            output = clock::with_timeout(&*self.clock, limit, future) => output,
            () = self.stopped.cancelled() => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use strongroom_types::clock::ManualClock;

    use super::*;

    #[tokio::test]
    async fn a_part_ends_alone_and_with_the_whole() {
        let tracker = TaskTracker::new();
        let whole = TaskGroup::new(tracker.clone(), Arc::new(ManualClock::default()));
        let (one, two) = (whole.child(), whole.child());
        one.spawn(std::future::pending());
        two.spawn(std::future::pending());
        one.stop();
        assert!(one.is_draining() && !two.is_draining() && !whole.is_draining());
        whole.stop();
        assert!(two.is_draining());
        tracker.close();
        tracker.wait().await;
    }

    #[tokio::test]
    async fn waiting_ends_with_the_deadline_or_the_end() {
        let clock = ManualClock::default();
        let tasks = TaskGroup::new(TaskTracker::new(), Arc::new(clock.clone()));
        assert_eq!(tasks.with_timeout(Duration::from_secs(1), async { 7 }).await, Some(7));
        let never = std::future::pending::<()>;
        let late = tasks.with_timeout(Duration::from_secs(1), never());
        let (late, ()) = tokio::join!(late, async { clock.advance(Duration::from_secs(1)) });
        assert_eq!(late, None);
        tasks.stop();
        assert_eq!(tasks.with_timeout(Duration::from_secs(1), never()).await, None);
    }
}
