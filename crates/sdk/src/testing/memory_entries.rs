//! In-memory storage that outlives an instance and can inject faults.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use strongroom_engine::{
    StorageBatch, StorageChange, StorageEntry, StorageError, StoragePrecondition,
};
use tokio::sync::Notify;

/// The stored entries of one mount.
#[derive(Debug, Default)]
pub(super) struct MemoryEntries {
    state: Mutex<MemoryState>,
    /// Notified after each commit.
    pub(super) changed: Notify,
}

#[derive(Debug, Default)]
struct MemoryState {
    entries: BTreeMap<String, StorageEntry>,
    version: u64,
    faults: InjectedFaults,
    /// How many entries the engine has read.
    reads: usize,
    /// How many batches the engine has written.
    writes: usize,
    /// The number of changes in the engine's largest batch.
    largest_batch: usize,
    /// How many of the engine's writes failed because of an injected fault.
    failed_writes: usize,
    /// Entries that are permanently unreadable because they are damaged.
    damaged: BTreeSet<String>,
    /// Entries that are temporarily unreadable.
    failing: BTreeSet<String>,
}

/// Which of the engine's storage operations fail.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum InjectedFaults {
    #[default]
    Nothing,
    /// Reads and writes fail.
    Everything,
    /// Writes fail after this many more have succeeded.
    WritesAfter(usize),
    /// None fail, but each write takes this long.
    SlowWrites(Duration),
}

impl MemoryEntries {
    pub(super) fn set_faults(&self, faults: InjectedFaults) {
        self.lock_state().faults = faults;
    }

    /// Marks an entry as damaged or intact.
    pub(super) fn set_damaged(&self, key: &str, is_damaged: bool) {
        let mut state = self.lock_state();
        match is_damaged {
            true => _ = state.damaged.insert(key.to_owned()),
            false => _ = state.damaged.remove(key),
        }
    }

    pub(super) fn set_failing(&self, key: &str, fails: bool) {
        let mut state = self.lock_state();
        match fails {
            true => _ = state.failing.insert(key.to_owned()),
            false => _ = state.failing.remove(key),
        }
    }

    /// The injected error for reading this entry, if there is one.
    pub(super) fn check_entry(&self, key: &str) -> Result<(), StorageError> {
        let state = self.lock_state();
        if state.damaged.contains(key) {
            return Err(StorageError::Damaged("damaged by the test".to_owned()));
        }
        if state.failing.contains(key) {
            return Err(injected_error(format_args!("reading the entry {key} fails")));
        }
        Ok(())
    }

    /// The injected error for reads, if there is one.
    pub(super) fn check_read(&self) -> Result<(), StorageError> {
        match self.lock_state().faults {
            InjectedFaults::Everything => Err(injected_error("all of storage fails")),
            InjectedFaults::Nothing
            | InjectedFaults::WritesAfter(_)
            | InjectedFaults::SlowWrites(_) => Ok(()),
        }
    }

    /// Counts a read by the engine.
    pub(super) fn count_read(&self) {
        self.lock_state().reads += 1;
    }

    pub(super) fn read_count(&self) -> usize {
        self.lock_state().reads
    }

    pub(super) fn write_count(&self) -> usize {
        self.lock_state().writes
    }

    pub(super) fn failed_writes(&self) -> usize {
        self.lock_state().failed_writes
    }

    /// Records the number of changes in a batch of the engine.
    pub(super) fn count_batch(&self, changes: usize) {
        let mut state = self.lock_state();
        state.writes += 1;
        state.largest_batch = state.largest_batch.max(changes);
    }

    /// The size of the largest batch so far; resets it.
    pub(super) fn take_largest_batch(&self) -> usize {
        std::mem::take(&mut self.lock_state().largest_batch)
    }

    /// How long a write by the engine takes.
    pub(super) fn write_time(&self) -> Duration {
        match self.lock_state().faults {
            InjectedFaults::SlowWrites(time) => time,
            _ => Duration::ZERO,
        }
    }

    /// The injected error for writes, if there is one.
    pub(super) fn check_write(&self) -> Result<(), StorageError> {
        let state = &mut *self.lock_state();
        match &mut state.faults {
            InjectedFaults::Everything => {
                state.failed_writes += 1;
                Err(injected_error("all of storage fails"))
            }
            InjectedFaults::WritesAfter(0) => {
                state.failed_writes += 1;
                Err(injected_error("writes fail after those that were allowed"))
            }
            InjectedFaults::WritesAfter(left) => {
                *left -= 1;
                Ok(())
            }
            InjectedFaults::Nothing | InjectedFaults::SlowWrites(_) => Ok(()),
        }
    }

    pub(super) fn get(&self, key: &str) -> Option<StorageEntry> {
        self.lock_state().entries.get(key).cloned()
    }

    pub(super) fn keys(&self) -> Vec<String> {
        self.lock_state().entries.keys().cloned().collect()
    }

    /// The names and folders directly under `prefix`.
    pub(super) fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Vec<String> {
        let state = self.lock_state();
        let below = state.entries.keys().filter_map(|key| key.strip_prefix(prefix));
        let mut names: Vec<String> = below
            .map(|name| match name.split_once('/') {
                Some((folder, _)) => format!("{folder}/"),
                None => name.to_owned(),
            })
            .filter(|name| after.is_none_or(|after| name.as_str() > after))
            .collect();
        names.sort_unstable();
        names.dedup();
        names.truncate(limit);
        names
    }

    /// Applies the whole batch or nothing.
    pub(super) fn commit(&self, batch: StorageBatch) -> Result<(), StorageError> {
        let mut state = self.lock_state();
        for condition in &batch.preconditions {
            let (key, holds) = match condition {
                StoragePrecondition::Exists(key) => (key, state.entries.contains_key(key)),
                StoragePrecondition::Absent(key) => (key, !state.entries.contains_key(key)),
                StoragePrecondition::Unchanged(key, version) => {
                    (key, state.entries.get(key).is_some_and(|found| found.version == *version))
                }
            };
            if !holds {
                return Err(StorageError::Precondition(key.clone()));
            }
        }
        state.version += 1;
        let version = state.version;
        for change in batch.changes {
            match change {
                StorageChange::Put { key, value, seal_wrap } => {
                    // Copied, so that the value doesn't keep the buffer of a whole message alive.
                    let value = Bytes::copy_from_slice(&value);
                    state.entries.insert(key, StorageEntry { value, version, seal_wrap });
                }
                StorageChange::Delete { key } => _ = state.entries.remove(&key),
            }
        }
        drop(state);
        self.changed.notify_waiters();
        Ok(())
    }

    fn lock_state(&self) -> MutexGuard<'_, MemoryState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The error of a fault that a test has injected, with the fault's name.
fn injected_error(fault: impl fmt::Display) -> StorageError {
    StorageError::Failed(format!("injected fault: {fault}"))
}
