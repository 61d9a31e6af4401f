//! [`ErrorKind`], the category of an error. Only the `http` crate maps it to a status code.

/// The category of a failure. Every crate's error enum returns one of these from `kind()`.
///
/// The mapping from kinds to HTTP status codes is defined in `http/src/error.rs` only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request is malformed or not acceptable: it can't succeed until the caller changes it.
    Invalid,
    /// The request is valid, but the current state doesn't meet its condition (check-and-set and
    /// the like).
    Precondition,
    /// The caller isn't authenticated, or its policies don't allow the operation.
    Denied,
    /// Nothing exists at the requested path.
    NotFound,
    /// The path exists but doesn't support the operation.
    Unsupported,
    /// The request body, or a value in it or made from it, is larger than a limit allows.
    TooLarge,
    /// A rate or count limit was reached; a later attempt may succeed.
    Limited,
    /// Something in this server failed; the cause is in the log.
    Internal,
    /// An outside system refused our requests because of its own rate limit.
    Upstream,
    /// The server is sealed, or not yet initialised.
    Sealed,
    /// The server is shutting down, or a part of it is not ready yet; a later attempt may succeed.
    Unavailable,
}

impl ErrorKind {
    /// Whether the caller can do something about the error. False for internal errors, which are a
    /// failure of the server or of an engine.
    pub fn is_user_error(self) -> bool {
        !matches!(self, Self::Internal)
    }
}
