//! What sort of failure an error is. HTTP learns of it at the very end, in the `http` crate.

/// The sort of a failure. Every crate's error enum answers `kind()` with one of these.
///
/// The table from kinds to HTTP status codes is `http/src/error.rs`, and nowhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request is wrong: it can't succeed until the caller changes it.
    Invalid,
    /// The request is right, but the state it names has moved on (check-and-set and the like).
    Precondition,
    /// The caller may not do this, or didn't say who they are.
    Denied,
    /// There is nothing at this path.
    NotFound,
    /// The path exists, the operation does not.
    Unsupported,
    /// The body is larger than the limit.
    TooLarge,
    /// A rate or count limit was reached; later may work.
    Limited,
    /// Something in this server failed; the cause is in the log.
    Internal,
    /// An outside system limits our rate.
    Upstream,
    /// The server is sealed, or not yet initialised.
    Sealed,
    /// The server is stopping, or a part of it is not ready yet; later may work.
    Unavailable,
}

impl ErrorKind {
    /// Whether the message is meant for the caller. An internal error's message goes to the log.
    pub fn is_user_error(self) -> bool {
        !matches!(self, Self::Internal)
    }
}
