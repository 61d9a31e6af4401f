//! [`DetachedTasks`]: work that continues when its request is dropped. A request is dropped when it
//! times out, at any of its await points; operations that must not be left half done run here.

use std::future::Future;

use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tracing::Instrument;

use crate::error::Error;

/// The work that a seal waits for: requests with a valid token, and work that outlives its request.
/// Cheap to clone; all clones share one set of tasks.
#[derive(Clone, Debug, Default)]
pub struct DetachedTasks(TaskTracker);

impl DetachedTasks {
    /// Runs `work` to completion in a task of its own. Sealing waits for it as for a request with a
    /// valid token, even if its request was dropped or had no token: by then a credential may exist
    /// outside, or a use of a token may have been consumed.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        self.run_or(work, || Error::internal("the task ended without a result")).await
    }

    /// [`DetachedTasks::run`], with the error of a task that panicked.
    pub(crate) async fn run_or<T: Send + 'static, E: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, E>> + Send + 'static,
        interrupted: impl FnOnce() -> E,
    ) -> Result<T, E> {
        let work = self.0.spawn(work.in_current_span());
        work.await.unwrap_or_else(|_| Err(interrupted()))
    }

    /// Counts a request that a seal must wait for, until the token is dropped.
    pub(crate) fn count_request(&self) -> TaskTrackerToken {
        self.0.token()
    }

    /// Waits until all work has ended. Has no timeout; the caller adds one.
    pub(crate) async fn wait_until_done(&self) {
        self.0.close();
        self.0.wait().await;
    }
}
