//! [`Storage`]: the encrypted storage of one mount.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use strongroom_types::path::check_segments;

/// The storage of one mount. Keys are relative to the mount; no other mount can access the values.
#[async_trait]
pub trait Storage: Send + Sync + fmt::Debug + 'static {
    /// Reads the entry at `key`; `None` if there is none.
    ///
    /// # Errors
    ///
    /// [`StorageError::InvalidKey`], [`StorageError::Damaged`], or any other [`StorageError`] for a
    /// failed read.
    async fn get(&self, key: &str) -> Result<Option<StorageEntry>, StorageError>;

    /// Lists the names directly under `prefix`, which is empty or ends in a slash. Returns keys,
    /// and folders with a trailing slash, sorted, starting after `after`, at most `limit` of them.
    ///
    /// # Errors
    ///
    /// [`StorageError::InvalidKey`] for an invalid prefix, or any other [`StorageError`] for a
    /// failed read.
    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, StorageError>;

    /// Applies the batch. If [`Storage::is_atomic`] is true, all of it is applied or nothing.
    /// Otherwise (hosts without transactions) the changes are applied one by one, and a batch with
    /// preconditions is rejected.
    ///
    /// # Errors
    ///
    /// [`StorageError::Precondition`] if a precondition does not hold,
    /// [`StorageError::Unsupported`] if the host has no preconditions, [`StorageError::TooLarge`]
    /// or [`StorageError::ReadOnly`]: nothing was changed, or on a host that isn't atomic, only the
    /// changes before the one that failed. After [`StorageError::Failed`] the batch may or may not
    /// have been applied.
    async fn commit(&self, batch: StorageBatch) -> Result<(), StorageError>;

    /// Whether [`Storage::commit`] is atomic and supports preconditions.
    fn is_atomic(&self) -> bool;
}

/// A value read from storage, with its version.
#[derive(Clone)]
pub struct StorageEntry {
    /// The stored bytes, as they were written.
    pub value: Bytes,
    /// The entry's version, for [`StoragePrecondition::Unchanged`]; 0 if the host has no versions.
    pub version: u64,
    /// Whether the value was stored with the seal's additional encryption.
    pub seal_wrap: bool,
}

impl fmt::Debug for StorageEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StorageEntry({} bytes, version {})", self.value.len(), self.version)
    }
}

/// The first character of storage keys that no request path can contain: `\u{fffc}<bucket>/<name>`.
/// Entries under such keys can't collide with a document whose key a client chose.
///
/// U+FFFC, "object replacement character", counts as printable for the storage of Vault and
/// OpenBao, which reject keys with unprintable characters, while
/// [`is_printable`](strongroom_types::path::is_printable) allows it in no request path.
pub const RECORD_PREFIX: char = '\u{fffc}';

/// The character that earlier versions used in place of [`RECORD_PREFIX`], and that Vault and
/// OpenBao reject. Hosts still accept such keys from plug-ins of earlier versions and from the
/// migration.
pub const LEGACY_RECORD_PREFIX: char = '\u{1}';

/// Checks a storage key; every host applies this check. A key must not name a folder and can't
/// leave the mount. After [`RECORD_PREFIX`] follows a bucket of letters and digits, a slash, and a
/// name in the usual form.
///
/// # Errors
///
/// [`StorageError::InvalidKey`] if the key is empty, ends in a slash, or has an invalid segment or
/// bucket.
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

/// Checks the prefix of a list request: empty, or ending in a slash.
///
/// # Errors
///
/// [`StorageError::InvalidKey`] if the prefix has an invalid segment or an invalid bucket.
pub fn check_folder(folder: &str) -> Result<(), StorageError> {
    match folder.strip_prefix([RECORD_PREFIX, LEGACY_RECORD_PREFIX]) {
        Some(apart) => match apart.split_once('/') {
            Some((shelf, name)) if is_bucket_name(shelf) => check_path_segments(name),
            _ => Err(StorageError::InvalidKey),
        },
        None => check_path_segments(folder),
    }
}

/// The maximum length of a bucket's name, in bytes.
const MAX_BUCKET_NAME: usize = 32;

/// Whether a text can name a bucket: 1 to 32 ASCII letters and digits.
pub fn is_bucket_name(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric();
    !text.is_empty() && text.len() <= MAX_BUCKET_NAME && text.chars().all(fits)
}

fn check_path_segments(path: &str) -> Result<(), StorageError> {
    check_segments(path).map_err(|_| StorageError::InvalidKey)
}

/// The changes that one commit makes, and the preconditions under which it makes them.
#[derive(Clone, Debug, Default)]
pub struct StorageBatch {
    /// Conditions on the state before the commit; all must hold, or nothing is changed.
    pub preconditions: Vec<StoragePrecondition>,
    /// The changes, applied in this order.
    pub changes: Vec<StorageChange>,
}

impl StorageBatch {
    /// A batch that writes one value, without preconditions.
    pub fn put(key: impl Into<String>, value: impl Into<Bytes>, seal_wrap: bool) -> Self {
        let change = StorageChange::Put { key: key.into(), value: value.into(), seal_wrap };
        Self { preconditions: Vec::new(), changes: vec![change] }
    }

    /// A batch that removes one key, without preconditions.
    pub fn delete(key: impl Into<String>) -> Self {
        Self { preconditions: Vec::new(), changes: vec![StorageChange::Delete { key: key.into() }] }
    }
}

/// One change of a [`StorageBatch`]: writing or removing one key.
#[derive(Clone)]
pub enum StorageChange {
    /// Writes a value, replacing the one at this key.
    Put {
        /// The key, relative to the mount.
        key: String,
        /// The bytes to store; the host encrypts them.
        value: Bytes,
        /// Whether to encrypt the value with the seal as well.
        seal_wrap: bool,
    },
    /// Removes a key; does nothing if it doesn't exist.
    Delete {
        /// The key, relative to the mount.
        key: String,
    },
}

impl StorageChange {
    /// The key that this change writes or removes.
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

/// A condition on the state before a batch is applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoragePrecondition {
    /// There is an entry at the key, of any version.
    Exists(String),
    /// The key does not exist.
    Absent(String),
    /// The entry at the key still has this [version](StorageEntry::version).
    Unchanged(String, u64),
}

impl StoragePrecondition {
    /// The key whose state the condition checks.
    pub fn key(&self) -> &str {
        match self {
            Self::Exists(key) | Self::Absent(key) | Self::Unchanged(key, _) => key,
        }
    }
}

/// Why a storage operation failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// A precondition did not hold, usually because of a concurrent write; nothing was changed.
    #[error("the precondition on {0} does not hold")]
    Precondition(String),
    /// The key is invalid: empty, too long, or with a `..` segment or a leading slash.
    #[error("invalid storage key")]
    InvalidKey,
    /// The instance isn't initialised yet; until then it may read but not write.
    #[error("cannot write to storage during setup")]
    Setup,
    /// There is no storage: the instance was created only to query the plug-in's version.
    #[error(
        "missing storage implementation: this method should not be called during plugin Setup, but only during and after Initialize"
    )]
    Missing,
    /// The instance was closed or replaced.
    #[error("the storage of this instance is closed")]
    Closed,
    /// The storage is read-only here, for example on a standby.
    #[error("cannot write to readonly storage")]
    ReadOnly,
    /// The host supports neither preconditions nor atomic batches.
    #[error("the host's storage can't do this")]
    Unsupported,
    /// A key, a value or the whole batch exceeds a size limit of the store; nothing was changed.
    /// The message names the part and the limit.
    #[error("{0}")]
    TooLarge(String),
    /// The entry at the key failed its integrity check, so it isn't what was written there.
    /// Retrying doesn't help; other keys can still be read. The message describes what was detected
    /// and names no key.
    #[error("the entry was changed or moved on disk: {0}")]
    Damaged(String),
    /// The store failed. A retry may succeed. A write may have been applied or not.
    #[error("{0}")]
    Failed(String),
}

/// Part of every [`StorageError::TooLarge`] message. The plug-in wire transmits errors as text, so
/// the kind is recognised by it.
const TOO_LARGE_TEXT: &str = "is larger than the store takes";

/// Starts every [`StorageError::Damaged`] message.
const DAMAGED_PREFIX: &str = "the entry was changed or moved on disk: ";

impl StorageError {
    /// Recognises a `TooLarge` error that another host returned or a plug-in passed on, by its
    /// text.
    pub fn too_large_from_text(text: &str) -> Option<Self> {
        text.contains(TOO_LARGE_TEXT).then(|| Self::TooLarge(text.to_owned()))
    }

    /// Recognises a `Damaged` error by its text, in the same way.
    pub fn damaged_from_text(text: &str) -> Option<Self> {
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
            // Request paths can't begin with this character.
            assert!(strongroom_types::RequestPath::parse(&shaped("|v3/a")).is_err());
        }
    }
}
