//! The barrier: the encryption layer. The physical store below it sees only ciphertext, and
//! everything above it works with plain text.
//!
//! In reading order:
//!
//! - [`seal`]: how the root key is protected while the server is down, and recovered from key
//!   shares
//! - [`key_ring`]: the keys that encrypt entries, by term, and how their use is counted
//! - [`record`]: the bytes of one encrypted entry
//! - [`barrier`]: [`Barrier`], decrypted reads and atomic batches, over a bounded cache
//! - [`view`]: [`View`], the keys of the barrier under one prefix, the only access that a store or
//!   an engine gets
//!
//! Formats, and why a crash at any point is harmless: `docs/src/design/barrier.md`.
// The fuzz checks are compiled into this crate's tests and refer to it by its external name.
#[cfg(test)]
extern crate self as strongroom_barrier;

pub mod barrier;
pub mod key_ring;
pub mod record;
pub mod seal;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod view;

#[cfg(test)]
mod fuzzed;
#[cfg(test)]
mod tests;

pub use barrier::{Barrier, BarrierEntry, BarrierOptions, Batch};
pub use seal::{SealConfig, UnsealAttempt};
pub use strongroom_storage::Version;
pub use view::{KeyPages, View};

use strongroom_types::ErrorKind;

/// Why a barrier operation failed. [`Error::kind`] gives the category. Clients may see the display
/// text, so messages of the operating system and file paths are only in the source.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The barrier was closed: the server is sealed.
    #[error("the barrier is sealed")]
    Sealed,
    /// An entry on disk can't be decrypted or decoded: it was modified, moved, or not written by
    /// this server.
    #[error("the entry at {key} was changed or moved on disk: {reason}")]
    Tampered {
        /// The key in the physical store.
        key: String,
        /// What the check found, for the log.
        reason: &'static str,
    },
    /// All encryptions reserved by the key ring are used up, and extending the reservation hasn't
    /// succeeded yet.
    #[error("the key ring's encryption count could not be extended; writes wait for storage")]
    Exhausted,
    /// Concurrent changes of the key ring interfered too many times.
    #[error("the key ring is being changed already")]
    RingChanged,
    /// The commit ended without a result, because it panicked or its task was cancelled.
    #[error("the commit was interrupted; it may or may not have been applied")]
    Interrupted,
    /// The value exceeds what the cipher can encrypt at once.
    #[error("the value is larger than the store takes")]
    TooLarge {
        /// The key in the physical store.
        key: String,
    },
    /// The document can't be serialised as JSON; nothing of its batch was written.
    #[error("the document for {key} can't be serialised")]
    Unserialisable {
        /// The key in the physical store.
        key: String,
    },
    /// An error of the physical store, including failed preconditions.
    #[error("{}", storage_message(.0))]
    Storage(#[from] strongroom_storage::Error),
}

/// The display text of [`Error::Storage`].
fn storage_message(error: &strongroom_storage::Error) -> String {
    use strongroom_storage::Error as Storage;
    match error {
        Storage::Io(_) | Storage::Corrupt(_) | Storage::Closed(_) | Storage::Refused(_) => {
            "the server's store failed; see its log".to_owned()
        }
        other => other.to_string(),
    }
}

impl Error {
    /// The category of the failure, which determines the HTTP status code. `Internal` unless it is
    /// sealed, too large or a failed precondition.
    pub fn kind(&self) -> ErrorKind {
        use strongroom_storage::Error as Storage;
        match self {
            Self::Sealed => ErrorKind::Sealed,
            Self::Storage(Storage::Precondition { .. }) => ErrorKind::Precondition,
            Self::Storage(Storage::TooLarge { .. }) | Self::TooLarge { .. } => ErrorKind::TooLarge,
            _ => ErrorKind::Internal,
        }
    }

    /// Whether a batch was rejected because one of its preconditions did not hold, so that nothing
    /// was written; the caller may read again and retry.
    pub fn is_precondition(&self) -> bool {
        matches!(self, Self::Storage(strongroom_storage::Error::Precondition { .. }))
    }
}
