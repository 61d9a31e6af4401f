//! Taking over what a mount kept as free-form documents, when it is opened as an engine that keeps
//! records instead.
//!
//! Documents move a few at a time: what a document becomes and its removal are one batch, so a
//! document is there once, before and after, wherever the process dies; the next start goes on.
//! Requests are refused meanwhile. Records lie apart from all that clients can name, so what was
//! moved is never taken for what is still to be moved, and no document's name is in the way of a
//! record. A document that is damaged ([`StorageError::Damaged`]), or whose record is there already, stays
//! where it is and is named in the log; the mount serves without it, and the next instance tries again.
//! After any other error nothing is left behind: the mount waits, and the next periodic call goes on.
//! Under hosts without conditions the mount waits for a damaged document, too: there a record of its
//! name, once written, could not be told from one that the document became.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;

use crate::engine::{
    RECORD_PREFIX, Storage, StorageBatch, StorageChange, StorageEntry, StorageError,
    StoragePrecondition,
};
use crate::records::{RecordKey, unchanged_precondition};
use crate::stored_entries::{AFTER_RECORDS, EntryScanner, UnmovableEntries};
use crate::{Context, Error};

/// What a document becomes: the record that stands for it, and others.
type ConvertDocument = dyn Fn(&Context, &str, Bytes) -> Vec<(RecordKey, Bytes)> + Send + Sync;

/// How documents are taken over.
#[derive(Clone)]
pub(crate) struct Migration {
    /// Told to those who ask meanwhile.
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

/// Whether an instance may serve.
#[derive(Debug, Default)]
pub(crate) struct MigrationGate {
    open: AtomicBool,
    /// The last attempt to take documents over failed.
    failed: AtomicBool,
    /// The documents that can't be taken over.
    unmovable: UnmovableEntries,
}

impl MigrationGate {
    pub(crate) fn open(&self) {
        self.open.store(true, Ordering::Release);
    }

    pub(crate) fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    /// Leaves the next attempt to the periodic call, so that requests don't begin one each.
    pub(crate) fn mark_failed(&self) {
        self.failed.store(true, Ordering::Release);
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }
}

/// Sorts before every key that is apart. No document's name begins with it.
const BEFORE_RECORDS: &str = "\u{fffb}\u{10ffff}";

/// Whether there are documents that are still to be taken over.
pub(crate) async fn is_needed(storage: &dyn Storage) -> Result<bool, Error> {
    match storage.list("", None, 1).await?.first() {
        None => Ok(false),
        Some(name) if !name.starts_with(RECORD_PREFIX) => Ok(true),
        Some(_) => Ok(!storage.list("", Some(AFTER_RECORDS), 1).await?.is_empty()),
    }
}

/// Whether there are records, so that this mount must not be opened as documents.
pub(crate) async fn has_records(storage: &dyn Storage) -> Result<bool, Error> {
    let first = storage.list("", Some(BEFORE_RECORDS), 1).await?;
    Ok(first.first().is_some_and(|name| name.starts_with(RECORD_PREFIX)))
}

impl Migration {
    /// Moves documents as long as `go_on` says so; `true` once all have moved that can be.
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

    /// Moves some documents, together unless one of them can't be; says whether any moved, or was
    /// changed by somebody else.
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
                        // Somebody changed it. It is looked at again.
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
                // A record that is there already is somebody else's, and stays.
                batch.preconditions.push(StoragePrecondition::Absent(key.clone()));
                batch.changes.push(StorageChange::Put { key, value, seal_wrap: stored.seal_wrap });
            }
            batch.changes.push(StorageChange::Delete { key: name.clone() });
        }
        if batch.changes.is_empty() { Ok(()) } else { storage.commit(batch).await }
    }

    /// Where a batch isn't whole, the record that stands for the document is written last: once it
    /// is there only the removal can be missing.
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
