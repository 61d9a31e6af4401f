//! Storage in memory: what outlives an instance, and fails when it is told to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;

use crate::engine::{StorageBatch, StorageChange, StorageEntry, StorageError, StoragePrecondition};

/// The entries of one mount.
#[derive(Debug, Default)]
pub(super) struct MemoryEntries {
    state: Mutex<MemoryState>,
    /// Told of each commit.
    pub(super) changed: Notify,
}

#[derive(Debug, Default)]
struct MemoryState {
    entries: BTreeMap<String, StorageEntry>,
    version: u64,
    faults: InjectedFaults,
    /// Entries the engine asked for.
    reads: usize,
    /// Changes in the largest batch of the engine's.
    largest_batch: usize,
    /// Writes of the engine's that were made to fail.
    failed_writes: usize,
    /// Entries that the engine can't read, and never will.
    damaged: BTreeSet<String>,
    /// Entries that it can't read for now.
    failing: BTreeSet<String>,
}

/// What is to fail of what an engine asks.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum InjectedFaults {
    #[default]
    Nothing,
    /// Reads and writes.
    Everything,
    /// Writes, after this many more of them.
    WritesAfter(usize),
    /// Nothing, but each write takes this long until it is answered.
    SlowWrites(Duration),
}

impl MemoryEntries {
    pub(super) fn set_faults(&self, faults: InjectedFaults) {
        self.lock_state().faults = faults;
    }

    /// Lets an entry be there and not readable, or readable again.
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

    /// Judges a look of the engine's at an entry.
    pub(super) fn check_entry(&self, key: &str) -> Result<(), StorageError> {
        let state = self.lock_state();
        if state.damaged.contains(key) {
            return Err(StorageError::Damaged("damaged by the test".to_owned()));
        }
        if state.failing.contains(key) { Err(injected_error()) } else { Ok(()) }
    }

    /// Judges a read of the engine's.
    pub(super) fn check_read(&self) -> Result<(), StorageError> {
        match self.lock_state().faults {
            InjectedFaults::Everything => Err(injected_error()),
            InjectedFaults::Nothing
            | InjectedFaults::WritesAfter(_)
            | InjectedFaults::SlowWrites(_) => Ok(()),
        }
    }

    /// Counts a look of the engine's at an entry.
    pub(super) fn count_read(&self) {
        self.lock_state().reads += 1;
    }

    pub(super) fn read_count(&self) -> usize {
        self.lock_state().reads
    }

    pub(super) fn failed_writes(&self) -> usize {
        self.lock_state().failed_writes
    }

    /// Notes how large a batch of the engine's is.
    pub(super) fn count_batch(&self, changes: usize) {
        let mut state = self.lock_state();
        state.largest_batch = state.largest_batch.max(changes);
    }

    /// The largest batch there was, and begins anew.
    pub(super) fn take_largest_batch(&self) -> usize {
        std::mem::take(&mut self.lock_state().largest_batch)
    }

    /// How long a write of the engine's takes.
    pub(super) fn write_time(&self) -> Duration {
        match self.lock_state().faults {
            InjectedFaults::SlowWrites(time) => time,
            _ => Duration::ZERO,
        }
    }

    /// Judges a write of the engine's.
    pub(super) fn check_write(&self) -> Result<(), StorageError> {
        let state = &mut *self.lock_state();
        match &mut state.faults {
            InjectedFaults::Everything | InjectedFaults::WritesAfter(0) => {
                state.failed_writes += 1;
                Err(injected_error())
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

    /// Names and folders directly under `prefix`.
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

    /// Applies a batch, whole or not at all.
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
                    // A copy, so that a whole message isn't kept for a part of it.
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

fn injected_error() -> StorageError {
    StorageError::Failed("injected fault".to_owned())
}
