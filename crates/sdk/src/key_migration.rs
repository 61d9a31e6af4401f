//! [`KeyMigratingStorage`]: storage in which what lies apart has moved from one kind of key to another.
//!
//! Keys that are apart once began with [`LEGACY_RECORD_PREFIX`], which Vault and OpenBao don't store. They
//! begin with [`RECORD_PREFIX`] now, and a mount written by an earlier version is taken along: from the first request or
//! periodic call on, its entries move in batches that are each whole, so that each is there once,
//! wherever the process dies; the next start goes on. Nobody waits for that. Until it is done a
//! read looks at both keys, the old one first, since entries only move away from it; a write goes to
//! the new key and removes the old one in the same batch.
//!
//! An entry that can't be read stays at its old key and is named in the log. The others move.
//!
//! # Beside an instance of an earlier version
//!
//! In a reload an instance that knows the old keys only may still finish requests while this one
//! moves entries. To it an entry that has moved isn't there. So of an entry that is at both keys the
//! **new key wins**: it has what was moved and what was made of it since, while the other was
//! written by somebody who saw nothing. An entry moves only if nothing is at its new key. What the
//! old instance wrote after all stays at the old key, is named in the log, and goes with the next
//! write or removal of that entry. What it removes after the move stays: it finds nothing to remove.
//! Under names that have no entry at the new key its writes count as any other.
//!
//! The host tells this instance of the other's writes ([`KeyMigratingStorage::written`]), so old keys that
//! appear when nothing was left of them are seen.
//!
//! Hosts without atomic batches never took the old keys, so there is nothing to move.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;

use crate::Error;
use crate::engine::{
    LEGACY_RECORD_PREFIX, RECORD_PREFIX, Storage, StorageBatch, StorageChange, StorageEntry,
    StorageError, StoragePrecondition, check_folder,
};
use crate::records::unchanged_precondition;
use crate::stored_entries::{EntryScanner, UnmovableEntries};

/// The mount's storage with the new keys only, whatever is behind it.
#[derive(Debug)]
pub(crate) struct KeyMigratingStorage {
    storage: Arc<dyn Storage>,
    /// How often somebody else was seen to write an old key.
    legacy_writes: AtomicU64,
    /// What `written` was before nothing was found at an old key.
    done_at: AtomicU64,
    /// What `written` was before only entries were found that can't be moved.
    stuck_at: AtomicU64,
    /// The entries that can't be moved.
    unmovable: UnmovableEntries,
}

/// Names in one look at a folder.
const PAGE_SIZE: usize = 256;
/// Sorts behind every old key, and before every other.
const AFTER_LEGACY_KEYS: &str = "\u{2}";
/// Comes after no number of writes.
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

    /// Whether nothing is left that could be moved now. Later it may be another matter.
    pub(crate) fn is_stuck(&self) -> bool {
        self.stuck_at.load(Ordering::Acquire) == self.legacy_writes.load(Ordering::Acquire)
    }

    /// Somebody else wrote this key of the store.
    pub(crate) fn on_external_write(&self, key: &str) {
        if key.starts_with(LEGACY_RECORD_PREFIX) && self.storage.is_atomic() {
            self.legacy_writes.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// Looks whether there is anything to be moved.
    pub(crate) async fn check_for_legacy_keys(&self) -> Result<(), Error> {
        let written = self.legacy_writes.load(Ordering::Acquire);
        if !self.is_done() && self.legacy_buckets(1).await?.is_empty() {
            self.done_at.store(written, Ordering::Release);
        }
        Ok(())
    }

    /// Moves all that can be moved, in batches, as long as `go_on` says so. After an error requests
    /// begin no further attempt, as if nothing else could be moved: the periodic call does.
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
                // Also when a folder is shown and has nothing in it.
                self.stuck_at.store(written, Ordering::Release);
                return Ok(());
            }
        }
        Ok(())
    }

    /// Moves some entries, in one batch unless one of them is in the way; says whether any moved, or
    /// was changed by somebody else.
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
                        // Somebody changed it. It is looked at again.
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

    /// The first old shelves, as folders.
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

    /// A batch, with each condition asked of the key at which the entry is, and with each changed entry
    /// removed at its old key.
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

    /// The root's names, the old shelves among them under their new names.
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
        // In this order: what moves meanwhile is then at the new key.
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
        // The old folder first: what moves meanwhile is then in the new one.
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

/// The key, or folder, that an entry had before, if it lies apart.
fn legacy_key(key: &str) -> Option<String> {
    key.strip_prefix(RECORD_PREFIX).map(|rest| format!("{LEGACY_RECORD_PREFIX}{rest}"))
}

/// The key that an entry has now.
pub(crate) fn current_key(key: &str) -> String {
    match key.strip_prefix(LEGACY_RECORD_PREFIX) {
        Some(rest) => format!("{RECORD_PREFIX}{rest}"),
        None => key.to_owned(),
    }
}

/// The batch that moves entries: those that were not changed meanwhile, to where nothing is.
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

/// Adds further names to a page of names.
fn add_names(names: &mut Vec<String>, more: Vec<String>, after: Option<&str>, limit: usize) {
    names.extend(more.into_iter().filter(|name| after.is_none_or(|after| name.as_str() > after)));
    names.sort_unstable();
    names.dedup();
    names.truncate(limit);
}

#[cfg(test)]
mod tests;
