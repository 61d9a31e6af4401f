//! Storage in memory: what outlives an instance, and fails when it is told to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;

use crate::engine::{Change, Precondition, StorageBatch, StorageError, Stored};

/// The entries of one mount.
#[derive(Debug, Default)]
pub(super) struct Memory {
    state: Mutex<State>,
    /// Told of each commit.
    pub(super) changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    entries: BTreeMap<String, Stored>,
    version: u64,
    faults: Faults,
    /// Entries the engine asked for.
    reads: usize,
    /// Changes in the largest batch of the engine's.
    largest: usize,
    /// Writes of the engine's that were made to fail.
    failed_writes: usize,
    /// Entries that the engine can't read, and never will.
    damaged: BTreeSet<String>,
    /// Entries that it can't read for now.
    failing: BTreeSet<String>,
}

/// What is to fail of what an engine asks.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Faults {
    #[default]
    Nothing,
    /// Reads and writes.
    Everything,
    /// Writes, after this many more of them.
    WritesAfter(usize),
    /// Nothing, but each write takes this long until it is answered.
    SlowWrites(Duration),
}

impl Memory {
    pub(super) fn fail(&self, faults: Faults) {
        self.lock().faults = faults;
    }

    /// Lets an entry be there and not readable, or readable again.
    pub(super) fn damage(&self, key: &str, is_damaged: bool) {
        let mut state = self.lock();
        match is_damaged {
            true => _ = state.damaged.insert(key.to_owned()),
            false => _ = state.damaged.remove(key),
        }
    }

    pub(super) fn fail_entry(&self, key: &str, fails: bool) {
        let mut state = self.lock();
        match fails {
            true => _ = state.failing.insert(key.to_owned()),
            false => _ = state.failing.remove(key),
        }
    }

    /// Judges a look of the engine's at an entry.
    pub(super) fn check_entry(&self, key: &str) -> Result<(), StorageError> {
        let state = self.lock();
        if state.damaged.contains(key) {
            return Err(StorageError::Damaged("damaged by the test".to_owned()));
        }
        if state.failing.contains(key) { Err(injected()) } else { Ok(()) }
    }

    /// Judges a read of the engine's.
    pub(super) fn check_read(&self) -> Result<(), StorageError> {
        match self.lock().faults {
            Faults::Everything => Err(injected()),
            Faults::Nothing | Faults::WritesAfter(_) | Faults::SlowWrites(_) => Ok(()),
        }
    }

    /// Counts a look of the engine's at an entry.
    pub(super) fn count_read(&self) {
        self.lock().reads += 1;
    }

    pub(super) fn reads(&self) -> usize {
        self.lock().reads
    }

    pub(super) fn failed_writes(&self) -> usize {
        self.lock().failed_writes
    }

    /// Notes how large a batch of the engine's is.
    pub(super) fn count_batch(&self, changes: usize) {
        let mut state = self.lock();
        state.largest = state.largest.max(changes);
    }

    /// The largest batch there was, and begins anew.
    pub(super) fn take_largest(&self) -> usize {
        std::mem::take(&mut self.lock().largest)
    }

    /// How long a write of the engine's takes.
    pub(super) fn write_time(&self) -> Duration {
        match self.lock().faults {
            Faults::SlowWrites(time) => time,
            _ => Duration::ZERO,
        }
    }

    /// Judges a write of the engine's.
    pub(super) fn check_write(&self) -> Result<(), StorageError> {
        let state = &mut *self.lock();
        match &mut state.faults {
            Faults::Everything | Faults::WritesAfter(0) => {
                state.failed_writes += 1;
                Err(injected())
            }
            Faults::WritesAfter(left) => {
                *left -= 1;
                Ok(())
            }
            Faults::Nothing | Faults::SlowWrites(_) => Ok(()),
        }
    }

    pub(super) fn get(&self, key: &str) -> Option<Stored> {
        self.lock().entries.get(key).cloned()
    }

    pub(super) fn keys(&self) -> Vec<String> {
        self.lock().entries.keys().cloned().collect()
    }

    /// Names and folders directly under `prefix`.
    pub(super) fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Vec<String> {
        let state = self.lock();
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
        let mut state = self.lock();
        for condition in &batch.preconditions {
            let (key, holds) = match condition {
                Precondition::Exists(key) => (key, state.entries.contains_key(key)),
                Precondition::Absent(key) => (key, !state.entries.contains_key(key)),
                Precondition::Unchanged(key, version) => {
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
                Change::Put { key, value, seal_wrap } => {
                    // A copy, so that a whole message isn't kept for a part of it.
                    let value = Bytes::copy_from_slice(&value);
                    state.entries.insert(key, Stored { value, version, seal_wrap });
                }
                Change::Delete { key } => _ = state.entries.remove(&key),
            }
        }
        drop(state);
        self.changed.notify_waiters();
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn injected() -> StorageError {
    StorageError::Failed("injected fault".to_owned())
}
