//! [`Error`]: why the store did not do what was asked.

use strongroom_types::ErrorKind;

use crate::store::MAX_DEPTH;

/// Why the store did not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The token is being revoked, or used up.
    #[error("permission denied")]
    Revoked,
    /// Too many requests count uses of one token at the same time.
    #[error("the token is in use by too many requests at once; try again")]
    Contended,
    /// Too many tokens lie above one that was to be made.
    #[error("a token can't have more than {MAX_DEPTH} tokens above it; make an orphan instead")]
    TooDeep,
    /// More than fits into a header.
    #[error("a batch token can't carry that much; give it fewer policies or less metadata")]
    BatchTooLarge,
    /// The barrier.
    #[error(transparent)]
    Barrier(#[from] strongroom_barrier::Error),
}

impl Error {
    /// The sort of failure.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Revoked => ErrorKind::Denied,
            Self::Contended => ErrorKind::Unavailable,
            Self::TooDeep => ErrorKind::Invalid,
            Self::BatchTooLarge => ErrorKind::TooLarge,
            Self::Barrier(error) => error.kind(),
        }
    }
}
