//! Migration of a mount's free-form documents to records, when it is opened as an engine that
//! stores records.
//!
//! Documents are moved a few at a time. A document is replaced by its records and removed in one
//! batch, so it exists exactly once even if the process dies; the next start continues. Requests
//! are rejected meanwhile. Record keys can't be named by clients, so migrated data is never taken
//! for a document, and no document's name collides with a record.
//!
//! A document that is damaged ([`StorageError::Damaged`]), or whose record exists already, stays
//! where it is and is named in the log; the mount serves requests without it, and the next instance
//! tries again. After any other error no document is skipped: requests stay rejected, and the next
//! periodic call tries again. Under hosts without preconditions the same holds for a damaged
//! document, because a record written under its name meanwhile could not be distinguished from one
//! that the document became.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use strongroom_engine::{
    RECORD_PREFIX, Storage, StorageBatch, StorageChange, StorageEntry, StorageError,
    StoragePrecondition,
};

use crate::records::{RecordKey, unchanged_precondition};
use crate::stored_entries::{AFTER_RECORDS, EntryScanner, UnmovableEntries};
use crate::{Context, Error};

/// Returns the records that replace a document, the one that represents it first.
type ConvertDocument = dyn Fn(&Context, &str, Bytes) -> Vec<(RecordKey, Bytes)> + Send + Sync;

/// How documents are migrated.
#[derive(Clone)]
pub(crate) struct Migration {
    /// The error message for requests during the migration.
    pub(crate) unavailable_message: &'static str,
    pub(crate) convert: Arc<ConvertDocument>,
}

impl fmt::Debug for Migration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Migration")
            .field("meanwhile", &self.unavailable_message)
            .finish_non_exhaustive()
    }
}

/// Whether an instance may serve requests.
#[derive(Debug, Default)]
pub(crate) struct MigrationGate {
    open: AtomicBool,
    /// Whether the last attempt to migrate failed.
    failed: AtomicBool,
    /// The documents that can't be migrated.
    unmovable: UnmovableEntries,
}

impl MigrationGate {
    pub(crate) fn open(&self) {
        self.open.store(true, Ordering::Release);
    }

    pub(crate) fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    /// Leaves the next attempt to the periodic call, so that not every request starts one.
    pub(crate) fn mark_failed(&self) {
        self.failed.store(true, Ordering::Release);
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }
}

/// Sorts before every record key. No document's name begins with it.
const BEFORE_RECORDS: &str = "\u{fffb}\u{10ffff}";

/// Whether there are documents that still have to be migrated.
pub(crate) async fn is_needed(storage: &dyn Storage) -> Result<bool, Error> {
    match storage.list("", None, 1).await?.first() {
        None => Ok(false),
        Some(name) if !name.starts_with(RECORD_PREFIX) => Ok(true),
        Some(_) => Ok(!storage.list("", Some(AFTER_RECORDS), 1).await?.is_empty()),
    }
}

/// Whether there are records, in which case the mount must not be opened as free-form documents.
pub(crate) async fn has_records(storage: &dyn Storage) -> Result<bool, Error> {
    let first = storage.list("", Some(BEFORE_RECORDS), 1).await?;
    Ok(first.first().is_some_and(|name| name.starts_with(RECORD_PREFIX)))
}

impl Migration {
    /// Migrates documents while `go_on` returns true. Returns `true` once all that can be migrated
    /// have been.
    pub(crate) async fn run(
        &self,
        context: &Context,
        storage: &dyn Storage,
        gate: &MigrationGate,
        go_on: impl Fn() -> bool,
    ) -> Result<bool, Error> {
        let left = &gate.unmovable;
        loop {
            let (mut moved, mut damaged) = (false, None);
            let mut walk = EntryScanner::new(storage, "");
            loop {
                if !go_on() {
                    return Ok(false);
                }
                let entries = walk.next_batch().await?;
                if entries.is_empty() {
                    break;
                }
                left.log_unreadable(&entries.unreadable);
                damaged = damaged.or(entries.unreadable.into_iter().next());
                moved |= self.move_batch(context, storage, &entries.entries, left).await?;
            }
            match damaged {
                Some((_, error)) if !moved && !storage.is_atomic() => return Err(error.into()),
                _ if !moved => return Ok(true),
                _ => {}
            }
        }
    }

    /// Migrates some documents, together unless one of them can't be. Returns whether any was
    /// migrated, or was changed by others meanwhile.
    async fn move_batch(
        &self,
        context: &Context,
        storage: &dyn Storage,
        found: &[(String, StorageEntry)],
        left: &UnmovableEntries,
    ) -> Result<bool, Error> {
        if !storage.is_atomic() {
            self.move_one_by_one(context, storage, found).await?;
            return Ok(!found.is_empty());
        }
        match self.move_in_one_batch(context, storage, found).await {
            Ok(()) => return Ok(!found.is_empty()),
            Err(StorageError::Precondition(_)) => {}
            Err(error) => return Err(error.into()),
        }
        let mut moved = false;
        for document in found {
            match self.move_in_one_batch(context, storage, std::slice::from_ref(document)).await {
                Ok(()) => moved = true,
                Err(StorageError::Precondition(_)) => {
                    let (name, seen) = document;
                    let now = storage.get(name).await?;
                    if now.is_some_and(|now| now.version == seen.version) {
                        left.log_once(name, "there is a record of its name already");
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

    async fn move_in_one_batch(
        &self,
        context: &Context,
        storage: &dyn Storage,
        found: &[(String, StorageEntry)],
    ) -> Result<(), StorageError> {
        let mut batch = StorageBatch::default();
        for (name, stored) in found {
            batch.preconditions.push(unchanged_precondition(name, Some(stored)));
            let records = (self.convert)(context, name, stored.value.clone());
            for (key, value) in records {
                let key = key.as_str().to_owned();
                // A record that exists already isn't overwritten.
                batch.preconditions.push(StoragePrecondition::Absent(key.clone()));
                batch.changes.push(StorageChange::Put { key, value, seal_wrap: stored.seal_wrap });
            }
            batch.changes.push(StorageChange::Delete { key: name.clone() });
        }
        if batch.changes.is_empty() { Ok(()) } else { storage.commit(batch).await }
    }

    /// On hosts without atomic batches, the record that represents the document is written last:
    /// once it exists, only the removal of the document can be missing.
    async fn move_one_by_one(
        &self,
        context: &Context,
        storage: &dyn Storage,
        found: &[(String, StorageEntry)],
    ) -> Result<(), Error> {
        for (name, stored) in found {
            let mut records = (self.convert)(context, name, stored.value.clone());
            records.reverse();
            let there = match records.last() {
                Some((head, _)) => storage.get(head.as_str()).await?.is_some(),
                None => false,
            };
            for (key, value) in records.into_iter().filter(|_| !there) {
                let put = StorageBatch::put(key.as_str(), value, stored.seal_wrap);
                storage.commit(put).await?;
            }
            storage.commit(StorageBatch::delete(name.as_str())).await?;
        }
        Ok(())
    }
}
