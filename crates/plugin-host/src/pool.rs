//! Which instances share a process.
//!
//! Instances share one if their plug-ins are equal to the last argument, the process can serve
//! several, and no reload came between them: a reload counts the generation up, so that it gets a
//! fresh process while the old one lives on until its last instance is closed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::OnceCell;

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

#[derive(Debug, Default)]
struct Slot {
    process: OnceCell<Arc<Process>>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    instances: usize,
    closed: bool,
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
    /// process is being started wait for that one.
    ///
    /// Cancel safety: when dropped, a start under way is given to the next who waits, from its
    /// beginning.
    pub async fn seat<F>(
        &self,
        key: &Key,
        label: &str,
        start: impl Fn() -> F,
    ) -> Result<Seat, Error>
    where
        F: Future<Output = Result<Process, Error>>,
    {
        loop {
            let slot = self.lock().entry(key.clone()).or_default().clone();
            let started = slot.process.get_or_try_init(|| async { start().await.map(Arc::new) });
            let process = match started.await {
                Ok(process) => process.clone(),
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
    /// Whether there is room for one more.
    fn join(&self, process: &Process) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let room = state.instances == 0 || process.multiplexes;
        let joins = room && !state.closed && !process.is_lost();
        if joins {
            state.instances += 1;
        }
        joins
    }

    /// Whether the one that leaves was the last.
    fn leave(&self) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
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

    /// Leaves, and waits for the end of the process if nobody else uses it.
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
