//! The physical store: encrypted bytes under keys, changed in atomic batches. It knows nothing of
//! what it holds; everything above sees it through the barrier.
//!
//! In reading order:
//!
//! - [`Physical`]: the trait; [`Batch`]: what one commit does and under which conditions
//! - [`memory`]: in memory, for `-dev` and tests
//! - [`embedded`]: one folder on the local disk
//! - [`contract`] (feature `testing`): the suite every implementation passes
//! - [`testing`] (feature `testing`): layers that fail, or lose power, on purpose
//!
//! # Add a storage backend
//!
//! 1. Implement [`Physical`] in a module of its own. Atomicity, durability and the order of
//!    preconditions are not negotiable; everything else is yours.
//! 2. Add one test function that hands a fresh store to `contract::run`.
//! 3. Let the `server` crate build it from its configuration stanza.
#![deny(missing_docs)]

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;

/// A store of keys and values. Keys are non-empty UTF-8 in byte order; values are opaque.
#[async_trait]
pub trait Physical: Send + Sync + fmt::Debug + 'static {
    /// The entry at `key`, as the last commit that was acknowledged left it (or a later one).
    async fn get(&self, key: &str) -> Result<Option<Entry>, Error>;

    /// The keys that start with `prefix` and sort after `after` (a whole key), in byte order, at
    /// most `limit` of them.
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
    async fn commit(&self, batch: Batch) -> Result<Version, Error>;
}

/// A value and the version it got when it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The bytes as they were put.
    pub value: Bytes,
    /// Changes with every put of this key, and is never used again in the life of the store.
    pub version: Version,
}

/// A point in the store's history. All keys that one batch puts get the same version, and a batch
/// that is applied later gets a higher one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u64);

/// What one commit does. Changes are applied in order, so of two for one key the last wins.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// All must hold, else the batch is dropped with [`Error::Precondition`].
    pub preconditions: Vec<Precondition>,
    /// What to write.
    pub changes: Vec<Change>,
}

/// One write.
#[derive(Clone, Debug)]
pub enum Change {
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
    /// A key or value is larger than the store takes.
    #[error("{what} is larger than the store takes ({limit} bytes)")]
    TooLarge {
        /// "key" or "value".
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
