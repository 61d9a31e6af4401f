//! [`Turns`]: changes that must not overlap, made one after another.

use std::future::Future;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

/// Runs pieces of work one at a time, in the order they came, each to its end even when whoever
/// asked for it has gone. For changes of a table that is kept in memory and on disk: were such a
/// change dropped half-way, the two would differ from then on.
///
/// Work must not wait for a turn itself.
#[derive(Clone, Debug)]
pub struct Turns {
    turn: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    tasks: TaskTracker,
}

/// Why a piece of work got no turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoTurn {
    /// Too much is waiting already.
    #[error("too many changes are waiting; try again")]
    Full,
    /// The work ended without an answer; it panicked, or the process is going down.
    #[error("the change was interrupted")]
    Interrupted,
}

impl Turns {
    /// At most `waiting` pieces of work may wait.
    pub fn new(waiting: usize) -> Self {
        Self {
            turn: Arc::new(Semaphore::new(1)),
            waiting: Arc::new(Semaphore::new(waiting)),
            tasks: TaskTracker::new(),
        }
    }

    /// Does `work` when it is its turn. Dropping the future doesn't stop the work.
    pub async fn take<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, NoTurn> {
        let place = self.waiting.clone().try_acquire_owned().map_err(|_| NoTurn::Full)?;
        let turn = self.turn.clone();
        let task = self.tasks.spawn(async move {
            // The semaphore is never closed.
            let _turn = turn.acquire_owned().await;
            let _place = place;
            work.await
        });
        task.await.map_err(|_| NoTurn::Interrupted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_at_a_time_and_to_the_end() {
        let turns = Turns::new(10);
        let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
        let work = |n: u32| {
            let seen = seen.clone();
            async move {
                seen.lock().unwrap().push((n, "begins"));
                tokio::task::yield_now().await;
                seen.lock().unwrap().push((n, "ends"));
            }
        };
        // Dropped after the first poll: it goes on all the same.
        {
            let mut first = Box::pin(turns.take(work(1)));
            let _ =
                std::future::poll_fn(|cx| std::task::Poll::Ready(first.as_mut().poll(cx))).await;
        }
        turns.take(work(2)).await.unwrap();
        assert_eq!(*seen.lock().unwrap(), [(1, "begins"), (1, "ends"), (2, "begins"), (2, "ends")]);
    }

    #[tokio::test]
    async fn refuses_what_would_wait_behind_too_many() {
        let turns = Turns::new(1);
        let (go, wait) = tokio::sync::oneshot::channel::<()>();
        let mut first = Box::pin(turns.take(async move {
            let _ = wait.await;
        }));
        let _ = std::future::poll_fn(|cx| std::task::Poll::Ready(first.as_mut().poll(cx))).await;
        assert_eq!(turns.take(async {}).await, Err(NoTurn::Full));
        go.send(()).unwrap();
        first.await.unwrap();
        turns.take(async {}).await.unwrap();
    }
}
