//! The barrier: everything below it is ciphertext, everything above it plain.
//!
//! In reading order:
//!
//! - [`seal`]: how the root key is protected while the server is down, and put together again
//! - [`key_ring`]: the keys that encrypt entries, by term, and how their use is counted
//! - [`record`]: the bytes of one encrypted entry
//! - [`barrier`]: [`Barrier`], reads and atomic batches in plain text, over a bounded cache
//! - [`view`]: [`View`], a part of the barrier under a prefix, which is all that a store or an
//!   engine gets to see
//!
//! Formats and the argument why a crash can't hurt: `docs/src/design/barrier.md`.
#![deny(missing_docs)]

// What the fuzz targets check sees the crate as others do.
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
pub use view::View;

use strongroom_types::ErrorKind;

/// Why the barrier did not do what was asked.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The barrier was closed: the server is sealed.
    #[error("the barrier is sealed")]
    Sealed,
    /// An entry on disk is not what was written under this key.
    #[error("the entry at {key} was changed or moved on disk: {reason}")]
    Tampered {
        /// The key in the physical store.
        key: String,
        /// What gave it away.
        reason: &'static str,
    },
    /// Every encryption the key ring has on account is used up, and extending it hasn't succeeded.
    #[error("the key ring's encryption count could not be extended; writes wait for storage")]
    Exhausted,
    /// The key ring was changed by someone else in the meantime.
    #[error("the key ring is being changed already")]
    RingChanged,
    /// The commit ended without an answer: the process is going down.
    #[error("the commit was interrupted; it may or may not have been applied")]
    Interrupted,
    /// A value too large to encrypt.
    #[error("the value at {key} is too large")]
    TooLarge {
        /// The key in the physical store.
        key: String,
    },
    /// A document that can't be written as JSON; nothing of its batch was written.
    #[error("the document for {key} can't be serialised")]
    Unserialisable {
        /// The key in the physical store.
        key: String,
    },
    /// The store below.
    #[error(transparent)]
    Storage(#[from] strongroom_storage::Error),
}

impl Error {
    /// What sort of failure this is.
    pub fn kind(&self) -> ErrorKind {
        use strongroom_storage::Error as Storage;
        match self {
            Self::Sealed => ErrorKind::Sealed,
            Self::Storage(Storage::Precondition { .. }) => ErrorKind::Precondition,
            Self::Storage(Storage::TooLarge { .. }) | Self::TooLarge { .. } => ErrorKind::TooLarge,
            _ => ErrorKind::Internal,
        }
    }

    /// The text without keys of the physical store. Of what is too large it says what, and how large
    /// it may be.
    pub fn client_message(&self) -> String {
        match self {
            Self::TooLarge { .. } => "the value is larger than the store takes".to_owned(),
            other => other.to_string(),
        }
    }

    /// Whether a batch was dropped because a precondition did not hold.
    pub fn is_precondition(&self) -> bool {
        matches!(self, Self::Storage(strongroom_storage::Error::Precondition { .. }))
    }
}
