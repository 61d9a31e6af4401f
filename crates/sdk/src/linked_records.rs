//! [`SeenRecord`] and [`LinkedRecords`]: records that a hook of a document changes in one batch with
//! the document.

use strongroom_engine::{StorageBatch, StorageChange, StorageEntry, StoragePrecondition};

use crate::Error;
use crate::records::{RecordKey, RecordStore, unchanged_precondition};

/// A record as a hook has read it. It may be changed only as long as it is as it was read.
#[derive(Debug)]
pub struct SeenRecord {
    key: RecordKey,
    stored: Option<StorageEntry>,
}

impl SeenRecord {
    pub(crate) async fn read(records: &RecordStore, key: &RecordKey) -> Result<Self, Error> {
        let stored = records.storage.get(key.as_str()).await?;
        Ok(Self { key: key.clone(), stored })
    }

    /// The value of the record; `None` if there is no such record.
    pub fn value(&self) -> Option<&[u8]> {
        self.stored.as_ref().map(|stored| &*stored.value)
    }
}

/// The changes of records that belong to a write or a delete of a document.
#[derive(Debug, Default)]
pub(crate) struct LinkedRecords {
    preconditions: Vec<StoragePrecondition>,
    puts: Vec<StorageChange>,
    deletes: Vec<StorageChange>,
}

impl LinkedRecords {
    pub(crate) fn put(&mut self, seen: SeenRecord, value: impl Into<bytes::Bytes>) {
        self.require_unchanged(&seen);
        let SeenRecord { key: RecordKey(key), .. } = seen;
        self.puts.push(StorageChange::Put { key, value: value.into(), seal_wrap: false });
    }

    pub(crate) fn delete(&mut self, seen: SeenRecord) {
        if seen.stored.is_some() {
            self.require_unchanged(&seen);
            let SeenRecord { key: RecordKey(key), .. } = seen;
            self.deletes.push(StorageChange::Delete { key });
        }
    }

    /// Adds a change of a record of the SDK's own, which is written before the document or, if it is a
    /// removal, applied after it.
    pub(crate) fn add(&mut self, precondition: Option<StoragePrecondition>, change: StorageChange) {
        self.preconditions.extend(precondition);
        match change {
            StorageChange::Delete { .. } => self.deletes.push(change),
            StorageChange::Put { .. } => self.puts.push(change),
        }
    }

    pub(crate) fn require_unchanged(&mut self, seen: &SeenRecord) {
        self.preconditions.push(unchanged_precondition(seen.key.as_str(), seen.stored.as_ref()));
    }

    /// Adds the changes to the batch of the document. On hosts without batches the changes are
    /// applied in their order: records are written before the document and removed after it.
    pub(crate) fn join(self, batch: StorageBatch, is_atomic: bool) -> StorageBatch {
        let StorageBatch { mut preconditions, changes } = batch;
        if is_atomic {
            preconditions.extend(self.preconditions);
        }
        let changes = self.puts.into_iter().chain(changes).chain(self.deletes).collect();
        StorageBatch { preconditions, changes }
    }
}
