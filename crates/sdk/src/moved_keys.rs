//! [`MovedKeys`]: storage in which what lies apart has moved from one kind of key to another.
//!
//! Keys that are apart once began with [`APART_BEFORE`], which Vault and OpenBao don't store. They
//! begin with [`APART`] now, and a mount written by an earlier version is taken along: from the first request or
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
//! The host tells this instance of the other's writes ([`MovedKeys::written`]), so old keys that
//! appear when nothing was left of them are seen.
//!
//! Hosts without atomic batches never took the old keys, so there is nothing to move.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;

use crate::Error;
use crate::engine::{
    APART, APART_BEFORE, Change, Precondition, Storage, StorageBatch, StorageError, Stored,
    check_folder,
};
use crate::records::unchanged;
use crate::stored_entries::{Left, Walk};

/// The mount's storage with the new keys only, whatever is behind it.
#[derive(Debug)]
pub(crate) struct MovedKeys {
    storage: Arc<dyn Storage>,
    /// How often somebody else was seen to write an old key.
    written: AtomicU64,
    /// What `written` was before nothing was found at an old key.
    nothing_left: AtomicU64,
    /// What `written` was before only entries were found that can't be moved.
    only_stuck_left: AtomicU64,
    /// The entries that can't be moved.
    left: Left,
}

/// Names in one look at a folder.
const PAGE: usize = 256;
/// Sorts behind every old key, and before every other.
const BEHIND_OLD: &str = "\u{2}";
/// Comes after no number of writes.
const NEVER: u64 = u64::MAX;

impl MovedKeys {
    pub(crate) fn new(storage: Arc<dyn Storage>) -> Self {
        let nothing_left = if storage.is_atomic() { NEVER } else { 0 };
        Self {
            storage,
            written: AtomicU64::new(0),
            nothing_left: AtomicU64::new(nothing_left),
            only_stuck_left: AtomicU64::new(NEVER),
            left: Left::default(),
        }
    }

    /// Whether nothing is left to be moved.
    pub(crate) fn is_done(&self) -> bool {
        self.nothing_left.load(Ordering::Acquire) == self.written.load(Ordering::Acquire)
    }

    /// Whether nothing is left that could be moved now. Later it may be another matter.
    pub(crate) fn is_stuck(&self) -> bool {
        self.only_stuck_left.load(Ordering::Acquire) == self.written.load(Ordering::Acquire)
    }

    /// Somebody else wrote this key of the store.
    pub(crate) fn written(&self, key: &str) {
        if key.starts_with(APART_BEFORE) && self.storage.is_atomic() {
            self.written.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// Looks whether there is anything to be moved.
    pub(crate) async fn look(&self) -> Result<(), Error> {
        let written = self.written.load(Ordering::Acquire);
        if !self.is_done() && self.old_shelves(1).await?.is_empty() {
            self.nothing_left.store(written, Ordering::Release);
        }
        Ok(())
    }

    /// Moves all that can be moved, in batches, as long as `go_on` says so. After an error requests
    /// begin no further attempt, as if nothing else could be moved: the periodic call does.
    pub(crate) async fn move_all(&self, go_on: impl Fn() -> bool) -> Result<(), Error> {
        let written = self.written.load(Ordering::Acquire);
        let outcome = self.walk_all(go_on).await;
        if outcome.is_err() {
            self.only_stuck_left.store(written, Ordering::Release);
        }
        outcome
    }

    async fn walk_all(&self, go_on: impl Fn() -> bool) -> Result<(), Error> {
        while go_on() {
            let written = self.written.load(Ordering::Acquire);
            let shelves = self.old_shelves(usize::MAX).await?;
            if shelves.is_empty() {
                self.nothing_left.store(written, Ordering::Release);
                return Ok(());
            }
            let mut moved = false;
            for shelf in shelves.iter().filter(|shelf| check_folder(shelf).is_ok()) {
                let mut walk = Walk::below(&*self.storage, shelf);
                while go_on() {
                    let entries = walk.next().await?;
                    if entries.is_empty() {
                        break;
                    }
                    self.left.name_unreadable(&entries.unreadable);
                    moved |= self.move_some(&entries.found).await?;
                }
            }
            if !moved {
                // Also when a folder is shown and has nothing in it.
                self.only_stuck_left.store(written, Ordering::Release);
                return Ok(());
            }
        }
        Ok(())
    }

    /// Moves some entries, in one batch unless one of them is in the way; says whether any moved, or
    /// was changed by somebody else.
    async fn move_some(&self, entries: &[(String, Stored)]) -> Result<bool, Error> {
        if entries.is_empty() {
            return Ok(false);
        }
        match self.storage.commit(moving(entries)).await {
            Ok(()) => return Ok(true),
            Err(StorageError::Precondition(_)) => {}
            Err(error) => return Err(error.into()),
        }
        let mut moved = false;
        for entry in entries {
            let (key, _) = entry;
            match self.storage.commit(moving(std::slice::from_ref(entry))).await {
                Ok(()) => moved = true,
                Err(StorageError::Precondition(_)) => {
                    if self.is_there(&new_key(key)).await? && self.is_there(key).await? {
                        self.left.name(
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
    async fn is_there(&self, key: &str) -> Result<bool, StorageError> {
        match self.storage.get(key).await {
            Ok(found) => Ok(found.is_some()),
            Err(StorageError::Damaged(_)) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// The first old shelves, as folders.
    async fn old_shelves(&self, limit: usize) -> Result<Vec<String>, StorageError> {
        let mut shelves: Vec<String> = Vec::new();
        while shelves.len() < limit {
            let after = shelves.last().map(String::as_str);
            let page = self.storage.list("", after, limit.min(PAGE)).await?;
            let is_last = page.len() < limit.min(PAGE);
            let found = shelves.len();
            shelves.extend(page.into_iter().filter(|name| name.starts_with(APART_BEFORE)));
            if is_last || shelves.len() == found {
                break;
            }
        }
        shelves.truncate(limit);
        Ok(shelves)
    }

    /// A batch, with each condition asked of the key at which the entry is, and with each changed entry
    /// removed at its old key.
    async fn translated(&self, batch: StorageBatch) -> Result<StorageBatch, StorageError> {
        let mut both = StorageBatch::default();
        for condition in batch.preconditions {
            let Some(old) = old_key(condition.key()) else {
                both.preconditions.push(condition);
                continue;
            };
            if self.storage.get(condition.key()).await?.is_some() {
                both.preconditions.push(condition);
                continue;
            }
            if self.storage.get(&old).await?.is_none() {
                both.preconditions.extend([Precondition::Absent(old), condition]);
                continue;
            }
            both.preconditions.extend(match condition {
                Precondition::Absent(key) => return Err(StorageError::Precondition(key)),
                Precondition::Exists(key) => [Precondition::Exists(old), Precondition::Absent(key)],
                Precondition::Unchanged(key, version) => {
                    [Precondition::Unchanged(old, version), Precondition::Absent(key)]
                }
            });
        }
        for change in batch.changes {
            let old = old_key(change.key());
            both.changes.push(change);
            both.changes.extend(old.map(|key| Change::Delete { key }));
        }
        Ok(both)
    }

    /// The root's names, the old shelves among them under their new names.
    async fn root(&self, after: Option<&str>, limit: usize) -> Result<Vec<String>, StorageError> {
        let behind = after.map_or(BEHIND_OLD, |after| after.max(BEHIND_OLD));
        let mut names = self.storage.list("", Some(behind), limit).await?;
        let old = self.old_shelves(usize::MAX).await?;
        add_names(&mut names, old.iter().map(|shelf| new_key(shelf)).collect(), after, limit);
        Ok(names)
    }
}

#[async_trait]
impl Storage for MovedKeys {
    async fn get(&self, key: &str) -> Result<Option<Stored>, StorageError> {
        let old = match old_key(key) {
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
            return self.root(after, limit).await;
        }
        let Some(old) = old_key(prefix) else {
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
        let batch = self.translated(batch).await?;
        self.storage.commit(batch).await.map_err(|error| match error {
            StorageError::Precondition(key) => StorageError::Precondition(new_key(&key)),
            other => other,
        })
    }

    fn is_atomic(&self) -> bool {
        self.storage.is_atomic()
    }
}

/// The key, or folder, that an entry had before, if it lies apart.
fn old_key(key: &str) -> Option<String> {
    key.strip_prefix(APART).map(|rest| format!("{APART_BEFORE}{rest}"))
}

/// The key that an entry has now.
pub(crate) fn new_key(key: &str) -> String {
    match key.strip_prefix(APART_BEFORE) {
        Some(rest) => format!("{APART}{rest}"),
        None => key.to_owned(),
    }
}

/// The batch that moves entries: those that were not changed meanwhile, to where nothing is.
fn moving(entries: &[(String, Stored)]) -> StorageBatch {
    let mut batch = StorageBatch::default();
    for (key, stored) in entries {
        let new = new_key(key);
        batch.preconditions.push(unchanged(key, Some(stored)));
        batch.preconditions.push(Precondition::Absent(new.clone()));
        let Stored { value, seal_wrap, .. } = stored.clone();
        batch.changes.push(Change::Put { key: new, value, seal_wrap });
        batch.changes.push(Change::Delete { key: key.clone() });
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
