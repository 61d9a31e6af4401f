//! [`AccountStore`]: the stored states of a mount's accounts, and the queue of their rotations.
//!
//! ```text
//! static/<path of the role>              the state of the account, under the seal
//! staticdue/<folder of the role>/<time>/<name of the role>
//!                                        when its rotation is tried next; time as 16 hex digits
//! ```
//!
//! Both are written in one batch. On hosts without atomic storage the new place in the queue is written
//! first and the old one is deleted last, so that no rotation is lost if the process dies in between;
//! an outdated place is deleted when it is due.

use bytes::Bytes;
use strongroom_engine::{StorageBatch, StorageChange, StorageEntry, StorageError};
use strongroom_types::{Fields, Timestamp};

use super::account_state::AccountState;
use crate::field::FieldGroup;
use crate::records::{RecordKey, unchanged_precondition};
use crate::{Context, Error};

/// The bucket of records with the states of accounts.
pub(crate) const ACCOUNT_BUCKET: &str = "static";
/// The bucket of records with the queue.
pub(crate) const DUE_BUCKET: &str = "staticdue";

/// A state with the version of its record.
pub(super) struct StoredAccount {
    pub(super) state: AccountState,
    entry: Option<StorageEntry>,
    /// When the rotation is tried, according to the stored queue; `None` for a state that isn't
    /// stored yet.
    queued_at: Option<Timestamp>,
}

/// The accounts of one mount.
pub(super) struct AccountStore<'c> {
    context: &'c Context,
}

/// A place in the queue.
pub(super) struct QueueEntry {
    pub(super) key: String,
    pub(super) due: Timestamp,
    /// The name of the role.
    pub(super) name: String,
}

impl<'c> AccountStore<'c> {
    pub(super) fn new(context: &'c Context) -> Self {
        Self { context }
    }

    /// Reads the state of an account by the path of its role.
    pub(super) async fn get(&self, role_path: &str) -> Result<Option<StoredAccount>, Error> {
        let key = account_key(role_path);
        let Some(entry) = self.context.services().mount.storage.get(&key).await? else {
            return Ok(None);
        };
        let unreadable =
            || Error::internal("the state of an account can't be read by this version");
        let fields = Fields::from_trusted(&entry.value).map_err(|_| unreadable())?;
        let state = AccountState::from_fields(&fields).map_err(|_| unreadable())?;
        let queued_at = Some(state.next_attempt);
        Ok(Some(StoredAccount { state, entry: Some(entry), queued_at }))
    }

    /// Stores a state that was read before, or a new one, together with its place in the queue.
    pub(super) async fn put(
        &self,
        role_path: &str,
        stored: &mut StoredAccount,
    ) -> Result<(), Error> {
        let storage = &self.context.services().mount.storage;
        let key = account_key(role_path);
        let due = stored.state.next_attempt;
        let mut batch = StorageBatch::default();
        if stored.queued_at != Some(due) {
            let place = due_key(due, role_path);
            let value = Bytes::from_static(b"1");
            batch.changes.push(StorageChange::Put { key: place, value, seal_wrap: false });
        }
        let value = stored.state.encode();
        batch.changes.push(StorageChange::Put { key: key.clone(), value, seal_wrap: true });
        if let Some(before) = stored.queued_at.filter(|before| *before != due) {
            batch.changes.push(StorageChange::Delete { key: due_key(before, role_path) });
        }
        if storage.is_atomic() {
            batch.preconditions.push(unchanged_precondition(&key, stored.entry.as_ref()));
        }
        match storage.commit(batch).await {
            Ok(()) => {}
            Err(StorageError::Precondition(_)) => return Err(Error::write_conflict()),
            Err(error) => return Err(error.into()),
        }
        let entry = storage.get(&key).await?;
        // Another instance may have stored a state in between, on a host without preconditions.
        match entry.filter(|entry| entry.value == stored.state.encode()) {
            Some(entry) => stored.entry = Some(entry),
            None => return Err(Error::write_conflict()),
        }
        stored.queued_at = Some(due);
        Ok(())
    }

    /// Deletes the state of an account and its place in the queue, unless somebody else changed it
    /// since it was read.
    pub(super) async fn delete(&self, role_path: &str) -> Result<(), Error> {
        let Some(stored) = self.get(role_path).await? else { return Ok(()) };
        let storage = &self.context.services().mount.storage;
        let place = due_key(stored.state.next_attempt, role_path);
        let changes = vec![
            StorageChange::Delete { key: account_key(role_path) },
            StorageChange::Delete { key: place },
        ];
        let mut batch = StorageBatch { preconditions: Vec::new(), changes };
        if storage.is_atomic() {
            let key = account_key(role_path);
            batch.preconditions.push(unchanged_precondition(&key, stored.entry.as_ref()));
        }
        match storage.commit(batch).await {
            Err(StorageError::Precondition(_)) => Err(Error::write_conflict()),
            done => Ok(done?),
        }
    }

    /// The first places in the queue of the roles in `folder`, in the order of their times, at most
    /// `limit`.
    pub(super) async fn first_in_queue(
        &self,
        folder: &str,
        limit: usize,
    ) -> Result<Vec<QueueEntry>, Error> {
        let storage = &self.context.services().mount.storage;
        let queue = RecordKey::new(DUE_BUCKET, folder);
        let mut found = Vec::new();
        for time in storage.list(queue.as_str(), None, limit).await? {
            let Some(due) = parse_time(time.trim_end_matches('/')) else { continue };
            let at = format!("{}{time}", queue.as_str());
            for name in storage.list(&at, None, limit).await? {
                found.push(QueueEntry { key: format!("{at}{name}"), due, name });
                if found.len() >= limit {
                    return Ok(found);
                }
            }
        }
        Ok(found)
    }

    /// Deletes a place in the queue that is outdated.
    pub(super) async fn delete_place(&self, entry: &QueueEntry) -> Result<(), Error> {
        let batch = StorageBatch::delete(entry.key.clone());
        Ok(self.context.services().mount.storage.commit(batch).await?)
    }
}

impl StoredAccount {
    /// A state that isn't stored yet.
    pub(super) fn new(state: AccountState) -> Self {
        Self { state, entry: None, queued_at: None }
    }
}

fn account_key(role_path: &str) -> String {
    RecordKey::new(ACCOUNT_BUCKET, role_path).as_str().to_owned()
}

/// Times before 1970 are stored as the epoch, since they are due anyway.
fn due_key(due: Timestamp, role_path: &str) -> String {
    let (folder, name) = role_path.rsplit_once('/').unwrap_or(("", role_path));
    let place = format!("{folder}/{:016x}/{name}", due.as_nanos().max(0));
    RecordKey::new(DUE_BUCKET, &place).as_str().to_owned()
}

fn parse_time(text: &str) -> Option<Timestamp> {
    const DIGITS: usize = 16;
    let nanos = u64::from_str_radix(text, 16).ok().filter(|_| text.len() == DIGITS)?;
    Some(Timestamp::from_nanos(i64::try_from(nanos).ok()?))
}
