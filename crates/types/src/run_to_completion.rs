//! [`RunToCompletion`]: a future whose work continues after its caller is dropped.

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

/// Polls the work in the caller's own task, which avoids a task switch. If the caller is dropped
/// before the work ends, the rest of it runs in a task tracked by `owner`.
///
/// The caller must keep polling this future or drop it; otherwise the work makes no progress. A
/// panic of the work is returned as [`PanicError`]. If it is dropped outside a runtime, the work is
/// dropped too.
pub struct RunToCompletion<T: Send + 'static> {
    work: Option<BoxedWork<T>>,
    owner: TaskTracker,
}

/// The work panicked before it finished; how much of it was done is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the work was interrupted by a panic")]
pub struct PanicError;

type BoxedWork<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl<T: Send + 'static> RunToCompletion<T> {
    /// Wraps `work`, which doesn't start before the first poll. `owner` tracks the task that
    /// finishes it after a drop.
    pub fn new(owner: &TaskTracker, work: impl Future<Output = T> + Send + 'static) -> Self {
        Self { work: Some(Box::pin(work)), owner: owner.clone() }
    }
}

impl<T: Send + 'static> Future for RunToCompletion<T> {
    type Output = Result<T, PanicError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // Taken out during the poll, so work that panics is never polled again.
        let Some(mut work) = self.work.take() else { return Poll::Pending };
        match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
            Ok(Poll::Ready(done)) => Poll::Ready(Ok(done)),
            Ok(Poll::Pending) => {
                self.work = Some(work);
                Poll::Pending
            }
            Err(_) => Poll::Ready(Err(PanicError)),
        }
    }
}

impl<T: Send + 'static> Drop for RunToCompletion<T> {
    fn drop(&mut self) {
        if let Some(work) = self.work.take()
            && let Ok(runtime) = Handle::try_current()
        {
            // A caller that is polled in a span is dropped in it, too.
            self.owner.spawn_on(async move { drop(work.await) }.in_current_span(), &runtime);
        }
    }
}

impl<T: Send + 'static> fmt::Debug for RunToCompletion<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunToCompletion")
            .field("has_work", &self.work.is_some())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Notify;

    use super::*;

    /// Work that counts its steps: one before the signal, one after it.
    fn counting_work(
        steps: &Arc<AtomicUsize>,
        go_on: &Arc<Notify>,
    ) -> impl Future<Output = usize> + use<> {
        let (steps, go_on) = (steps.clone(), go_on.clone());
        async move {
            steps.fetch_add(1, Ordering::Relaxed);
            go_on.notified().await;
            steps.fetch_add(1, Ordering::Relaxed) + 1
        }
    }

    #[tokio::test]
    async fn an_awaiting_caller_needs_no_task() {
        let (steps, go_on, owner) = (Arc::default(), Arc::new(Notify::new()), TaskTracker::new());
        go_on.notify_one();
        assert_eq!(RunToCompletion::new(&owner, counting_work(&steps, &go_on)).await, Ok(2));
        assert!(owner.is_empty());
    }

    #[tokio::test]
    async fn a_dropped_caller_leaves_the_rest_to_a_task() {
        let (steps, go_on, owner) = (Arc::default(), Arc::new(Notify::new()), TaskTracker::new());
        let mut begun = RunToCompletion::new(&owner, counting_work(&steps, &go_on));
        let first = poll_fn(|context| Poll::Ready(Pin::new(&mut begun).poll(context))).await;
        assert!(first.is_pending() && owner.is_empty());
        drop(begun);
        assert_eq!(owner.len(), 1);
        go_on.notify_one();
        owner.close();
        owner.wait().await;
        assert_eq!(steps.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn a_panic_ends_the_work_and_not_the_caller() {
        let owner = TaskTracker::new();
        let number = 1;
        let failing =
            RunToCompletion::new(&owner, async move { assert_eq!(number, 2, "on purpose") });
        assert_eq!(failing.await, Err(PanicError));
        assert!(owner.is_empty());
    }
}
