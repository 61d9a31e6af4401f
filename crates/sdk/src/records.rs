//! [`RecordStore`]: storage for engine data that isn't a document.
//!
//! A record is a byte string under a [`RecordKey`] that no request path can name, so it never
//! collides with a document whose name a client chose. There is no plain write:
//! [`RecordStore::change`] reads a record, and commits the resulting changes, to it and to records
//! that depend on it, in one batch, on the precondition that the record is unchanged. So no update
//! is lost, and related records are written together or not at all.
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
//!                 Ok(RecordChange::returning(before + 1).put(log, "counted").put(head, grown))
//!             }
//!         })
//!         .await
//! }
//! ```
//!
//! Under servers that have neither preconditions nor batches (Vault, OpenBao) the changes to one
//! record are serialised within this process, and written one by one in the order in which they
//! were added: add the change last that makes the others take effect. Those servers also reject
//! keys with unprintable characters (Go's `unicode.IsPrint`). The SDK's part of a key is printable;
//! but a record whose name a client chose with, say, a no-break space in it fails there with the
//! server's own error.
//!
//! In earlier versions record keys began with another character, which those servers reject.
//! Entries under the old keys can still be read, and are moved in batches from the first request
//! on.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use strongroom_engine::{
    RECORD_PREFIX, Storage, StorageBatch, StorageChange, StorageEntry, StorageError,
    StoragePrecondition, is_bucket_name,
};
use strongroom_types::KeyedSerialQueue;
use strongroom_types::path::check_segments;

use crate::Error;

/// The key of a record: a name within a bucket. Buckets keep kinds of records apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordKey(pub(crate) String);

impl RecordKey {
    /// The key of `name` in a bucket. A bucket's name consists of at most 32 ASCII letters and
    /// digits; all other characters are removed from it.
    pub fn new(shelf: &str, name: &str) -> Self {
        let shelf = to_bucket_name(shelf);
        Self(format!("{RECORD_PREFIX}{shelf}/{name}"))
    }
}

/// The maximum length of a client-chosen name, in bytes. Storage keys may be slightly longer.
pub const MAX_NAME_BYTES: usize = 4000;

/// Checks a client-chosen name of one or more segments: it must be valid as a request path and must
/// not end in a slash.
///
/// # Errors
///
/// A user error that describes what is wrong with the name.
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

/// The changes that a `decide` function of [`RecordStore::change`] wants written, and its result.
pub struct RecordChange<T> {
    result: T,
    changes: Vec<StorageChange>,
}

impl<T> RecordChange<T> {
    /// No changes yet; `answer` is the result of [`RecordStore::change`] once the changes are
    /// committed.
    pub fn returning(answer: T) -> Self {
        Self { result: answer, changes: Vec::new() }
    }

    /// Adds a write of a record, which replaces its value.
    #[must_use]
    pub fn put(mut self, key: RecordKey, value: impl Into<Bytes>) -> Self {
        self.changes.push(StorageChange::Put { key: key.0, value: value.into(), seal_wrap: false });
        self
    }

    /// Adds the removal of a record; does nothing if it doesn't exist.
    #[must_use]
    pub fn delete(mut self, key: RecordKey) -> Self {
        self.changes.push(StorageChange::Delete { key: key.0 });
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
    /// Serialises the changes to one record. It is the preconditions that prevent lost updates;
    /// serialising makes them fail rarely, and protects hosts without preconditions as well.
    turns: Arc<KeyedSerialQueue<RecordKey>>,
}

/// The maximum number of changes waiting in one mount.
const MAX_WAITING_CHANGES: usize = 16384;
/// How often a change is attempted before it fails because writes from outside this process keep
/// interfering.
const MAX_CHANGE_ATTEMPTS: usize = 16;

impl RecordStore {
    pub(crate) fn new(storage: Arc<dyn Storage>) -> Self {
        Self { storage, turns: Arc::new(KeyedSerialQueue::new(MAX_WAITING_CHANGES)) }
    }

    /// Reads a record; `None` if there is none.
    ///
    /// # Errors
    ///
    /// A storage error, for example if the entry is damaged.
    pub async fn get(&self, key: &RecordKey) -> Result<Option<Bytes>, Error> {
        Ok(self.storage.get(&key.0).await?.map(|stored| stored.value))
    }

    /// Lists the names in a bucket directly under `folder`, which is empty or ends in a slash.
    /// Returns names, and folders with a trailing slash, sorted, starting after `after`, at most
    /// `limit` of them.
    ///
    /// # Errors
    ///
    /// A storage error, for example if `folder` is invalid.
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

    /// Passes the record at `key`, if there is one, to `decide`, and commits the changes that it
    /// returns, on the precondition that the record hasn't changed meanwhile; if it has, `decide`
    /// is called again. It may read and change other records too, as long as those are changed only
    /// together with this one.
    ///
    /// # Errors
    ///
    /// Whatever `decide` returns, in which case nothing is changed; a storage error; or a "try
    /// again" error (503) if other changes keep interfering or too many are waiting.
    ///
    /// # Cancel safety
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

    use strongroom_engine::{
        ClusterInfo, EngineError, MountContext, MountLifetimes, SystemError, SystemView, check_key,
    };
    use strongroom_sdk_derive::Document;
    use strongroom_types::Fields;
    use strongroom_types::clock::ManualClock;
    use strongroom_types::entropy::SeededEntropy;
    use tokio_util::sync::CancellationToken;
    use tokio_util::task::TaskTracker;

    use super::*;
    use crate::Context;
    use crate::context::InstanceServices;
    use crate::document::DocumentStore;
    use crate::lifecycle::BackgroundTasks;
    use crate::stored_document::merge_sent;

    /// Storage in which an entry changes between each read and the following write.
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

    /// A server that answers no queries.
    #[derive(Debug)]
    struct SilentSystem;

    #[async_trait::async_trait]
    impl SystemView for SilentSystem {
        async fn lifetimes(&self) -> Result<MountLifetimes, SystemError> {
            Err(SystemError("no answer".to_owned()))
        }

        async fn tainted(&self) -> Result<bool, SystemError> {
            Err(SystemError("no answer".to_owned()))
        }

        async fn cluster_info(&self) -> Result<ClusterInfo, SystemError> {
            Err(SystemError("no answer".to_owned()))
        }

        async fn server_version(&self) -> Result<String, SystemError> {
            Err(SystemError("no answer".to_owned()))
        }
    }

    /// The settings of a user.
    #[derive(Document)]
    #[document(path = "settings")]
    struct OwnerSettings {
        /// The user whose settings these are.
        owner: String,
    }

    #[tokio::test]
    async fn repeated_write_conflicts_ask_to_try_again() {
        let records = RecordStore::new(Arc::new(ConflictingStorage));
        let key = RecordKey::new("head", "a");
        let put =
            |_| async { Ok(RecordChange::returning(()).put(RecordKey::new("head", "a"), "mine")) };
        let documents = DocumentStore::of_document::<OwnerSettings>(
            Arc::new(ConflictingStorage),
            &BTreeMap::new(),
        );
        let context = Context::background(Arc::new(InstanceServices {
            mount: MountContext {
                uuid: String::new(),
                config: BTreeMap::new(),
                storage: Arc::new(ConflictingStorage),
                system: Arc::new(SilentSystem),
                clock: Arc::new(ManualClock::default()),
                entropy: Arc::new(SeededEntropy::new(1)),
            },
            documents: documents.clone(),
            records: records.clone(),
            tasks: BackgroundTasks::new(TaskTracker::new(), CancellationToken::new()),
            system: "test",
            password_policy: None,
            #[cfg(feature = "http")]
            http: crate::http::HttpClient::new("test"),
        }));
        let settings = |_| Ok(OwnerSettings { owner: "me".to_owned() });
        let mut given = Fields::new();
        given.set("owner", &"me");
        let errors = [
            records.change(key, put).await,
            documents.change::<OwnerSettings>(&[], settings).await,
            merge_sent::<OwnerSettings>(&context, "settings", "", &given, &mut ()).await.map(drop),
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
