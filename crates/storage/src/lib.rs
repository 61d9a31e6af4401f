//! The physical store: encrypted values under plain-text keys, changed in atomic batches. It
//! doesn't interpret what it holds; everything above uses it through the barrier.
//!
//! In reading order:
//!
//! - [`Physical`]: the trait; [`PhysicalBatch`]: the changes and preconditions of one commit
//! - [`memory`]: an in-memory store, for `-dev` and tests
//! - [`embedded`]: a store in one folder on the local disk
//! - `contract` (feature `testing`): the test suite that every implementation passes
//! - `testing` (feature `testing`): stores and disks that fail, or lose power, on purpose
//!
//! # Add a storage backend
//!
//! 1. Implement [`Physical`] in a module of its own. It must guarantee atomicity, durability and
//!    the order of preconditions as documented there.
//! 2. Add one test function that passes an empty store to `contract::run`.
//! 3. Let the configuration name it and the server open it; `CONTRIBUTING.md` names the files.
#[cfg(any(test, feature = "testing"))]
pub mod contract;
pub mod embedded;
mod limits;
pub mod memory;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use strongroom_types::ErrorKind;

pub use limits::StorageLimits;

/// A store of keys and values. Keys are non-empty UTF-8, ordered by bytes; values are opaque.
#[async_trait]
pub trait Physical: Send + Sync + fmt::Debug + 'static {
    /// Reads the entry at `key`; `None` if there is none. Sees every commit that was acknowledged
    /// before the call.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`] if the store isn't open, [`Error::Corrupt`] or [`Error::Io`] if it can't
    /// be read.
    async fn get(&self, key: &str) -> Result<Option<PhysicalEntry>, Error>;

    /// Lists the keys that start with `prefix` and sort after `after` (a full key), in byte order,
    /// at most `limit`. The result is one consistent state: no batch is seen in part.
    ///
    /// # Errors
    ///
    /// As [`Physical::get`].
    async fn scan(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, Error>;

    /// Applies the whole batch, or nothing of it. When this returns `Ok`, the batch is durable.
    ///
    /// Preconditions are checked in the order in which batches are applied: no other batch is
    /// applied between the check and the changes. A batch whose precondition fails changes nothing
    /// and doesn't affect other batches.
    ///
    /// # Errors
    ///
    /// [`Error::Precondition`] if a precondition fails, [`Error::EmptyKey`] or [`Error::TooLarge`]
    /// if the batch is invalid, [`Error::Full`], [`Error::ReadOnly`] or [`Error::Closed`] if it
    /// can't be written, [`Error::Corrupt`] if the key of a precondition can't be read. Only after
    /// [`Error::Io`] it is unknown whether the batch was applied.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future doesn't undo anything; the batch may still be applied.
    async fn commit(&self, batch: PhysicalBatch) -> Result<Version, Error>;
}

#[async_trait]
impl<P: Physical + ?Sized> Physical for Arc<P> {
    async fn get(&self, key: &str) -> Result<Option<PhysicalEntry>, Error> {
        (**self).get(key).await
    }

    async fn scan(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, Error> {
        (**self).scan(prefix, after, limit).await
    }

    async fn commit(&self, batch: PhysicalBatch) -> Result<Version, Error> {
        (**self).commit(batch).await
    }
}

/// A stored value with its version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PhysicalEntry {
    /// The value exactly as it was written.
    pub value: Bytes,
    /// Changes with every put of this key, and is never reused in the store.
    pub version: Version,
}

/// A point in the store's history. All keys that one batch writes get the same version; a batch
/// applied later gets a higher one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u64);

impl Version {
    /// The version that directly follows this one.
    pub(crate) fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// The changes of one commit and their preconditions. Changes are applied in order, so the last one
/// for a key wins.
#[derive(Clone, Debug, Default)]
pub struct PhysicalBatch {
    /// All must hold; otherwise nothing is changed and the commit fails with
    /// [`Error::Precondition`].
    pub preconditions: Vec<Precondition>,
    /// The writes and deletions, in the order in which they are applied.
    pub changes: Vec<PhysicalChange>,
}

impl PhysicalBatch {
    /// A batch that writes one value, without preconditions. An existing value is replaced; the
    /// batch takes effect when it is committed.
    pub fn put(key: impl Into<String>, value: impl Into<Bytes>) -> Self {
        Self { preconditions: Vec::new(), changes: vec![PhysicalChange::put(key, value)] }
    }

    /// A batch that deletes one key, without preconditions. It succeeds and changes nothing if the
    /// key does not exist.
    pub fn delete(key: impl Into<String>) -> Self {
        Self { preconditions: Vec::new(), changes: vec![PhysicalChange::delete(key)] }
    }

    /// Adds a precondition and returns the batch.
    #[must_use]
    pub fn with_precondition(mut self, precondition: Precondition) -> Self {
        self.preconditions.push(precondition);
        self
    }

    /// Adds a change and returns the batch.
    #[must_use]
    pub fn with_change(mut self, change: PhysicalChange) -> Self {
        self.changes.push(change);
        self
    }
}

/// A single write or deletion of a batch. All changes of a [`PhysicalBatch`] are applied, or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PhysicalChange {
    /// Writes `value` at `key`, whether or not the key exists.
    Put {
        /// The key to write; must not be empty.
        key: String,
        /// The new value, which replaces any previous one.
        value: Bytes,
    },
    /// Deletes `key`; deleting a missing key does nothing.
    Delete {
        /// The key to delete; must not be empty.
        key: String,
    },
}

impl PhysicalChange {
    /// A change that writes `value` at `key`.
    pub fn put(key: impl Into<String>, value: impl Into<Bytes>) -> Self {
        Self::Put { key: key.into(), value: value.into() }
    }

    /// A change that deletes `key`.
    pub fn delete(key: impl Into<String>) -> Self {
        Self::Delete { key: key.into() }
    }

    /// The key that is written or deleted.
    pub fn key(&self) -> &str {
        match self {
            Self::Put { key, .. } | Self::Delete { key } => key,
        }
    }
}

/// A condition on the state before the batch is applied. If it does not hold, the commit fails with
/// [`Error::Precondition`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// The key exists, with any value.
    Exists(String),
    /// The key does not exist.
    Absent(String),
    /// The key exists and still has exactly this version.
    Unchanged(String, Version),
}

impl Precondition {
    /// The key that the condition refers to.
    pub fn key(&self) -> &str {
        match self {
            Self::Exists(key) | Self::Absent(key) | Self::Unchanged(key, _) => key,
        }
    }

    /// Whether the condition holds if its key has the version `found`, or doesn't exist if that is
    /// `None`. Stores call this before they apply a batch.
    pub fn holds_for(&self, found: Option<Version>) -> bool {
        match self {
            Self::Exists(_) => found.is_some(),
            Self::Absent(_) => found.is_none(),
            Self::Unchanged(_, version) => found == Some(*version),
        }
    }
}

/// Why an operation of the store failed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A precondition did not hold; nothing was changed.
    #[error("the precondition on {key} does not hold")]
    Precondition {
        /// The key of the first precondition that failed.
        key: String,
    },
    /// The disk is full; nothing was changed. Reads still work, and writes succeed again once there
    /// is space.
    #[error("the storage device is full")]
    Full,
    /// The medium is read-only; nothing was changed. Reads still work.
    #[error("the storage device is read-only")]
    ReadOnly,
    /// A key of the batch is empty, which no store supports; nothing was changed.
    #[error("a key is empty")]
    EmptyKey,
    /// A key, value or whole batch exceeds the limits of the store; nothing was changed.
    #[error("the {what} is larger than the store takes ({limit} bytes)")]
    TooLarge {
        /// What is too large: "key", "value" or "batch".
        what: &'static str,
        /// The maximum size in bytes.
        limit: usize,
    },
    /// The device failed. A commit with this error may or may not have been applied; reads show
    /// which once the store has recovered.
    #[error("storage I/O failed: {0}")]
    Io(String),
    /// The data on disk isn't what was written.
    #[error("storage is corrupt: {0}")]
    Corrupt(String),
    /// The store is closed, or is being reopened after a fault.
    #[error("the store is not open: {0}")]
    Closed(String),
    /// The folder or address can't be used: it is locked, not a store, or of another format.
    #[error("{0}")]
    Refused(String),
}

impl Error {
    /// The category of the failure, which determines the HTTP status code. `Internal` unless a
    /// precondition failed, something is too large or the store is closed.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Precondition { .. } => ErrorKind::Precondition,
            Self::TooLarge { .. } => ErrorKind::TooLarge,
            Self::Closed(_) => ErrorKind::Unavailable,
            _ => ErrorKind::Internal,
        }
    }
}
