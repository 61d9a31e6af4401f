//! [`Error`]: why an operation of the token store failed.

use strongroom_types::ErrorKind;

use crate::token::MAX_DEPTH;

/// Why an operation of the token store failed. [`Error::kind`] gives the category that determines
/// the HTTP status code.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The token is being revoked, or has no uses left.
    #[error("permission denied")]
    Revoked,
    /// Too many concurrent requests changed the same token, and the retries were used up.
    #[error("the token is in use by too many requests at once; try again")]
    Contended,
    /// The new token would have more than [`MAX_DEPTH`] ancestors.
    #[error("a token can't have more than {MAX_DEPTH} tokens above it; make an orphan instead")]
    TooDeep,
    /// The batch token would be too long for a request header.
    #[error("a batch token can't carry that much; give it fewer policies or less metadata")]
    BatchTooLarge,
    /// An error of the barrier or the store below it.
    #[error(transparent)]
    Barrier(#[from] strongroom_barrier::Error),
}

impl Error {
    /// The category of the failure, which determines the HTTP status code. A token being revoked,
    /// or without uses left, is denied.
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
