//! [`ProcessPool`]: lets instances share processes.
//!
//! Instances share a process if their specs are equal in every field, the process supports
//! multiplexing, and no reload came between them. A reload increments the generation, so that later
//! instances get a new process while the old one runs until its last instance is closed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use futures_util::FutureExt;
use futures_util::future::{Shared, WeakShared};
use strongroom_types::clock::BoxFuture;

use crate::error::Error;
use crate::process::PluginProcess;
use crate::spec::LaunchSpec;

/// What two instances must have in common to share a process.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ProcessKey {
    /// The registered plug-in.
    pub spec: LaunchSpec,
    /// How many reloads of the plug-in preceded; set by the host.
    pub generation: u64,
}

/// The running processes, by key. Clones share the state.
#[derive(Clone, Debug, Default)]
pub struct ProcessPool(Arc<Mutex<HashMap<ProcessKey, Arc<ProcessSlot>>>>);

/// One attempt to start a process. All callers that wait for it drive it and share its result; when
/// the last of them is dropped, so is the attempt.
type Starting = Shared<BoxFuture<'static, Result<Arc<PluginProcess>, Error>>>;
type WeakStarting = WeakShared<BoxFuture<'static, Result<Arc<PluginProcess>, Error>>>;

#[derive(Debug)]
struct ProcessSlot {
    starting: Option<WeakStarting>,
    state: Mutex<ProcessSlotState>,
}

#[derive(Debug, Default)]
struct ProcessSlotState {
    /// Set when the first instance has joined.
    process: Option<Arc<PluginProcess>>,
    instances: usize,
    closed: bool,
}

/// The result of looking up a slot.
enum SlotStatus {
    Running(Arc<PluginProcess>),
    Starting(Starting),
}

/// A reference to a shared process. When the last one is dropped, the process is shut down.
#[derive(Debug)]
pub struct ProcessRef {
    process: Arc<PluginProcess>,
    slot: Arc<ProcessSlot>,
    key: ProcessKey,
    pool: Weak<Mutex<HashMap<ProcessKey, Arc<ProcessSlot>>>>,
    label: String,
}

impl ProcessPool {
    /// Joins a running process, or starts one with `start`. Callers that arrive while a process is
    /// being started wait for that one; if the start fails, all of them get its error.
    ///
    /// Cancel safety: when dropped, a start in progress continues for the other callers, and is
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
    /// `None` if all callers that waited for the start were dropped.
    fn status(&self) -> Option<SlotStatus> {
        let running = self.lock().process.clone().map(SlotStatus::Running);
        running.or_else(|| Some(SlotStatus::Starting(self.starting.as_ref()?.upgrade()?)))
    }

    fn lock(&self) -> MutexGuard<'_, ProcessSlotState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Joins the process; returns false if it is closed, lost or can't serve another instance.
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

    /// Returns whether the last instance left.
    fn remove_instance(&self) -> bool {
        let mut state = self.lock();
        state.instances = state.instances.saturating_sub(1);
        state.closed |= state.instances == 0;
        state.closed
    }
}

impl ProcessRef {
    /// The process that this reference keeps running.
    pub fn process(&self) -> &Arc<PluginProcess> {
        &self.process
    }

    /// Releases the reference. If it was the last one, waits for the process to exit, for a few
    /// seconds at most.
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
