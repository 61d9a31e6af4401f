//! [`SerialQueue`] runs changes that must not overlap one after another; [`KeyedSerialQueue`] does
//! so per key.

use std::collections::HashMap;
use std::fmt;
use std::future::{Future, poll_fn};
use std::hash::Hash;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use crate::RunToCompletion;

/// Runs submitted work one at a time in submission order, each to completion even if its caller is
/// dropped. Used for changes of a table that is kept both in memory and on disk: dropping such a
/// change half-way would leave the two different.
///
/// Work must not submit to the same queue and wait: that would deadlock.
#[derive(Clone, Debug)]
pub struct SerialQueue {
    permit: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    tasks: TaskTracker,
}

/// Why submitted work did not complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SerialQueueError {
    /// The queue already holds its maximum of waiting work.
    #[error("too many changes are waiting; try again")]
    Full,
    /// The work ended without a result: it panicked, or the process is shutting down.
    #[error("the change was interrupted")]
    Interrupted,
}

impl SerialQueue {
    /// A queue that accepts at most `waiting` pieces of work at a time, including the running one.
    pub fn new(waiting: usize) -> Self {
        Self {
            permit: Arc::new(Semaphore::new(1)),
            waiting: Arc::new(Semaphore::new(waiting)),
            tasks: TaskTracker::new(),
        }
    }

    /// Runs `work` when all earlier work has finished, in a task of its own.
    ///
    /// # Errors
    ///
    /// [`SerialQueueError::Full`] at once if the queue is full; [`SerialQueueError::Interrupted`]
    /// if the work panicked.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future once it has been polled doesn't stop the work.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, SerialQueueError> {
        let place = self.waiting.clone().try_acquire_owned().map_err(|_| SerialQueueError::Full)?;
        let queued = QueuePosition::join_queue(&self.permit).await;
        let work = async move {
            let _turn = queued.wait_turn().await;
            let _place = place;
            work.await
        };
        let task = self.tasks.spawn(work.in_current_span());
        task.await.map_err(|_| SerialQueueError::Interrupted)
    }
}

/// A [`SerialQueue`] for each key: work for different keys runs concurrently. A key takes memory
/// only while there is work for it.
pub struct KeyedSerialQueue<K: Eq + Hash + Clone> {
    queues: Arc<KeyQueues<K>>,
    waiting: Arc<Semaphore>,
    tasks: TaskTracker,
}

/// The keys with pending work. Locked for map operations only.
type KeyQueues<K> = Mutex<HashMap<K, KeyQueue>>;

struct KeyQueue {
    permit: Arc<Semaphore>,
    /// Pieces of work that wait or run.
    work_count: usize,
}

impl<K: Eq + Hash + Clone + Send + 'static> KeyedSerialQueue<K> {
    /// A queue that accepts at most `waiting` pieces of work at a time, for all keys together.
    pub fn new(waiting: usize) -> Self {
        Self {
            queues: Arc::default(),
            waiting: Arc::new(Semaphore::new(waiting)),
            tasks: TaskTracker::new(),
        }
    }

    /// Runs `work` when all earlier work for the same key has finished, in the caller's own task
    /// while the caller polls; see [`RunToCompletion`].
    ///
    /// # Errors
    ///
    /// [`SerialQueueError::Full`] at once if the queue is full; [`SerialQueueError::Interrupted`]
    /// if the work panicked.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future once it has been polled doesn't stop the work.
    pub async fn run<T: Send + 'static>(
        &self,
        key: &K,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, SerialQueueError> {
        let place = self.waiting.clone().try_acquire_owned().map_err(|_| SerialQueueError::Full)?;
        let (in_lane, turn) = KeyQueueGuard::register(&self.queues, key);
        let queued = QueuePosition::join_queue(&turn).await;
        let work = async move {
            let _in_lane = in_lane;
            let _turn = queued.wait_turn().await;
            let _place = place;
            work.await
        };
        RunToCompletion::new(&self.tasks, work).await.map_err(|_| SerialQueueError::Interrupted)
    }
}

impl<K: Eq + Hash + Clone> fmt::Debug for KeyedSerialQueue<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedSerialQueue").field("keys", &lock_queues(&self.queues).len()).finish()
    }
}

/// Counts a piece of work at its key. Dropping the last one removes the key.
struct KeyQueueGuard<K: Eq + Hash> {
    queues: Arc<KeyQueues<K>>,
    key: K,
}

impl<K: Eq + Hash + Clone> KeyQueueGuard<K> {
    fn register(queues: &Arc<KeyQueues<K>>, key: &K) -> (Self, Arc<Semaphore>) {
        let mut locked = lock_queues(queues);
        let new = || KeyQueue { permit: Arc::new(Semaphore::new(1)), work_count: 0 };
        let queue = locked.entry(key.clone()).or_insert_with(new);
        queue.work_count += 1;
        let turn = queue.permit.clone();
        (Self { queues: queues.clone(), key: key.clone() }, turn)
    }
}

impl<K: Eq + Hash> Drop for KeyQueueGuard<K> {
    fn drop(&mut self) {
        let mut queues = lock_queues(&self.queues);
        let Some(queue) = queues.get_mut(&self.key) else { return };
        queue.work_count -= 1;
        if queue.work_count == 0 {
            queues.remove(&self.key);
        }
    }
}

fn lock_queues<K>(queues: &KeyQueues<K>) -> MutexGuard<'_, HashMap<K, KeyQueue>> {
    queues.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A position in the queue, taken when the work is submitted and not when its task first runs,
/// because tasks don't start in the order in which they were spawned.
enum QueuePosition {
    /// The permit was available at once.
    Now(Result<OwnedSemaphorePermit, AcquireError>),
    Later(Pin<Box<dyn Future<Output = Result<OwnedSemaphorePermit, AcquireError>> + Send>>),
}

impl QueuePosition {
    async fn join_queue(turn: &Arc<Semaphore>) -> Self {
        if let Ok(permit) = turn.clone().try_acquire_owned() {
            return Self::Now(Ok(permit));
        }
        let mut waiting = Box::pin(turn.clone().acquire_owned());
        match poll_fn(|context| Poll::Ready(waiting.as_mut().poll(context))).await {
            Poll::Ready(permit) => Self::Now(permit),
            Poll::Pending => Self::Later(waiting),
        }
    }

    /// Waits for the permit. The semaphores here are never closed, so this doesn't fail.
    async fn wait_turn(self) -> Result<OwnedSemaphorePermit, AcquireError> {
        match self {
            Self::Now(permit) => permit,
            Self::Later(waiting) => waiting.await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_runs_one_at_a_time_to_completion() {
        let turns = SerialQueue::new(10);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let work = |n: u32| {
            let seen = seen.clone();
            async move {
                seen.lock().unwrap().push((n, "begins"));
                tokio::task::yield_now().await;
                seen.lock().unwrap().push((n, "ends"));
            }
        };
        // Dropped after the first poll: the work continues all the same.
        {
            let mut first = Box::pin(turns.run(work(1)));
            let _ = poll_fn(|cx| Poll::Ready(first.as_mut().poll(cx))).await;
        }
        turns.run(work(2)).await.unwrap();
        assert_eq!(*seen.lock().unwrap(), [(1, "begins"), (1, "ends"), (2, "begins"), (2, "ends")]);
    }

    #[tokio::test]
    async fn refuses_work_when_the_queue_is_full() {
        let turns = SerialQueue::new(1);
        let (go, wait) = tokio::sync::oneshot::channel::<()>();
        let mut first = Box::pin(turns.run(async move {
            let _ = wait.await;
        }));
        let _ = poll_fn(|cx| Poll::Ready(first.as_mut().poll(cx))).await;
        assert_eq!(turns.run(async {}).await, Err(SerialQueueError::Full));
        go.send(()).unwrap();
        first.await.unwrap();
        turns.run(async {}).await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn work_runs_in_submission_order() {
        let (turns, order) =
            (Arc::new(KeyedSerialQueue::new(100)), Arc::new(Mutex::new(Vec::new())));
        let (go, held) = tokio::sync::oneshot::channel::<()>();
        let mut given: Vec<Pin<Box<dyn Future<Output = ()> + Send>>> = Vec::new();
        let first = turns.clone();
        given.push(Box::pin(async move {
            let wait = async move {
                let _ = held.await;
            };
            first.run(&"a", wait).await.unwrap();
        }));
        for n in 0..50 {
            let (turns, order) = (turns.clone(), order.clone());
            let work = async move { order.lock().unwrap().push(n) };
            given.push(Box::pin(async move { turns.run(&"a", work).await.unwrap() }));
        }
        // Each is submitted once, one after another. Then the runtime chooses the order.
        for work in &mut given {
            let begun = poll_fn(|context| Poll::Ready(work.as_mut().poll(context))).await;
            assert!(begun.is_pending());
        }
        let running: tokio::task::JoinSet<()> = given.into_iter().rev().collect();
        go.send(()).unwrap();
        running.join_all().await;
        assert_eq!(*order.lock().unwrap(), (0..50).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn other_keys_do_not_wait_and_idle_keys_are_dropped() {
        let turns = KeyedSerialQueue::new(1000);
        let (go, held) = tokio::sync::oneshot::channel::<()>();
        let mut first = Box::pin(turns.run(&0, async move {
            let _ = held.await;
        }));
        assert!(poll_fn(|context| Poll::Ready(first.as_mut().poll(context))).await.is_pending());
        for key in 1..500 {
            assert_eq!(turns.run(&key, async move { key }).await, Ok(key));
        }
        assert_eq!(lock_queues(&turns.queues).len(), 1);
        let mut second = Box::pin(turns.run(&0, async { 2 }));
        assert!(poll_fn(|context| Poll::Ready(second.as_mut().poll(context))).await.is_pending());
        go.send(()).unwrap();
        first.await.unwrap();
        assert_eq!(second.await, Ok(2));
        assert_eq!(lock_queues(&turns.queues).len(), 0);
    }
}
