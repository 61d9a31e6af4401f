//! Taking over what a mount kept as free-form documents, when it is opened as an engine that keeps
//! records instead.
//!
//! Documents move a few at a time: what a document becomes and its removal are one batch, so a
//! document is there once, before and after, wherever the process dies; the next start goes on.
//! Requests are refused meanwhile. Records lie apart from all that clients can name, so what was
//! moved is never taken for what is still to be moved, and no document's name is in the way of a
//! record.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;

use crate::engine::{APART, Change, Precondition, Storage, StorageBatch, Stored};
use crate::records::{Key, unchanged};
use crate::stored_entries::{BEHIND_APART, first_below};
use crate::{Context, Error};

/// What a document becomes: the record that stands for it, and others.
type Convert = dyn Fn(&Context, &str, Bytes) -> Vec<(Key, Bytes)> + Send + Sync;

/// How documents are taken over.
#[derive(Clone)]
pub(crate) struct Takeover {
    /// Told to those who ask meanwhile.
    pub(crate) meanwhile: &'static str,
    pub(crate) convert: Arc<Convert>,
}

impl fmt::Debug for Takeover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Takeover").field("meanwhile", &self.meanwhile).finish_non_exhaustive()
    }
}

/// Whether an instance may serve.
#[derive(Debug, Default)]
pub(crate) struct Gate(AtomicBool);

impl Gate {
    pub(crate) fn open(&self) {
        self.0.store(true, Ordering::Release);
    }

    pub(crate) fn is_open(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Sorts before every key that is apart. No document's name begins with it.
const BEFORE_APART: &str = "\u{fffb}\u{10ffff}";

/// Whether there are documents of before.
pub(crate) async fn is_needed(storage: &dyn Storage) -> Result<bool, Error> {
    match storage.list("", None, 1).await?.first() {
        None => Ok(false),
        Some(name) if !name.starts_with(APART) => Ok(true),
        Some(_) => Ok(!storage.list("", Some(BEHIND_APART), 1).await?.is_empty()),
    }
}

/// Whether there are records, so that this mount must not be opened as documents.
pub(crate) async fn has_records(storage: &dyn Storage) -> Result<bool, Error> {
    let first = storage.list("", Some(BEFORE_APART), 1).await?;
    Ok(first.first().is_some_and(|name| name.starts_with(APART)))
}

impl Takeover {
    /// Moves some documents; `false` if there were none.
    pub(crate) async fn step(
        &self,
        context: &Context,
        storage: &dyn Storage,
    ) -> Result<bool, Error> {
        let found = first_below(storage, "").await?;
        if storage.is_atomic() {
            self.move_together(context, storage, &found).await?;
        } else {
            self.move_singly(context, storage, &found).await?;
        }
        Ok(!found.is_empty())
    }

    async fn move_together(
        &self,
        context: &Context,
        storage: &dyn Storage,
        found: &[(String, Stored)],
    ) -> Result<(), Error> {
        let mut batch = StorageBatch::default();
        for (name, stored) in found {
            batch.preconditions.push(unchanged(name, Some(stored)));
            let records = (self.convert)(context, name, stored.value.clone());
            for (key, value) in records {
                let key = key.as_str().to_owned();
                // A record that is there already is somebody else's, and stays.
                batch.preconditions.push(Precondition::Absent(key.clone()));
                batch.changes.push(Change::Put { key, value, seal_wrap: stored.seal_wrap });
            }
            batch.changes.push(Change::Delete { key: name.clone() });
        }
        if batch.changes.is_empty() { Ok(()) } else { Ok(storage.commit(batch).await?) }
    }

    /// Where a batch isn't whole, the record that stands for the document is written last: once it
    /// is there only the removal can be missing.
    async fn move_singly(
        &self,
        context: &Context,
        storage: &dyn Storage,
        found: &[(String, Stored)],
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
