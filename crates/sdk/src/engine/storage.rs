//! [`Storage`]: the mount's own encrypted storage.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;

/// The mount's storage: keys relative to the mount, values that only this mount can reach.
#[async_trait]
pub trait Storage: Send + Sync + fmt::Debug + 'static {
    /// The entry at `key`.
    async fn get(&self, key: &str) -> Result<Option<Stored>, StorageError>;

    /// What lies directly under `prefix` (empty, or ending in a slash): names, and folders with a
    /// trailing slash, sorted, after `after`, at most `limit`.
    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, StorageError>;

    /// Applies the batch. Where [`Storage::is_atomic`] says so it happens whole or not at all;
    /// elsewhere (under servers that can't) the changes are made one by one, and a batch with
    /// preconditions is refused.
    async fn commit(&self, batch: StorageBatch) -> Result<(), StorageError>;

    /// Whether [`Storage::commit`] is atomic and honours preconditions.
    fn is_atomic(&self) -> bool;
}

/// A stored value.
#[derive(Clone)]
pub struct Stored {
    /// The value.
    pub value: Bytes,
    /// Its version, for [`Precondition::Unchanged`]; 0 where the host has no versions.
    pub version: u64,
    /// Whether it was stored under the seal's extra encryption.
    pub seal_wrap: bool,
}

impl fmt::Debug for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stored({} bytes, version {})", self.value.len(), self.version)
    }
}

/// What one commit does, under which conditions.
#[derive(Clone, Debug, Default)]
pub struct StorageBatch {
    /// All must hold.
    pub preconditions: Vec<Precondition>,
    /// Applied in order.
    pub changes: Vec<Change>,
}

impl StorageBatch {
    /// One write.
    pub fn put(key: impl Into<String>, value: impl Into<Bytes>, seal_wrap: bool) -> Self {
        let change = Change::Put { key: key.into(), value: value.into(), seal_wrap };
        Self { preconditions: Vec::new(), changes: vec![change] }
    }

    /// One removal.
    pub fn delete(key: impl Into<String>) -> Self {
        Self { preconditions: Vec::new(), changes: vec![Change::Delete { key: key.into() }] }
    }
}

/// One write.
#[derive(Clone)]
pub enum Change {
    /// Writes a value.
    Put {
        /// Where.
        key: String,
        /// What.
        value: Bytes,
        /// Whether to ask for the seal's extra encryption.
        seal_wrap: bool,
    },
    /// Removes a key, if it is there.
    Delete {
        /// Where.
        key: String,
    },
}

impl Change {
    /// The key it touches.
    pub fn key(&self) -> &str {
        match self {
            Self::Put { key, .. } | Self::Delete { key } => key,
        }
    }
}

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Put { key, value, .. } => write!(f, "Put({key}, {} bytes)", value.len()),
            Self::Delete { key } => write!(f, "Delete({key})"),
        }
    }
}

/// A condition on the state before a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// The key is there.
    Exists(String),
    /// The key is not there.
    Absent(String),
    /// The key is still at this version.
    Unchanged(String, u64),
}

/// Why storage did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// A precondition did not hold; nothing was changed.
    #[error("the precondition on {0} does not hold")]
    Precondition(String),
    /// The key can't be one: empty, too long, or with a `..` segment or leading slash.
    #[error("invalid storage key")]
    InvalidKey,
    /// The instance isn't initialised yet: it may read and not write.
    #[error("cannot write to storage during setup")]
    Setup,
    /// There is no storage: the instance was made only to be asked for its version.
    #[error(
        "missing storage implementation: this method should not be called during plugin Setup, but only during and after Initialize"
    )]
    Missing,
    /// The instance was closed, or replaced.
    #[error("the storage of this instance is closed")]
    Closed,
    /// Storage can't be written here.
    #[error("cannot write to readonly storage")]
    ReadOnly,
    /// The host has no preconditions or no atomic batches.
    #[error("the host's storage can't do this")]
    Unsupported,
    /// The store failed.
    #[error("{0}")]
    Failed(String),
}
