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

use crate::engine::{Change, Precondition, Storage, StorageBatch, Stored};
use crate::records::{Key, unchanged};
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

/// Documents in one batch, and their bytes.
const BATCH: usize = 64;
const BATCH_BYTES: usize = 512 << 10;
/// Names in one look at a folder.
const PAGE: usize = 256;
/// Sorts behind every key that is apart, and before every other.
const BEHIND_APART: &str = "\u{2}";

/// Whether there are documents of before.
pub(crate) async fn is_needed(storage: &dyn Storage) -> Result<bool, Error> {
    Ok(!storage.list("", Some(BEHIND_APART), 1).await?.is_empty())
}

/// Whether there are records, so that this mount must not be opened as documents.
pub(crate) async fn has_records(storage: &dyn Storage) -> Result<bool, Error> {
    let first = storage.list("", None, 1).await?;
    Ok(first.first().is_some_and(|name| name.starts_with(crate::engine::APART)))
}

impl Takeover {
    /// Moves some documents; `false` if there were none.
    pub(crate) async fn step(
        &self,
        context: &Context,
        storage: &dyn Storage,
    ) -> Result<bool, Error> {
        let found = next(storage).await?;
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

/// The next documents, in whatever folders they lie.
async fn next(storage: &dyn Storage) -> Result<Vec<(String, Stored)>, Error> {
    let (mut found, mut bytes) = (Vec::new(), 0);
    // Folders that were begun, each with the last name that was looked at.
    let mut path = vec![(String::new(), BEHIND_APART.to_owned())];
    while let Some((folder, after)) = path.pop() {
        let names = storage.list(&folder, Some(&after), PAGE).await?;
        let full = names.len() == PAGE;
        let mut inner = None;
        let mut last = after;
        for name in names {
            last.clone_from(&name);
            let key = format!("{folder}{name}");
            if name.ends_with('/') {
                inner = Some(key);
                break;
            }
            let Some(stored) = storage.get(&key).await? else { continue };
            bytes += stored.value.len();
            found.push((key, stored));
            if found.len() >= BATCH || bytes >= BATCH_BYTES {
                return Ok(found);
            }
        }
        if full || inner.is_some() {
            path.push((folder, last));
        }
        if let Some(inner) = inner {
            path.push((inner, String::new()));
        }
    }
    Ok(found)
}
