//! [`AccountStore`]: the stored states of a mount's accounts, and the queue of their rotations.
//!
//! ```text
//! static/<path of the role>              the state of the account, under the seal
//! staticdue/<folder of the role>/<time>/<name of the role>
//!                                        when its rotation is tried next; time as 16 hex digits
//! ```
//!
//! Both are written in one batch, and with the document of the role if that changes as well. On hosts without atomic storage the new place in the queue is written
//! first and the old one is deleted last, so that no rotation is lost if the process dies in between;
//! an outdated place is deleted when it is due.

use bytes::Bytes;
use strongroom_engine::{StorageBatch, StorageChange, StorageError};
use strongroom_types::Timestamp;

use super::account_state::AccountState;
use crate::linked_records::LinkedRecords;
use crate::records::RecordKey;
use crate::sealed_record::{SealedRecord, encode_group};
use crate::{Context, Error};

/// The bucket of records with the states of accounts.
pub(super) const ACCOUNT_BUCKET: &str = "static";
/// The bucket of records with the queue.
const DUE_BUCKET: &str = "staticdue";

/// A state with the version of its record.
pub(super) struct StoredAccount {
    pub(super) state: AccountState,
    record: SealedRecord,
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
        const UNREADABLE: &str = "the state of an account can't be read by this version";
        let key = account_key(role_path);
        let found = SealedRecord::find_group(self.context, &key, UNREADABLE).await?;
        let known = |(record, state): (SealedRecord, AccountState)| {
            let queued_at = Some(state.next_attempt);
            StoredAccount { state, record, queued_at }
        };
        Ok(found.map(known))
    }

    /// Stores a state that was read before, or a new one, together with its place in the queue.
    pub(super) async fn put(
        &self,
        role_path: &str,
        stored: &mut StoredAccount,
    ) -> Result<(), Error> {
        let (due, added, removed) = moved_place(role_path, stored);
        let value = encode_group(&stored.state);
        if !stored.record.replace(self.context, value, added, removed).await? {
            return Err(Error::write_conflict());
        }
        stored.queued_at = Some(due);
        Ok(())
    }

    /// Adds a state and its place in the queue to the batch of its role. Afterwards it must be read
    /// again.
    pub(super) fn add_write(role_path: &str, stored: &StoredAccount, records: &mut LinkedRecords) {
        let (_, added, removed) = moved_place(role_path, stored);
        let key = stored.record.key().to_owned();
        let value = encode_group(&stored.state);
        let put = StorageChange::Put { key, value, seal_wrap: true };
        for change in added.into_iter().chain(removed) {
            records.add(None, change);
        }
        records.add(Some(stored.record.unchanged()), put);
    }

    /// Adds the removal of a state and of its place in the queue to the batch of its role.
    pub(super) fn add_removal(
        role_path: &str,
        stored: &StoredAccount,
        records: &mut LinkedRecords,
    ) {
        let delete = StorageChange::Delete { key: stored.record.key().to_owned() };
        records.add(Some(stored.record.unchanged()), delete);
        let key = due_key(stored.state.next_attempt, role_path);
        records.add(None, StorageChange::Delete { key });
    }

    /// Commits changes without a document. Fails if somebody else has changed one of the records since
    /// it was read.
    pub(super) async fn commit(&self, records: LinkedRecords) -> Result<(), Error> {
        let storage = &self.context.services().mount.storage;
        let batch = records.join(StorageBatch::default(), storage.is_atomic());
        match storage.commit(batch).await {
            Err(StorageError::Precondition(_)) => Err(Error::write_conflict()),
            outcome => Ok(outcome?),
        }
    }

    /// Deletes the state of an account and its place in the queue, unless somebody else changed it
    /// since it was read.
    pub(super) async fn delete(&self, role_path: &str) -> Result<(), Error> {
        let Some(stored) = self.get(role_path).await? else { return Ok(()) };
        let mut records = LinkedRecords::default();
        Self::add_removal(role_path, &stored, &mut records);
        self.commit(records).await
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
    pub(super) fn new(role_path: &str, state: AccountState) -> Self {
        Self { state, record: SealedRecord::new(&account_key(role_path)), queued_at: None }
    }
}

/// When the rotation of a state is tried, and how that changes the queue: the place that is added, and
/// the one that is removed.
fn moved_place(
    role_path: &str,
    stored: &StoredAccount,
) -> (Timestamp, Option<StorageChange>, Option<StorageChange>) {
    let due = stored.state.next_attempt;
    let is_moved = stored.queued_at != Some(due);
    let added = is_moved.then(|| StorageChange::Put {
        key: due_key(due, role_path),
        value: Bytes::from_static(b"1"),
        seal_wrap: false,
    });
    let before = stored.queued_at.filter(|_| is_moved);
    let removed = before.map(|before| StorageChange::Delete { key: due_key(before, role_path) });
    (due, added, removed)
}

fn account_key(role_path: &str) -> RecordKey {
    RecordKey::new(ACCOUNT_BUCKET, role_path)
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
