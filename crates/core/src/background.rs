//! [`BackgroundTasks`]: the tasks of an unsealed server that a seal stops.

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Runs tasks until they end or the server is sealed. Cheap to clone; all clones share one set of
/// tasks.
#[derive(Clone, Debug, Default)]
pub struct BackgroundTasks {
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl BackgroundTasks {
    /// Runs work in the background until it ends or the server is sealed, which drops it. Work that
    /// a request starts is passed with the span of the request.
    pub fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            stop.run_until_cancelled(work).await;
        });
    }

    /// Runs work that stops by itself when the token it is given is cancelled.
    pub(crate) fn spawn_until_stopped<F: Future<Output = ()> + Send + 'static>(
        &self,
        work: impl FnOnce(CancellationToken) -> F,
    ) {
        self.tasks.spawn(work(self.stop.clone()));
    }

    /// Cancels all tasks, without waiting for them.
    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }

    /// Stops all tasks and waits until they have ended. Has no timeout; the caller adds one.
    pub(crate) async fn stop_and_wait(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}
