//! [`KeyMigratingStorage`]: storage whose record keys are moved from an old prefix to a new one.
//!
//! Record keys once began with [`LEGACY_RECORD_PREFIX`], which Vault and OpenBao don't store; they
//! now begin with [`RECORD_PREFIX`]. The entries of a mount written by an earlier version are moved
//! from the first request or periodic call on, in atomic batches, so each entry exists exactly once
//! even if the process dies; the next start continues. Requests don't wait for the migration. Until
//! it has finished, a read looks at both keys, the old one first, since entries only move away from
//! it; a write goes to the new key and removes the old one in the same batch.
//!
//! An entry that can't be read stays at its old key and is named in the log. The others are moved.
//!
//! # Beside an instance of an earlier version
//!
//! During a reload an instance that uses only the old keys may still finish requests while this one
//! moves entries. For it, an entry that has moved doesn't exist. So if an entry is at both keys,
//! the **new key wins**: it holds what was moved and later changes to it, while the old key was
//! written by an instance that saw no entry. An entry is moved only if nothing is at its new key.
//! What the old instance writes stays at the old key, is named in the log, and is removed with the
//! next write or removal of that entry. What it tries to remove after the move stays, since it
//! finds nothing. Names without an entry at the new key are moved as usual.
//!
//! The host reports the other instance's writes ([`KeyMigratingStorage::on_external_write`]), so
//! old keys that appear after the migration had finished are noticed.
//!
//! Hosts without atomic batches never accepted the old keys, so there is nothing to move.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use strongroom_engine::{
    LEGACY_RECORD_PREFIX, RECORD_PREFIX, Storage, StorageBatch, StorageChange, StorageEntry,
    StorageError, StoragePrecondition, check_folder,
};

use crate::Error;
use crate::records::unchanged_precondition;
use crate::stored_entries::{EntryScanner, UnmovableEntries};

/// The mount's storage, presented as if all records had new keys.
#[derive(Debug)]
pub(crate) struct KeyMigratingStorage {
    storage: Arc<dyn Storage>,
    /// How many writes of old keys by others have been reported.
    legacy_writes: AtomicU64,
    /// The value of `legacy_writes` before a check that found nothing at an old key.
    done_at: AtomicU64,
    /// The value of `legacy_writes` before a check that found only entries that can't be moved.
    stuck_at: AtomicU64,
    /// The entries that can't be moved.
    unmovable: UnmovableEntries,
}

/// The number of names per storage list request.
const PAGE_SIZE: usize = 256;
/// Sorts after every old key and before every other key.
const AFTER_LEGACY_KEYS: &str = "\u{2}";
/// Greater than any number of writes.
const NEVER: u64 = u64::MAX;

impl KeyMigratingStorage {
    pub(crate) fn new(storage: Arc<dyn Storage>) -> Self {
        let nothing_left = if storage.is_atomic() { NEVER } else { 0 };
        Self {
            storage,
            legacy_writes: AtomicU64::new(0),
            done_at: AtomicU64::new(nothing_left),
            stuck_at: AtomicU64::new(NEVER),
            unmovable: UnmovableEntries::default(),
        }
    }

    /// Whether nothing is left to be moved.
    pub(crate) fn is_done(&self) -> bool {
        self.done_at.load(Ordering::Acquire) == self.legacy_writes.load(Ordering::Acquire)
    }

    /// Whether nothing is left that could be moved now. That may change later.
    pub(crate) fn is_stuck(&self) -> bool {
        self.stuck_at.load(Ordering::Acquire) == self.legacy_writes.load(Ordering::Acquire)
    }

    /// Records that another instance or node wrote this storage key.
    pub(crate) fn on_external_write(&self, key: &str) {
        if key.starts_with(LEGACY_RECORD_PREFIX) && self.storage.is_atomic() {
            self.legacy_writes.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// Checks whether there is anything to be moved.
    pub(crate) async fn check_for_legacy_keys(&self) -> Result<(), Error> {
        let written = self.legacy_writes.load(Ordering::Acquire);
        if !self.is_done() && self.legacy_buckets(1).await?.is_empty() {
            self.done_at.store(written, Ordering::Release);
        }
        Ok(())
    }

    /// Moves all entries that can be moved, in batches, while `go_on` returns true. After an error
    /// only the periodic call tries again, and requests don't.
    pub(crate) async fn move_all(&self, go_on: impl Fn() -> bool) -> Result<(), Error> {
        let written = self.legacy_writes.load(Ordering::Acquire);
        let outcome = self.move_in_batches(go_on).await;
        if outcome.is_err() {
            self.stuck_at.store(written, Ordering::Release);
        }
        outcome
    }

    async fn move_in_batches(&self, go_on: impl Fn() -> bool) -> Result<(), Error> {
        while go_on() {
            let written = self.legacy_writes.load(Ordering::Acquire);
            let shelves = self.legacy_buckets(usize::MAX).await?;
            if shelves.is_empty() {
                self.done_at.store(written, Ordering::Release);
                return Ok(());
            }
            let mut moved = false;
            for shelf in shelves.iter().filter(|shelf| check_folder(shelf).is_ok()) {
                let mut walk = EntryScanner::new(&*self.storage, shelf);
                while go_on() {
                    let entries = walk.next_batch().await?;
                    if entries.is_empty() {
                        break;
                    }
                    self.unmovable.log_unreadable(&entries.unreadable);
                    moved |= self.move_some(&entries.entries).await?;
                }
            }
            if !moved {
                // Also if a folder is listed but contains nothing.
                self.stuck_at.store(written, Ordering::Release);
                return Ok(());
            }
        }
        Ok(())
    }

    /// Moves some entries, in one batch unless one of them can't be moved. Returns whether any was
    /// moved, or was changed by others meanwhile.
    async fn move_some(&self, entries: &[(String, StorageEntry)]) -> Result<bool, Error> {
        if entries.is_empty() {
            return Ok(false);
        }
        match self.storage.commit(move_batch(entries)).await {
            Ok(()) => return Ok(true),
            Err(StorageError::Precondition(_)) => {}
            Err(error) => return Err(error.into()),
        }
        let mut moved = false;
        for entry in entries {
            let (key, _) = entry;
            match self.storage.commit(move_batch(std::slice::from_ref(entry))).await {
                Ok(()) => moved = true,
                Err(StorageError::Precondition(_)) => {
                    if self.entry_exists(&current_key(key)).await? && self.entry_exists(key).await?
                    {
                        self.unmovable.log_once(
                            key,
                            "there is another at its new key, which is the one that counts",
                        );
                    } else {
                        // It was changed meanwhile, so it is looked at again.
                        moved = true;
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(moved)
    }

    /// Whether there is an entry, damaged or not.
    async fn entry_exists(&self, key: &str) -> Result<bool, StorageError> {
        match self.storage.get(key).await {
            Ok(found) => Ok(found.is_some()),
            Err(StorageError::Damaged(_)) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// The first `limit` old buckets, as folders.
    async fn legacy_buckets(&self, limit: usize) -> Result<Vec<String>, StorageError> {
        let mut shelves: Vec<String> = Vec::new();
        while shelves.len() < limit {
            let after = shelves.last().map(String::as_str);
            let page = self.storage.list("", after, limit.min(PAGE_SIZE)).await?;
            let is_last = page.len() < limit.min(PAGE_SIZE);
            let found = shelves.len();
            shelves.extend(page.into_iter().filter(|name| name.starts_with(LEGACY_RECORD_PREFIX)));
            if is_last || shelves.len() == found {
                break;
            }
        }
        shelves.truncate(limit);
        Ok(shelves)
    }

    /// Translates a batch: each precondition refers to the key where the entry currently is, and
    /// each changed entry is also removed at its old key.
    async fn translate_batch(&self, batch: StorageBatch) -> Result<StorageBatch, StorageError> {
        let mut both = StorageBatch::default();
        for condition in batch.preconditions {
            let Some(old) = legacy_key(condition.key()) else {
                both.preconditions.push(condition);
                continue;
            };
            if self.storage.get(condition.key()).await?.is_some() {
                both.preconditions.push(condition);
                continue;
            }
            if self.storage.get(&old).await?.is_none() {
                both.preconditions.extend([StoragePrecondition::Absent(old), condition]);
                continue;
            }
            both.preconditions.extend(match condition {
                StoragePrecondition::Absent(key) => return Err(StorageError::Precondition(key)),
                StoragePrecondition::Exists(key) => {
                    [StoragePrecondition::Exists(old), StoragePrecondition::Absent(key)]
                }
                StoragePrecondition::Unchanged(key, version) => {
                    [StoragePrecondition::Unchanged(old, version), StoragePrecondition::Absent(key)]
                }
            });
        }
        for change in batch.changes {
            let old = legacy_key(change.key());
            both.changes.push(change);
            both.changes.extend(old.map(|key| StorageChange::Delete { key }));
        }
        Ok(both)
    }

    /// The names in the root folder, with old buckets under their new names.
    async fn list_root(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, StorageError> {
        let behind = after.map_or(AFTER_LEGACY_KEYS, |after| after.max(AFTER_LEGACY_KEYS));
        let mut names = self.storage.list("", Some(behind), limit).await?;
        let old = self.legacy_buckets(usize::MAX).await?;
        add_names(&mut names, old.iter().map(|shelf| current_key(shelf)).collect(), after, limit);
        Ok(names)
    }
}

#[async_trait]
impl Storage for KeyMigratingStorage {
    async fn get(&self, key: &str) -> Result<Option<StorageEntry>, StorageError> {
        let old = match legacy_key(key) {
            Some(old) if !self.is_done() => self.storage.get(&old).await,
            _ => return self.storage.get(key).await,
        };
        // In this order, an entry that moves meanwhile is found at the new key.
        match self.storage.get(key).await? {
            Some(stored) => Ok(Some(stored)),
            None => old,
        }
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, StorageError> {
        if self.is_done() {
            return self.storage.list(prefix, after, limit).await;
        }
        if prefix.is_empty() {
            return self.list_root(after, limit).await;
        }
        let Some(old) = legacy_key(prefix) else {
            return self.storage.list(prefix, after, limit).await;
        };
        // The old folder first: an entry that moves meanwhile is found in the new one.
        let old = self.storage.list(&old, after, limit).await?;
        let mut names = self.storage.list(prefix, after, limit).await?;
        add_names(&mut names, old, after, limit);
        Ok(names)
    }

    async fn commit(&self, batch: StorageBatch) -> Result<(), StorageError> {
        if self.is_done() {
            return self.storage.commit(batch).await;
        }
        let batch = self.translate_batch(batch).await?;
        self.storage.commit(batch).await.map_err(|error| match error {
            StorageError::Precondition(key) => StorageError::Precondition(current_key(&key)),
            other => other,
        })
    }

    fn is_atomic(&self) -> bool {
        self.storage.is_atomic()
    }
}

/// The old form of a record's key or folder; `None` for other keys.
fn legacy_key(key: &str) -> Option<String> {
    key.strip_prefix(RECORD_PREFIX).map(|rest| format!("{LEGACY_RECORD_PREFIX}{rest}"))
}

/// The current form of a key.
pub(crate) fn current_key(key: &str) -> String {
    match key.strip_prefix(LEGACY_RECORD_PREFIX) {
        Some(rest) => format!("{RECORD_PREFIX}{rest}"),
        None => key.to_owned(),
    }
}

/// The batch that moves entries, provided that none has changed and nothing is at the new keys.
fn move_batch(entries: &[(String, StorageEntry)]) -> StorageBatch {
    let mut batch = StorageBatch::default();
    for (key, stored) in entries {
        let new = current_key(key);
        batch.preconditions.push(unchanged_precondition(key, Some(stored)));
        batch.preconditions.push(StoragePrecondition::Absent(new.clone()));
        let StorageEntry { value, seal_wrap, .. } = stored.clone();
        batch.changes.push(StorageChange::Put { key: new, value, seal_wrap });
        batch.changes.push(StorageChange::Delete { key: key.clone() });
    }
    batch
}

/// Merges further names into a page of names.
fn add_names(names: &mut Vec<String>, more: Vec<String>, after: Option<&str>, limit: usize) {
    names.extend(more.into_iter().filter(|name| after.is_none_or(|after| name.as_str() > after)));
    names.sort_unstable();
    names.dedup();
    names.truncate(limit);
}

#[cfg(test)]
mod tests;
