//! [`Storage`]: the mount's own encrypted storage.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use strongroom_types::path::check_segments;

/// The mount's storage: keys relative to the mount, values that only this mount can reach.
#[async_trait]
pub trait Storage: Send + Sync + fmt::Debug + 'static {
    /// The entry at `key`.
    async fn get(&self, key: &str) -> Result<Option<StorageEntry>, StorageError>;

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
pub struct StorageEntry {
    /// The value.
    pub value: Bytes,
    /// Its version, for [`StoragePrecondition::Unchanged`]; 0 where the host has no versions.
    pub version: u64,
    /// Whether it was stored under the seal's extra encryption.
    pub seal_wrap: bool,
}

impl fmt::Debug for StorageEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StorageEntry({} bytes, version {})", self.value.len(), self.version)
    }
}

/// The first character of storage keys that no request path can name: `\u{fffc}<shelf>/<name>`. What
/// an engine keeps under such keys can't meet a document whose key a client chose.
///
/// U+FFFC, "object replacement character", counts as printable to the storage of Vault and OpenBao,
/// which refuses keys that aren't, and [`is_printable`](strongroom_types::path::is_printable) lets it
/// into no path.
pub const RECORD_PREFIX: char = '\u{fffc}';

/// What stood in the place of [`RECORD_PREFIX`] before, and Vault and OpenBao refuse. Hosts still take such
/// keys, from plug-ins of earlier versions and from what moves the entries.
pub const LEGACY_RECORD_PREFIX: char = '\u{1}';

/// Checks a storage key, as every host does: it is no folder and can't leave the mount. Behind
/// [`RECORD_PREFIX`] and a shelf of letters and digits stands a name of the usual form.
pub fn check_key(key: &str) -> Result<(), StorageError> {
    if key.is_empty() || key.ends_with('/') {
        return Err(StorageError::InvalidKey);
    }
    match key.strip_prefix([RECORD_PREFIX, LEGACY_RECORD_PREFIX]) {
        Some(apart) => match apart.split_once('/') {
            Some((shelf, name)) if is_bucket_name(shelf) && !name.is_empty() => {
                check_path_segments(name)
            }
            _ => Err(StorageError::InvalidKey),
        },
        None => check_path_segments(key),
    }
}

/// Checks the folder of a list: empty, or ending in a slash.
pub fn check_folder(folder: &str) -> Result<(), StorageError> {
    match folder.strip_prefix([RECORD_PREFIX, LEGACY_RECORD_PREFIX]) {
        Some(apart) => match apart.split_once('/') {
            Some((shelf, name)) if is_bucket_name(shelf) => check_path_segments(name),
            _ => Err(StorageError::InvalidKey),
        },
        None => check_path_segments(folder),
    }
}

/// The longest name of a shelf.
const MAX_BUCKET_NAME: usize = 32;

/// Whether a text can be a shelf: letters and digits.
pub(crate) fn is_bucket_name(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric();
    !text.is_empty() && text.len() <= MAX_BUCKET_NAME && text.chars().all(fits)
}

fn check_path_segments(path: &str) -> Result<(), StorageError> {
    check_segments(path).map_err(|_| StorageError::InvalidKey)
}

/// What one commit does, under which conditions.
#[derive(Clone, Debug, Default)]
pub struct StorageBatch {
    /// All must hold.
    pub preconditions: Vec<StoragePrecondition>,
    /// Applied in order.
    pub changes: Vec<StorageChange>,
}

impl StorageBatch {
    /// One write.
    pub fn put(key: impl Into<String>, value: impl Into<Bytes>, seal_wrap: bool) -> Self {
        let change = StorageChange::Put { key: key.into(), value: value.into(), seal_wrap };
        Self { preconditions: Vec::new(), changes: vec![change] }
    }

    /// One removal.
    pub fn delete(key: impl Into<String>) -> Self {
        Self { preconditions: Vec::new(), changes: vec![StorageChange::Delete { key: key.into() }] }
    }
}

/// One write.
#[derive(Clone)]
pub enum StorageChange {
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

impl StorageChange {
    /// The key it touches.
    pub fn key(&self) -> &str {
        match self {
            Self::Put { key, .. } | Self::Delete { key } => key,
        }
    }
}

impl fmt::Debug for StorageChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Put { key, value, .. } => write!(f, "Put({key}, {} bytes)", value.len()),
            Self::Delete { key } => write!(f, "Delete({key})"),
        }
    }
}

/// A condition on the state before a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoragePrecondition {
    /// The key is there.
    Exists(String),
    /// The key is not there.
    Absent(String),
    /// The key is still at this version.
    Unchanged(String, u64),
}

impl StoragePrecondition {
    /// The key it is about.
    pub fn key(&self) -> &str {
        match self {
            Self::Exists(key) | Self::Absent(key) | Self::Unchanged(key, _) => key,
        }
    }
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
    /// A key, a value or a whole batch is larger than the store takes; nothing was changed. The
    /// text says which, and how large it may be.
    #[error("{0}")]
    TooLarge(String),
    /// What is stored at the key is not what was written there. Asking again changes nothing; other
    /// keys can be read. The text says what gave it away, and names no key.
    #[error("the entry was changed or moved on disk: {0}")]
    Damaged(String),
    /// The store failed. Asked again, it may do what was asked.
    #[error("{0}")]
    Failed(String),
}

/// Stands in every text of [`StorageError::TooLarge`]: over the plug-in wire an error is its text.
#[cfg(any(test, feature = "serve"))]
const TOO_LARGE_TEXT: &str = "is larger than the store takes";

/// Begins every text of [`StorageError::Damaged`].
#[cfg(any(test, feature = "serve"))]
const DAMAGED_PREFIX: &str = "the entry was changed or moved on disk: ";

#[cfg(any(test, feature = "serve"))]
impl StorageError {
    /// An error of another host, or one that a plug-in passed on, by its text.
    pub(crate) fn too_large_from_text(text: &str) -> Option<Self> {
        text.contains(TOO_LARGE_TEXT).then(|| Self::TooLarge(text.to_owned()))
    }

    /// The same for an entry that is damaged.
    pub(crate) fn damaged_from_text(text: &str) -> Option<Self> {
        let reason = text.strip_prefix(DAMAGED_PREFIX)?;
        Some(Self::Damaged(reason.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_cannot_leave_the_mount() {
        for bad in ["", "/a", "a/", "..", "a/../b", "a//b", "./a", "a\0b"] {
            assert_eq!(check_key(bad), Err(StorageError::InvalidKey), "{bad:?}");
        }
        assert_eq!(check_key("a/b..c"), Ok(()));
        for good in ["", "a/"] {
            assert_eq!(check_folder(good), Ok(()), "{good:?}");
        }
        assert_eq!(check_folder("../"), Err(StorageError::InvalidKey));
        for first in [RECORD_PREFIX, LEGACY_RECORD_PREFIX] {
            let shaped = |form: &str| form.replace('|', &first.to_string());
            for bad in ["a|b", "a/|b", "|", "|a", "|/a", "|a/", "|a/../b", "|a.b/c", "||a/b"] {
                let bad = shaped(bad);
                assert_eq!(check_key(&bad), Err(StorageError::InvalidKey), "{bad:?}");
            }
            for good in ["|v3/a/b", &format!("|v12345/{}", "x".repeat(4096))] {
                let good = shaped(good);
                assert_eq!(check_key(&good), Ok(()), "{good:?}");
            }
            for good in ["|v3/", "|v3/a/"] {
                assert_eq!(check_folder(&shaped(good)), Ok(()), "{good:?}");
            }
            for bad in ["|", "|v3", "|v3/../", "a/|/"] {
                let bad = shaped(bad);
                assert_eq!(check_folder(&bad), Err(StorageError::InvalidKey), "{bad:?}");
            }
            // No path of a request begins so.
            assert!(strongroom_types::RequestPath::parse(&shaped("|v3/a")).is_err());
        }
    }
}
