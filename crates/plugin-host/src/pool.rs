//! Which instances share a process.
//!
//! Instances share one if their plug-ins are equal to the last argument, the process can serve
//! several, and no reload came between them: a reload counts the generation up, so that it gets a
//! fresh process while the old one lives on until its last instance is closed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use futures_util::FutureExt;
use futures_util::future::{Shared, WeakShared};
use strongroom_types::clock::BoxFuture;

use crate::error::Error;
use crate::process::Process;
use crate::spec::Spec;

/// What instances must have in common to share a process.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// The plug-in.
    pub spec: Spec,
    /// How many reloads it has seen.
    pub generation: u64,
}

/// The running processes. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Pool(Arc<Mutex<HashMap<Key, Arc<Slot>>>>);

/// One attempt at a start. All who wait for it drive it, and share what comes of it; when the last
/// of them goes, so does the attempt.
type Starting = Shared<BoxFuture<'static, Result<Arc<Process>, Error>>>;
type WeakStarting = WeakShared<BoxFuture<'static, Result<Arc<Process>, Error>>>;

#[derive(Debug)]
struct Slot {
    starting: Option<WeakStarting>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Once the first has its place.
    process: Option<Arc<Process>>,
    instances: usize,
    closed: bool,
}

/// What is to be waited for.
enum Found {
    Running(Arc<Process>),
    Starting(Starting),
}

/// A place in a process. When the last one is dropped the process is shut down.
#[derive(Debug)]
pub struct Seat {
    process: Arc<Process>,
    slot: Arc<Slot>,
    key: Key,
    pool: Weak<Mutex<HashMap<Key, Arc<Slot>>>>,
    label: String,
}

impl Pool {
    /// A place in a running process, or in one that `start` gives. Callers that come while a
    /// process is being started wait for that one, and if that fails, all of them get its error.
    ///
    /// Cancel safety: when dropped, a start under way goes on for the others who wait, and is
    /// dropped if there are none.
    pub async fn seat<F>(
        &self,
        key: &Key,
        label: &str,
        start: impl Fn() -> F,
    ) -> Result<Seat, Error>
    where
        F: Future<Output = Result<Process, Error>> + Send + 'static,
    {
        loop {
            let (slot, found) = self.slot(key, &start);
            let outcome = match found {
                Found::Running(process) => Ok(process),
                Found::Starting(starting) => starting.await,
            };
            let process = match outcome {
                Ok(process) => process,
                Err(error) => {
                    self.forget(key, &slot);
                    return Err(error);
                }
            };
            if slot.join(&process) {
                process.mounts.add(label);
                let pool = Arc::downgrade(&self.0);
                return Ok(Seat { process, slot, key: key.clone(), pool, label: label.to_owned() });
            }
            self.forget(key, &slot);
        }
    }

    fn slot<F>(&self, key: &Key, start: impl Fn() -> F) -> (Arc<Slot>, Found)
    where
        F: Future<Output = Result<Process, Error>> + Send + 'static,
    {
        let mut slots = self.lock();
        if let Some(slot) = slots.get(key)
            && let Some(found) = slot.found()
        {
            return (slot.clone(), found);
        }
        let started = start();
        let starting: BoxFuture<'static, _> = Box::pin(async { started.await.map(Arc::new) });
        let starting = starting.shared();
        let slot = Arc::new(Slot { starting: starting.downgrade(), state: Mutex::default() });
        slots.insert(key.clone(), slot.clone());
        (slot, Found::Starting(starting))
    }

    fn forget(&self, key: &Key, slot: &Arc<Slot>) {
        forget(&mut self.lock(), key, slot);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Arc<Slot>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn forget(slots: &mut HashMap<Key, Arc<Slot>>, key: &Key, slot: &Arc<Slot>) {
    if slots.get(key).is_some_and(|current| Arc::ptr_eq(current, slot)) {
        slots.remove(key);
    }
}

impl Slot {
    /// Nothing if those who started it have gone.
    fn found(&self) -> Option<Found> {
        let running = self.lock().process.clone().map(Found::Running);
        running.or_else(|| Some(Found::Starting(self.starting.as_ref()?.upgrade()?)))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is room for one more.
    fn join(&self, process: &Arc<Process>) -> bool {
        let mut state = self.lock();
        let room = state.instances == 0 || process.multiplexes;
        let joins = room && !state.closed && !process.is_lost();
        if joins {
            state.instances += 1;
            state.process = Some(process.clone());
        }
        joins
    }

    /// Whether the one that leaves was the last.
    fn leave(&self) -> bool {
        let mut state = self.lock();
        state.instances = state.instances.saturating_sub(1);
        state.closed |= state.instances == 0;
        state.closed
    }
}

impl Seat {
    /// The process.
    pub fn process(&self) -> &Arc<Process> {
        &self.process
    }

    /// Leaves, and waits for the end of the process if nobody else uses it; not for ever.
    pub async fn leave(self) {
        let process = self.process.clone();
        drop(self);
        if process.is_lost() {
            process.ended().await;
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.process.mounts.remove(&self.label);
        if self.slot.leave() {
            if let Some(pool) = self.pool.upgrade() {
                let mut slots = pool.lock().unwrap_or_else(PoisonError::into_inner);
                forget(&mut slots, &self.key, &self.slot);
            }
            self.process.stop();
        }
    }
}
