//! [`SealedRecord`]: a record under the seal that changes only as long as it is as it was read.

use bytes::Bytes;
use strongroom_engine::{
    StorageBatch, StorageChange, StorageEntry, StorageError, StoragePrecondition,
};
use strongroom_schema::field::build_object;
use strongroom_types::Fields;

use crate::field::FieldGroup;
use crate::records::{RecordKey, unchanged_precondition};
use crate::{Context, Error};

/// A record of the SDK's own, such as the state of an account, as it is stored.
pub(crate) struct SealedRecord {
    key: String,
    stored: Option<StorageEntry>,
}

impl SealedRecord {
    /// A record that isn't stored yet.
    pub(crate) fn new(key: &RecordKey) -> Self {
        Self { key: key.as_str().to_owned(), stored: None }
    }

    /// Reads a record; `None` if there is none. The error says `unreadable` if its value isn't an
    /// object.
    pub(crate) async fn find(
        context: &Context,
        key: &str,
        unreadable: &'static str,
    ) -> Result<Option<(Self, Fields)>, Error> {
        let Some(stored) = context.services().mount.storage.get(key).await? else {
            return Ok(None);
        };
        let fields = Fields::from_trusted(&stored.value);
        let fields = fields.map_err(|_| Error::internal(unreadable))?;
        Ok(Some((Self { key: key.to_owned(), stored: Some(stored) }, fields)))
    }

    /// As [`find`](Self::find), for a record that [`encode_group`] has written.
    pub(crate) async fn find_group<G: FieldGroup>(
        context: &Context,
        key: &RecordKey,
        unreadable: &'static str,
    ) -> Result<Option<(Self, G)>, Error> {
        let Some((record, fields)) = Self::find(context, key.as_str(), unreadable).await? else {
            return Ok(None);
        };
        let group = G::from_fields(&fields).map_err(|_| Error::internal(unreadable))?;
        Ok(Some((record, group)))
    }

    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// The condition that the record is as it was read.
    pub(crate) fn unchanged(&self) -> StoragePrecondition {
        unchanged_precondition(&self.key, self.stored.as_ref())
    }

    /// Stores a value under the seal, in one batch with other changes; on hosts without batches
    /// `before` is applied before it, and `after` afterwards. Returns `false` if somebody else has
    /// changed the record. Then nothing was written, or on a host without preconditions, what is stored
    /// is unknown.
    pub(crate) async fn replace(
        &mut self,
        context: &Context,
        value: Bytes,
        before: Option<StorageChange>,
        after: Option<StorageChange>,
    ) -> Result<bool, Error> {
        let put =
            StorageChange::Put { key: self.key.clone(), value: value.clone(), seal_wrap: true };
        let changes = before.into_iter().chain([put]).chain(after).collect();
        if !self.commit(context, changes).await? {
            return Ok(false);
        }
        let stored = context.services().mount.storage.get(&self.key).await?;
        // Somebody else may have written in between, on a host without preconditions.
        let Some(stored) = stored.filter(|stored| stored.value == value) else { return Ok(false) };
        self.stored = Some(stored);
        Ok(true)
    }

    /// Deletes the record, in one batch with another change. Returns `false`, without a change, if
    /// somebody else has changed it.
    pub(crate) async fn delete(
        &self,
        context: &Context,
        after: Option<StorageChange>,
    ) -> Result<bool, Error> {
        let delete = StorageChange::Delete { key: self.key.clone() };
        self.commit(context, [delete].into_iter().chain(after).collect()).await
    }

    async fn commit(&self, context: &Context, changes: Vec<StorageChange>) -> Result<bool, Error> {
        let storage = &context.services().mount.storage;
        let mut batch = StorageBatch { preconditions: Vec::new(), changes };
        if storage.is_atomic() {
            batch.preconditions.push(self.unchanged());
        }
        match storage.commit(batch).await {
            Ok(()) => Ok(true),
            Err(StorageError::Precondition(_)) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

/// The value of a record with these fields, secrets included.
pub(crate) fn encode_group(group: &impl FieldGroup) -> Bytes {
    build_object(|out| group.write_stored(out)).into_bytes()
}
