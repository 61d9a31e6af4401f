//! [`EngineError`]: how a call to an engine fails, and what the client receives.

use std::sync::Arc;

use strongroom_types::{ErrorKind, RawObject};

/// The error of a call to an [`Engine`](super::Engine). Code behind a blueprint of the SDK returns
/// the SDK's own error type, which the SDK converts to this one.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The request is wrong; the message describes how to correct it.
    #[error("{message}")]
    User {
        /// The error text that the client receives.
        message: String,
        /// Data returned beside the error, for APIs that document some.
        data: Option<RawObject>,
    },
    /// A login was refused because of what the client sent as proof of its identity. Hosts count it
    /// for the lock of the user; the client receives the message with status 400.
    #[error("{message}")]
    InvalidCredentials {
        /// The error text that the client receives. It must not tell whether the user exists.
        message: String,
    },
    /// One of the errors with a fixed text and HTTP status.
    #[error("{}", .0.as_str())]
    Status(StatusKind),
    /// An error with an HTTP status that the engine chose, from 400 to 599.
    #[error("{message}")]
    Coded {
        /// The HTTP status code of the response.
        status: u16,
        /// The error text that the client receives.
        message: String,
    },
    /// Something failed that isn't the user's fault. The core logs the message and the cause. The
    /// client receives the message, as from the reference servers.
    #[error("{message}")]
    Internal {
        /// What failed. Must not contain secrets.
        message: String,
        /// The cause, for the log of the process that the engine runs in; the plug-in wire doesn't
        /// transmit it. Must not contain secrets.
        source: Option<Arc<dyn std::error::Error + Send + Sync>>,
    },
    /// The plug-in process can't be reached: it exited, is being restarted, or didn't respond.
    #[error("{message}")]
    Unavailable {
        /// What is known about the reason. Clients receive it.
        message: String,
        /// Whether the request may have reached the engine. Only a request that can't have may be
        /// retried.
        delivered: bool,
    },
}

/// Errors with a fixed text that the plug-in wire transmits as a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StatusKind {
    /// 400 with the fixed text only.
    BadRequest,
    /// The path exists but does not support the operation.
    UnsupportedOperation,
    /// The engine has no such path.
    UnsupportedPath,
    /// 400: the request is invalid.
    InvalidRequest,
    /// 403: the caller may not do this.
    PermissionDenied,
    /// A revocation that can never succeed; retrying is pointless.
    Unrecoverable,
    /// The outside system rejected the engine's call because of its rate limit.
    UpstreamRateLimited,
    /// The storage is read-only here, for example on a standby.
    ReadOnly,
}

impl StatusKind {
    /// The fixed error text. Clients and other servers match on it.
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

impl From<StatusKind> for EngineError {
    fn from(kind: StatusKind) -> Self {
        Self::Status(kind)
    }
}

impl EngineError {
    /// An [`EngineError::User`] without data: the request is wrong, and `message` has the reason.
    pub fn user(message: impl Into<String>) -> Self {
        Self::User { message: message.into(), data: None }
    }

    /// An [`EngineError::Internal`]: something failed that isn't the user's fault. The message must
    /// not contain secrets.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::Internal { message: message.into(), source: None }
    }

    /// An [`EngineError::Coded`] with status 413: a write exceeds a size limit of the store, which
    /// the message gives.
    pub fn too_large(message: impl Into<String>) -> Self {
        Self::Coded { status: 413, message: message.into() }
    }

    /// The category of this error, by which it is counted and mapped to an HTTP status.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::User { .. } | Self::InvalidCredentials { .. } => ErrorKind::Invalid,
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
