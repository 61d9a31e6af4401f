//! The physical store: encrypted bytes under keys, changed in atomic batches. It knows nothing of
//! what it holds; everything above sees it through the barrier.
//!
//! In reading order:
//!
//! - [`Physical`]: the trait; [`PhysicalBatch`]: what one commit does and under which conditions
//! - [`memory`]: in memory, for `-dev` and tests
//! - [`embedded`]: one folder on the local disk
//! - `contract` (feature `testing`): the suite every implementation passes
//! - `testing` (feature `testing`): layers that fail, or lose power, on purpose
//!
//! # Add a storage backend
//!
//! 1. Implement [`Physical`] in a module of its own. Atomicity, durability and the order of
//!    preconditions are not negotiable; everything else is yours.
//! 2. Add one test function that hands a fresh store to `contract::run`.
//! 3. Let the `server` crate build it from its configuration stanza.
#![deny(missing_docs)]

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

/// A store of keys and values. Keys are non-empty UTF-8 in byte order; values are opaque.
#[async_trait]
pub trait Physical: Send + Sync + fmt::Debug + 'static {
    /// The entry at `key`, as the last commit that was acknowledged left it (or a later one).
    async fn get(&self, key: &str) -> Result<Option<PhysicalEntry>, Error>;

    /// The keys that start with `prefix` and sort after `after` (a whole key), in byte order, at
    /// most `limit` of them. All as they were at one moment: no batch is seen in part.
    async fn scan(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, Error>;

    /// Applies the whole batch, or nothing of it. When this answers `Ok`, the batch is on disk.
    ///
    /// Preconditions are judged in the order in which batches are applied: no other batch comes
    /// between the judgement and the change. A batch whose precondition fails changes nothing and
    /// disturbs no other batch.
    ///
    /// Cancel safety: dropping the future does not undo anything; the batch may still be applied.
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

/// A value and the version it got when it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PhysicalEntry {
    /// The bytes as they were put.
    pub value: Bytes,
    /// Changes with every put of this key, and is never used again in the life of the store.
    pub version: Version,
}

/// A point in the store's history. All keys that one batch puts get the same version, and a batch
/// that is applied later gets a higher one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u64);

impl Version {
    /// The version after this one.
    pub(crate) fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// What one commit does. Changes are applied in order, so of two for one key the last wins.
#[derive(Clone, Debug, Default)]
pub struct PhysicalBatch {
    /// All must hold, else the batch is dropped with [`Error::Precondition`].
    pub preconditions: Vec<Precondition>,
    /// What to write.
    pub changes: Vec<PhysicalChange>,
}

impl PhysicalBatch {
    /// A batch that puts one value.
    pub fn put(key: impl Into<String>, value: impl Into<Bytes>) -> Self {
        Self { preconditions: Vec::new(), changes: vec![PhysicalChange::put(key, value)] }
    }

    /// A batch that deletes one key.
    pub fn delete(key: impl Into<String>) -> Self {
        Self { preconditions: Vec::new(), changes: vec![PhysicalChange::delete(key)] }
    }

    /// The same batch on one more condition.
    #[must_use]
    pub fn with_precondition(mut self, precondition: Precondition) -> Self {
        self.preconditions.push(precondition);
        self
    }

    /// The same batch with one more change.
    #[must_use]
    pub fn with_change(mut self, change: PhysicalChange) -> Self {
        self.changes.push(change);
        self
    }
}

/// One write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PhysicalChange {
    /// Writes `value` at `key`, whether or not it was there.
    Put {
        /// Where.
        key: String,
        /// What.
        value: Bytes,
    },
    /// Removes `key`; one that isn't there is no error.
    Delete {
        /// Where.
        key: String,
    },
}

impl PhysicalChange {
    /// Writes `value` at `key`.
    pub fn put(key: impl Into<String>, value: impl Into<Bytes>) -> Self {
        Self::Put { key: key.into(), value: value.into() }
    }

    /// Removes `key`.
    pub fn delete(key: impl Into<String>) -> Self {
        Self::Delete { key: key.into() }
    }

    /// The key it changes.
    pub fn key(&self) -> &str {
        match self {
            Self::Put { key, .. } | Self::Delete { key } => key,
        }
    }
}

/// A condition on the state before the batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// The key is there.
    Exists(String),
    /// The key is not there.
    Absent(String),
    /// The key is there at exactly this version.
    Unchanged(String, Version),
}

impl Precondition {
    /// The key it speaks of.
    pub fn key(&self) -> &str {
        match self {
            Self::Exists(key) | Self::Absent(key) | Self::Unchanged(key, _) => key,
        }
    }

    /// Whether it holds when its key is at `found`, or isn't there.
    pub fn holds_for(&self, found: Option<Version>) -> bool {
        match self {
            Self::Exists(_) => found.is_some(),
            Self::Absent(_) => found.is_none(),
            Self::Unchanged(_, version) => found == Some(*version),
        }
    }
}

/// Why the store did not do what was asked.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A precondition did not hold; nothing was changed.
    #[error("the precondition on {key} does not hold")]
    Precondition {
        /// The first key whose condition failed.
        key: String,
    },
    /// The disk is full; nothing was changed. Reads go on, and writes return when there is space.
    #[error("the storage device is full")]
    Full,
    /// The medium can't be written; nothing was changed. Reads go on.
    #[error("the storage device is read-only")]
    ReadOnly,
    /// A key is empty, which no store can keep; nothing was changed.
    #[error("a key is empty")]
    EmptyKey,
    /// A key, value or whole batch is larger than the store takes; nothing was changed.
    #[error("the {what} is larger than the store takes ({limit} bytes)")]
    TooLarge {
        /// "key", "value" or "batch".
        what: &'static str,
        /// The largest that is taken.
        limit: usize,
    },
    /// The device failed. A commit that gets this may or may not have been applied; after the
    /// store has reopened and checked itself, reads tell which.
    #[error("storage I/O failed: {0}")]
    Io(String),
    /// The bytes on disk are not what was written.
    #[error("storage is corrupt: {0}")]
    Corrupt(String),
    /// The store is closed, or reopening after a fault.
    #[error("the store is not open: {0}")]
    Closed(String),
    /// The folder or address can't be used as it is: locked, foreign, or of another format.
    #[error("{0}")]
    Refused(String),
}

impl Error {
    /// What sort of failure this is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Precondition { .. } => ErrorKind::Precondition,
            Self::TooLarge { .. } => ErrorKind::TooLarge,
            Self::Closed(_) => ErrorKind::Unavailable,
            _ => ErrorKind::Internal,
        }
    }
}
