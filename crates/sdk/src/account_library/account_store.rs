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
use strongroom_engine::{StorageBatch, StorageChange};

use super::account_record::AccountRecord;
use crate::records::RecordKey;
use crate::sealed_record::{SealedRecord, encode_group};
use crate::{Context, Error};

/// The bucket of records with the states of accounts.
pub(crate) const LIBRARY_BUCKET: &str = "library";
/// The bucket of the index by the names of check-outs.
const INDEX_BUCKET: &str = "libraryout";

/// An account with the version of its record.
pub(super) struct StoredAccount {
    pub(super) record: AccountRecord,
    stored: SealedRecord,
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
        const UNREADABLE: &str = "the state of an account can't be read by this version";
        let key = account_key(account);
        let found = SealedRecord::find_group(self.context, &key, UNREADABLE).await?;
        Ok(found.map(|(stored, record)| StoredAccount { record, stored }))
    }

    /// Stores a state that was read before, or a new one, together with a change of the index.
    pub(super) async fn put(
        &self,
        account: &str,
        stored: &mut StoredAccount,
        index: IndexChange<'_>,
    ) -> Result<(), Error> {
        let (added, removed) = match index {
            IndexChange::Unchanged => (None, None),
            IndexChange::Add(check_out) => {
                let value = Bytes::copy_from_slice(account.as_bytes());
                let key = index_key(check_out);
                (Some(StorageChange::Put { key, value, seal_wrap: false }), None)
            }
            IndexChange::Remove(check_out) => {
                (None, Some(StorageChange::Delete { key: index_key(check_out) }))
            }
        };
        let value = encode_group(&stored.record);
        match stored.stored.replace(self.context, value, added, removed).await? {
            true => Ok(()),
            false => Err(Error::write_conflict()),
        }
    }

    /// Deletes the state of an account that was read before.
    pub(super) async fn delete(&self, stored: &StoredAccount) -> Result<(), Error> {
        let check_out = Some(&stored.record.check_out).filter(|check_out| !check_out.is_empty());
        let removed = check_out.map(|it| StorageChange::Delete { key: index_key(it) });
        match stored.stored.delete(self.context, removed).await? {
            true => Ok(()),
            false => Err(Error::write_conflict()),
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
    pub(super) fn new(account: &str, record: AccountRecord) -> Self {
        Self { record, stored: SealedRecord::new(&account_key(account)) }
    }
}

fn account_key(account: &str) -> RecordKey {
    RecordKey::new(LIBRARY_BUCKET, account)
}

fn index_key(check_out: &str) -> String {
    RecordKey::new(INDEX_BUCKET, check_out).as_str().to_owned()
}
