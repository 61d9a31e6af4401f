//! [`EngineError`]: what an engine says went wrong, and how far that reaches the client.

use strongroom_types::{ErrorKind, RawObject};

/// An engine's error.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The request is wrong; the message tells the user what to do.
    #[error("{message}")]
    User {
        /// For the client.
        message: String,
        /// Data to go with it, where an API promises some.
        data: Option<RawObject>,
    },
    /// One of the errors that have a fixed text and status.
    #[error("{}", .0.as_str())]
    Status(StatusKind),
    /// An HTTP status of the engine's choice, 400 to 599.
    #[error("{message}")]
    Coded {
        /// The status.
        status: u16,
        /// For the client.
        message: String,
    },
    /// Something failed that isn't the user's fault. The message goes to the log; the client hears
    /// it too where the API it replaces does so.
    #[error("{message}")]
    Internal {
        /// What failed, without secrets.
        message: String,
    },
    /// The engine can't be reached: its process ended, is being restarted, or didn't answer.
    #[error("{message}")]
    Unavailable {
        /// What is known.
        message: String,
        /// Whether the request can have reached the engine. Only one that can't may be repeated.
        delivered: bool,
    },
}

/// Errors with a fixed text, as the plug-in wire numbers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StatusKind {
    /// 400 without further words.
    BadRequest,
    /// The path has no such operation.
    UnsupportedOperation,
    /// The engine has no such path.
    UnsupportedPath,
    /// 400.
    InvalidRequest,
    /// 403.
    PermissionDenied,
    /// A revocation that will never work.
    Unrecoverable,
    /// The outside system limits our rate.
    UpstreamRateLimited,
    /// Storage can't be written here.
    ReadOnly,
}

impl StatusKind {
    /// The text that clients match on.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "bad request",
            Self::UnsupportedOperation => "unsupported operation",
            Self::UnsupportedPath => "unsupported path",
            Self::InvalidRequest => "invalid request",
            Self::PermissionDenied => "permission denied",
            Self::Unrecoverable => "unrecoverable error",
            Self::UpstreamRateLimited => "upstream rate limited",
            Self::ReadOnly => "cannot write to readonly storage",
        }
    }
}

impl EngineError {
    /// The request is wrong, for this reason.
    pub fn user(message: impl Into<String>) -> Self {
        Self::User { message: message.into(), data: None }
    }

    /// Something failed that isn't the user's fault.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::Internal { message: message.into() }
    }

    /// The sort of failure.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::User { .. } => ErrorKind::Invalid,
            Self::Status(kind) => match kind {
                StatusKind::BadRequest | StatusKind::InvalidRequest => ErrorKind::Invalid,
                StatusKind::UnsupportedOperation => ErrorKind::Unsupported,
                StatusKind::UnsupportedPath => ErrorKind::NotFound,
                StatusKind::PermissionDenied => ErrorKind::Denied,
                StatusKind::UpstreamRateLimited => ErrorKind::Upstream,
                StatusKind::Unrecoverable | StatusKind::ReadOnly => ErrorKind::Internal,
            },
            Self::Coded { .. } | Self::Internal { .. } | Self::Unavailable { .. } => {
                ErrorKind::Internal
            }
        }
    }
}
