//! [`RecordStore`]: what an engine keeps in a form of its own, beside documents.
//!
//! A record is bytes under a [`RecordKey`] that no request path can name, so it never meets a document
//! whose name a client chose. There is no plain write: records change through [`RecordStore::change`],
//! which shows the record that all hangs on, and commits what follows from it in one batch, on the
//! condition that it is still what was shown. So an update can't get lost, and what belongs together
//! is on disk together or not at all.
//!
//! ```
//! # use strongroom_sdk::{Context, Error, records::{RecordChange, RecordKey}};
//! async fn count(context: &Context, name: &str) -> Result<u64, Error> {
//!     let (head, log) = (RecordKey::new("head", name), RecordKey::new("log", name));
//!     context
//!         .records()
//!         .change(head.clone(), move |seen| {
//!             let (head, log) = (head.clone(), log.clone());
//!             async move {
//!                 let before = seen.as_deref().map_or(0, |bytes| bytes.len() as u64);
//!                 let grown = vec![0; usize::try_from(before + 1).unwrap_or_default()];
//!                 Ok(RecordChange::to(before + 1).put(log, "counted").put(head, grown))
//!             }
//!         })
//!         .await
//! }
//! ```
//!
//! Under servers that have neither conditions nor batches (Vault, OpenBao) the changes of one record
//! are made one after another within this process, in the order in which they were given: say last
//! what makes the others count. Those servers also store no key with a character that doesn't show
//! (Go's `unicode.IsPrint`): the SDK's part of a key is such that they take it, and a record whose
//! name a client chose with, say, a no-break space in it fails there with the server's own error.
//!
//! Keys of records began with another character before, which those servers refuse. Entries of
//! before are read where they lie and moved, in batches, from the first request on.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use strongroom_types::KeyedSerialQueue;
use strongroom_types::path::check_segments;

use crate::Error;
use crate::engine::{
    self, RECORD_PREFIX, Storage, StorageBatch, StorageEntry, StorageError, StoragePrecondition,
    is_bucket_name,
};

/// Where a record lies: a name on a shelf.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordKey(String);

impl RecordKey {
    /// The key of `name` on a shelf. A shelf is named by letters and digits, 32 at most; what else
    /// it has is left out.
    pub fn new(shelf: &str, name: &str) -> Self {
        let shelf = to_bucket_name(shelf);
        Self(format!("{RECORD_PREFIX}{shelf}/{name}"))
    }
}

/// The longest name that can be chosen; storage keys have a little more room.
pub const MAX_NAME_BYTES: usize = 4000;

/// Checks a name that a client chose, of one or more segments: what servers let through as a path,
/// and no folder. The error is the user's.
pub fn check_name(name: &str) -> Result<(), Error> {
    if name.ends_with('/') {
        return Err(Error::user("cannot write to a path ending in '/'"));
    }
    if name.is_empty() || name.len() > MAX_NAME_BYTES {
        return Err(Error::user(format!("a name has between 1 and {MAX_NAME_BYTES} bytes")));
    }
    check_segments(name).map_err(|error| Error::user(error.to_string()))
}

fn to_bucket_name(shelf: &str) -> String {
    if is_bucket_name(shelf) {
        return shelf.to_owned();
    }
    let plain = shelf.chars().filter(char::is_ascii_alphanumeric).take(32);
    let plain: String = plain.collect();
    if plain.is_empty() { "0".to_owned() } else { plain }
}

/// What is to be written, and what is answered when it is.
pub struct RecordChange<T> {
    result: T,
    changes: Vec<engine::StorageChange>,
}

impl<T> RecordChange<T> {
    /// Nothing yet, to be answered so.
    pub fn returning(answer: T) -> Self {
        Self { result: answer, changes: Vec::new() }
    }

    /// Also writes a record.
    #[must_use]
    pub fn put(mut self, key: RecordKey, value: impl Into<Bytes>) -> Self {
        self.changes.push(engine::StorageChange::Put {
            key: key.0,
            value: value.into(),
            seal_wrap: false,
        });
        self
    }

    /// Also removes a record, if it is there.
    #[must_use]
    pub fn delete(mut self, key: RecordKey) -> Self {
        self.changes.push(engine::StorageChange::Delete { key: key.0 });
        self
    }
}

impl<T> fmt::Debug for RecordChange<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RecordChange").field(&self.changes).finish()
    }
}

/// The records of one mount. Cheap to clone.
#[derive(Clone, Debug)]
pub struct RecordStore {
    pub(crate) storage: Arc<dyn Storage>,
    /// Changes of one record have turns. It is the conditions that keep updates from getting lost;
    /// with turns they rarely fail, and hosts without conditions are served as well.
    turns: Arc<KeyedSerialQueue<RecordKey>>,
}

/// Changes that may wait at one mount.
const MAX_WAITING_CHANGES: usize = 16384;
/// How often a change is tried again when somebody outside this process comes in between.
const MAX_CHANGE_ATTEMPTS: usize = 16;

impl RecordStore {
    pub(crate) fn new(storage: Arc<dyn Storage>) -> Self {
        Self { storage, turns: Arc::new(KeyedSerialQueue::new(MAX_WAITING_CHANGES)) }
    }

    /// The record at a key.
    pub async fn get(&self, key: &RecordKey) -> Result<Option<Bytes>, Error> {
        Ok(self.storage.get(&key.0).await?.map(|stored| stored.value))
    }

    /// What lies on a shelf directly under a folder (empty, or ending in a slash): names, and
    /// folders with a trailing slash, sorted, after `after`, at most `limit`.
    pub async fn list(
        &self,
        shelf: &str,
        folder: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, Error> {
        let at = RecordKey::new(shelf, folder);
        Ok(self.storage.list(&at.0, after, limit).await?)
    }

    /// Shows `decide` the record at `key`, and commits what it wants, on the condition that the
    /// record is still the same; else it is asked again. It may read other records, and change
    /// them, as long as only changes of this record do that. An error changes nothing.
    ///
    /// Dropping the future doesn't stop a change that has begun.
    pub async fn change<T, F, Fut>(&self, key: RecordKey, decide: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Fn(Option<Bytes>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<RecordChange<T>, Error>> + Send + 'static,
    {
        let (storage, record) = (self.storage.clone(), key.clone());
        let work = async move { apply_change(&*storage, &record, &decide).await };
        let turn = self.turns.run(&key, work);
        turn.await?
    }
}

async fn apply_change<T, F, Fut>(
    storage: &dyn Storage,
    key: &RecordKey,
    decide: &F,
) -> Result<T, Error>
where
    F: Fn(Option<Bytes>) -> Fut,
    Fut: Future<Output = Result<RecordChange<T>, Error>>,
{
    for _ in 0..MAX_CHANGE_ATTEMPTS {
        let stored = storage.get(&key.0).await?;
        let seen = stored.as_ref().map(|stored| stored.value.clone());
        let RecordChange { result: answer, changes } = decide(seen).await?;
        if changes.is_empty() {
            return Ok(answer);
        }
        let preconditions = match storage.is_atomic() {
            true => vec![unchanged_precondition(&key.0, stored.as_ref())],
            false => Vec::new(),
        };
        match storage.commit(StorageBatch { preconditions, changes }).await {
            Ok(()) => return Ok(answer),
            Err(StorageError::Precondition(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Error::write_conflict())
}

pub(crate) fn unchanged_precondition(
    key: &str,
    stored: Option<&StorageEntry>,
) -> StoragePrecondition {
    match stored {
        Some(stored) => StoragePrecondition::Unchanged(key.to_owned(), stored.version),
        None => StoragePrecondition::Absent(key.to_owned()),
    }
}

impl RecordKey {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use strongroom_sdk_derive::Document;
    use strongroom_types::Fields;
    use tokio_util::task::TaskTracker;

    use super::*;
    use crate::document::DocumentStore;
    use crate::engine::{EngineError, check_key};

    /// What is read here has changed before it is written.
    #[derive(Debug)]
    struct ConflictingStorage;

    #[async_trait::async_trait]
    impl Storage for ConflictingStorage {
        async fn get(&self, _: &str) -> Result<Option<StorageEntry>, StorageError> {
            Ok(None)
        }

        async fn list(
            &self,
            _: &str,
            _: Option<&str>,
            _: usize,
        ) -> Result<Vec<String>, StorageError> {
            Ok(Vec::new())
        }

        async fn commit(&self, batch: StorageBatch) -> Result<(), StorageError> {
            let condition = batch.preconditions.first().expect("a condition");
            Err(StorageError::Precondition(condition.key().to_owned()))
        }

        fn is_atomic(&self) -> bool {
            true
        }
    }

    /// Settings.
    #[derive(Document)]
    #[document(path = "settings")]
    struct OwnerSettings {
        /// Whose they are.
        owner: String,
    }

    #[tokio::test]
    async fn repeated_write_conflicts_ask_to_try_again() {
        let records = RecordStore::new(Arc::new(ConflictingStorage));
        let key = RecordKey::new("head", "a");
        let put =
            |_| async { Ok(RecordChange::returning(()).put(RecordKey::new("head", "a"), "mine")) };
        let documents =
            DocumentStore::new(Arc::new(ConflictingStorage), TaskTracker::new(), &BTreeMap::new());
        let settings = |_| Ok(OwnerSettings { owner: "me".to_owned() });
        let mut given = Fields::new();
        given.set("owner", &"me");
        let errors = [
            records.change(key, put).await,
            documents.change::<OwnerSettings>(&[], settings).await,
            documents.merge_fields::<OwnerSettings>("settings", &given).await,
        ];
        for error in errors {
            let error = error.unwrap_err();
            assert!(!error.is_uncertain(), "nothing was changed");
            let error = EngineError::from(error);
            assert!(matches!(error, EngineError::Coded { status: 503, .. }), "{error:?}");
            assert_eq!(error.to_string(), "others keep changing this; try again");
        }
    }

    #[test]
    fn record_keys_never_collide_with_client_keys() {
        for shelf in ["m", "v12", "a.b/../c", "", "\u{1}", &"x".repeat(99)] {
            let key = RecordKey::new(shelf, "a/b");
            assert_eq!(check_key(key.as_str()), Ok(()), "{shelf:?}");
            assert!(key.as_str().starts_with(RECORD_PREFIX));
        }
    }
}
