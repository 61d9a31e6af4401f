//! [`LibraryStore`]: the stored accounts of a mount's libraries, and the index of their check-outs.
//!
//! ```text
//! library/<account>             the state of the account, under the seal
//! libraryout/<check-out>        the account that was checked out under this unique name
//! ```
//!
//! A check-out writes both in one batch, and so does its end. On hosts without atomic storage the index
//! is written first and deleted last: an entry of it whose account is in another check-out is
//! outdated, and means nothing.

use bytes::Bytes;
use strongroom_engine::{StorageBatch, StorageChange, StorageEntry, StorageError};
use strongroom_types::Fields;

use super::account_record::AccountRecord;
use crate::field::FieldGroup;
use crate::records::{RecordKey, unchanged_precondition};
use crate::{Context, Error};

/// The bucket of records with the states of accounts.
pub(crate) const LIBRARY_BUCKET: &str = "library";
/// The bucket of the index by the names of check-outs.
const INDEX_BUCKET: &str = "libraryout";

/// An account with the version of its record.
pub(super) struct StoredAccount {
    pub(super) record: AccountRecord,
    entry: Option<StorageEntry>,
}

/// The change of the index that belongs to a change of an account.
pub(super) enum IndexChange<'n> {
    Unchanged,
    /// A check-out of this name begins.
    Add(&'n str),
    /// The check-out of this name has ended.
    Remove(&'n str),
}

/// The accounts of all libraries of one mount.
pub(super) struct LibraryStore<'c> {
    context: &'c Context,
}

impl<'c> LibraryStore<'c> {
    pub(super) fn new(context: &'c Context) -> Self {
        Self { context }
    }

    /// Reads the state of an account.
    pub(super) async fn get(&self, account: &str) -> Result<Option<StoredAccount>, Error> {
        let key = account_key(account);
        let Some(entry) = self.context.services().mount.storage.get(&key).await? else {
            return Ok(None);
        };
        let unreadable =
            || Error::internal("the state of an account can't be read by this version");
        let fields = Fields::from_trusted(&entry.value).map_err(|_| unreadable())?;
        let record = AccountRecord::from_fields(&fields).map_err(|_| unreadable())?;
        Ok(Some(StoredAccount { record, entry: Some(entry) }))
    }

    /// Stores a state that was read before, or a new one, together with a change of the index.
    pub(super) async fn put(
        &self,
        account: &str,
        stored: &mut StoredAccount,
        index: IndexChange<'_>,
    ) -> Result<(), Error> {
        let storage = &self.context.services().mount.storage;
        let key = account_key(account);
        let mut batch = StorageBatch::default();
        if let IndexChange::Add(check_out) = index {
            let value = Bytes::copy_from_slice(account.as_bytes());
            let key = index_key(check_out);
            batch.changes.push(StorageChange::Put { key, value, seal_wrap: false });
        }
        let value = stored.record.encode();
        batch.changes.push(StorageChange::Put { key: key.clone(), value, seal_wrap: true });
        if let IndexChange::Remove(check_out) = index {
            batch.changes.push(StorageChange::Delete { key: index_key(check_out) });
        }
        if storage.is_atomic() {
            batch.preconditions.push(unchanged_precondition(&key, stored.entry.as_ref()));
        }
        match storage.commit(batch).await {
            Ok(()) => {}
            Err(StorageError::Precondition(_)) => return Err(Error::write_conflict()),
            Err(error) => return Err(error.into()),
        }
        stored.entry = storage.get(&key).await?;
        Ok(())
    }

    /// Deletes the state of an account that was read before.
    pub(super) async fn delete(&self, account: &str, stored: &StoredAccount) -> Result<(), Error> {
        let storage = &self.context.services().mount.storage;
        let key = account_key(account);
        let mut batch = StorageBatch::delete(key.clone());
        if !stored.record.check_out.is_empty() {
            let key = index_key(&stored.record.check_out);
            batch.changes.push(StorageChange::Delete { key });
        }
        if storage.is_atomic() {
            batch.preconditions.push(unchanged_precondition(&key, stored.entry.as_ref()));
        }
        match storage.commit(batch).await {
            Err(StorageError::Precondition(_)) => Err(Error::write_conflict()),
            done => Ok(done?),
        }
    }

    /// The account that was checked out under a unique name; `None` if that check-out has ended.
    pub(super) async fn account_of(&self, check_out: &str) -> Result<Option<String>, Error> {
        let found = self.context.services().mount.storage.get(&index_key(check_out)).await?;
        Ok(found.map(|entry| String::from_utf8_lossy(&entry.value).into_owned()))
    }

    /// Deletes an outdated entry of the index.
    pub(super) async fn forget(&self, check_out: &str) -> Result<(), Error> {
        let batch = StorageBatch::delete(index_key(check_out));
        Ok(self.context.services().mount.storage.commit(batch).await?)
    }
}

impl StoredAccount {
    /// An account that isn't stored yet.
    pub(super) fn new(record: AccountRecord) -> Self {
        Self { record, entry: None }
    }
}

fn account_key(account: &str) -> String {
    RecordKey::new(LIBRARY_BUCKET, account).as_str().to_owned()
}

fn index_key(check_out: &str) -> String {
    RecordKey::new(INDEX_BUCKET, check_out).as_str().to_owned()
}
