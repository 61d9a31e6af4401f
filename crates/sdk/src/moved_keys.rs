//! [`MovedKeys`]: storage in which what lies apart has moved from one kind of key to another.
//!
//! Keys that are apart once began with [`APART_BEFORE`], which Vault and OpenBao don't store. They
//! begin with [`APART`] now, and a mount of before is taken along: from the first request or
//! periodic call on, its entries move in batches that are each whole, so that each is there once,
//! wherever the process dies; the next start goes on. Nobody waits for that. Until it is done a
//! read looks at both keys, the old one first, since entries only move away from it; a write goes to
//! the new key and removes the old one in the same batch.
//!
//! Hosts without atomic batches never took the old keys, so there is nothing to move.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;

use crate::Error;
use crate::engine::{
    APART, APART_BEFORE, Change, Precondition, Storage, StorageBatch, StorageError, Stored,
};
use crate::records::unchanged;
use crate::stored_entries::first_below;

/// The mount's storage with the new keys only, whatever is behind it.
#[derive(Debug)]
pub(crate) struct MovedKeys {
    storage: Arc<dyn Storage>,
    /// Nothing is left at an old key.
    done: AtomicBool,
}

/// Names in one look at a folder.
const PAGE: usize = 256;
/// Sorts behind every old key, and before every other.
const BEHIND_OLD: &str = "\u{2}";

impl MovedKeys {
    pub(crate) fn new(storage: Arc<dyn Storage>) -> Self {
        let done = AtomicBool::new(!storage.is_atomic());
        Self { storage, done }
    }

    /// Whether nothing is left to be moved.
    pub(crate) fn is_done(&self) -> bool {
        self.done.load(Ordering::Acquire)
    }

    /// Looks whether there is anything to be moved.
    pub(crate) async fn look(&self) -> Result<(), Error> {
        if !self.is_done() && self.old_shelves(1).await?.is_empty() {
            self.done.store(true, Ordering::Release);
        }
        Ok(())
    }

    /// Moves some entries; `false` if there were none.
    pub(crate) async fn step(&self) -> Result<bool, Error> {
        let Some(shelf) = self.old_shelves(1).await?.pop() else {
            self.done.store(true, Ordering::Release);
            return Ok(false);
        };
        let mut batch = StorageBatch::default();
        for (key, stored) in first_below(&*self.storage, &shelf).await? {
            batch.preconditions.push(unchanged(&key, Some(&stored)));
            let Stored { value, seal_wrap, .. } = stored;
            batch.changes.push(Change::Put { key: new_key(&key), value, seal_wrap });
            batch.changes.push(Change::Delete { key });
        }
        if batch.changes.is_empty() {
            // A folder that is shown and has nothing in it. The next start looks again.
            return Ok(false);
        }
        match self.storage.commit(batch).await {
            // Somebody wrote one of them, which moved it: those that are left come next.
            Ok(()) | Err(StorageError::Precondition(_)) => Ok(true),
            Err(error) => Err(error.into()),
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

    /// A batch, with each entry that still has its old key judged and removed there.
    async fn translated(&self, batch: StorageBatch) -> Result<StorageBatch, StorageError> {
        let mut both = StorageBatch::default();
        for condition in batch.preconditions {
            let Some(old) = old_key(condition.key()) else {
                both.preconditions.push(condition);
                continue;
            };
            if self.storage.get(&old).await?.is_none() {
                both.preconditions.extend([Precondition::Absent(old), condition]);
                continue;
            }
            both.preconditions.push(match condition {
                Precondition::Absent(key) => return Err(StorageError::Precondition(key)),
                Precondition::Exists(_) => Precondition::Exists(old),
                Precondition::Unchanged(_, version) => Precondition::Unchanged(old, version),
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
        if !self.is_done()
            && let Some(old) = old_key(key)
            && let Some(stored) = self.storage.get(&old).await?
        {
            return Ok(Some(stored));
        }
        self.storage.get(key).await
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

/// Adds further names to a page of names.
fn add_names(names: &mut Vec<String>, more: Vec<String>, after: Option<&str>, limit: usize) {
    names.extend(more.into_iter().filter(|name| after.is_none_or(|after| name.as_str() > after)));
    names.sort_unstable();
    names.dedup();
    names.truncate(limit);
}
