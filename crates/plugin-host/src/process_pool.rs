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
use crate::process::PluginProcess;
use crate::spec::LaunchSpec;

/// What instances must have in common to share a process.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ProcessKey {
    /// The plug-in.
    pub spec: LaunchSpec,
    /// How many reloads it has seen.
    pub generation: u64,
}

/// The running processes. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct ProcessPool(Arc<Mutex<HashMap<ProcessKey, Arc<ProcessSlot>>>>);

/// One attempt at a start. All who wait for it drive it, and share what comes of it; when the last
/// of them goes, so does the attempt.
type Starting = Shared<BoxFuture<'static, Result<Arc<PluginProcess>, Error>>>;
type WeakStarting = WeakShared<BoxFuture<'static, Result<Arc<PluginProcess>, Error>>>;

#[derive(Debug)]
struct ProcessSlot {
    starting: Option<WeakStarting>,
    state: Mutex<ProcessSlotState>,
}

#[derive(Debug, Default)]
struct ProcessSlotState {
    /// Once the first has its place.
    process: Option<Arc<PluginProcess>>,
    instances: usize,
    closed: bool,
}

/// What is to be waited for.
enum SlotStatus {
    Running(Arc<PluginProcess>),
    Starting(Starting),
}

/// A place in a process. When the last one is dropped the process is shut down.
#[derive(Debug)]
pub struct ProcessRef {
    process: Arc<PluginProcess>,
    slot: Arc<ProcessSlot>,
    key: ProcessKey,
    pool: Weak<Mutex<HashMap<ProcessKey, Arc<ProcessSlot>>>>,
    label: String,
}

impl ProcessPool {
    /// A place in a running process, or in one that `start` gives. Callers that come while a
    /// process is being started wait for that one, and if that fails, all of them get its error.
    ///
    /// Cancel safety: when dropped, a start under way goes on for the others who wait, and is
    /// dropped if there are none.
    pub async fn acquire<F>(
        &self,
        key: &ProcessKey,
        label: &str,
        start: impl Fn() -> F,
    ) -> Result<ProcessRef, Error>
    where
        F: Future<Output = Result<PluginProcess, Error>> + Send + 'static,
    {
        loop {
            let (slot, found) = self.find_or_start(key, &start);
            let outcome = match found {
                SlotStatus::Running(process) => Ok(process),
                SlotStatus::Starting(starting) => starting.await,
            };
            let process = match outcome {
                Ok(process) => process,
                Err(error) => {
                    self.remove_slot(key, &slot);
                    return Err(error);
                }
            };
            if slot.add_instance(&process) {
                process.mounts.add(label);
                let pool = Arc::downgrade(&self.0);
                return Ok(ProcessRef {
                    process,
                    slot,
                    key: key.clone(),
                    pool,
                    label: label.to_owned(),
                });
            }
            self.remove_slot(key, &slot);
        }
    }

    fn find_or_start<F>(
        &self,
        key: &ProcessKey,
        start: impl Fn() -> F,
    ) -> (Arc<ProcessSlot>, SlotStatus)
    where
        F: Future<Output = Result<PluginProcess, Error>> + Send + 'static,
    {
        let mut slots = self.lock();
        if let Some(slot) = slots.get(key)
            && let Some(found) = slot.status()
        {
            return (slot.clone(), found);
        }
        let started = start();
        let starting: BoxFuture<'static, _> = Box::pin(async { started.await.map(Arc::new) });
        let starting = starting.shared();
        let slot =
            Arc::new(ProcessSlot { starting: starting.downgrade(), state: Mutex::default() });
        slots.insert(key.clone(), slot.clone());
        (slot, SlotStatus::Starting(starting))
    }

    fn remove_slot(&self, key: &ProcessKey, slot: &Arc<ProcessSlot>) {
        remove_slot_if_current(&mut self.lock(), key, slot);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ProcessKey, Arc<ProcessSlot>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn remove_slot_if_current(
    slots: &mut HashMap<ProcessKey, Arc<ProcessSlot>>,
    key: &ProcessKey,
    slot: &Arc<ProcessSlot>,
) {
    if slots.get(key).is_some_and(|current| Arc::ptr_eq(current, slot)) {
        slots.remove(key);
    }
}

impl ProcessSlot {
    /// Nothing if those who started it have gone.
    fn status(&self) -> Option<SlotStatus> {
        let running = self.lock().process.clone().map(SlotStatus::Running);
        running.or_else(|| Some(SlotStatus::Starting(self.starting.as_ref()?.upgrade()?)))
    }

    fn lock(&self) -> MutexGuard<'_, ProcessSlotState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is room for one more.
    fn add_instance(&self, process: &Arc<PluginProcess>) -> bool {
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
    fn remove_instance(&self) -> bool {
        let mut state = self.lock();
        state.instances = state.instances.saturating_sub(1);
        state.closed |= state.instances == 0;
        state.closed
    }
}

impl ProcessRef {
    /// The process.
    pub fn process(&self) -> &Arc<PluginProcess> {
        &self.process
    }

    /// Leaves, and waits for the end of the process if nobody else uses it; not for ever.
    pub async fn release(self) {
        let process = self.process.clone();
        drop(self);
        if process.is_lost() {
            process.wait_until_ended().await;
        }
    }
}

impl Drop for ProcessRef {
    fn drop(&mut self) {
        self.process.mounts.remove(&self.label);
        if self.slot.remove_instance() {
            if let Some(pool) = self.pool.upgrade() {
                let mut slots = pool.lock().unwrap_or_else(PoisonError::into_inner);
                remove_slot_if_current(&mut slots, &self.key, &self.slot);
            }
            self.process.stop();
        }
    }
}
