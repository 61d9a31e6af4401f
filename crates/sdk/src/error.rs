//! [`Error`]: the error type of an engine's own code. The caller has to decide whether the user or
//! the engine is at fault; no foreign error type converts into it implicitly.

use std::sync::Arc;

use strongroom_engine::{EngineError, StatusKind, StorageError, SystemError};
use strongroom_types::RawObject;
use strongroom_types::serial_queue::SerialQueueError;

/// The HTTP status for a request that failed because of concurrent changes and may be retried.
const BUSY_STATUS: u16 = 503;
/// The HTTP statuses of [`Error::denied`] and [`Error::conflict`].
const DENIED_STATUS: u16 = 403;
const CONFLICT_STATUS: u16 = 409;
/// The HTTP status of [`Error::not_found`].
const NOT_FOUND_STATUS: u16 = 404;

/// An error returned by an engine's code. The constructor decides what the client receives.
#[derive(Clone, Debug, thiserror::Error)]
#[error(transparent)]
pub struct Error(ErrorRepr);

#[derive(Clone, Debug, thiserror::Error)]
enum ErrorRepr {
    #[error("{0}")]
    User(String),
    /// The engine refuses the request, with a status other than 400.
    #[error("{message}")]
    Refused { status: u16, message: String },
    #[error("{message}")]
    Internal { message: String, source: Option<Arc<dyn std::error::Error + Send + Sync>> },
    #[error("{system}: {call} answered {status}")]
    Answered { system: &'static str, call: String, status: u16 },
    #[error("{system}: {call} answered {status}")]
    InDoubt { system: &'static str, call: String, status: u16 },
    #[error("{system}: {call} got no answer: {reason}")]
    Unanswered { system: &'static str, call: String, reason: String },
    /// Nothing was changed, and the client may retry.
    #[error("{0}")]
    Busy(&'static str),
    #[error("{0}")]
    Storage(#[from] StorageError),
}

impl Error {
    /// The request is wrong. The client receives the message with status 400, so describe how to
    /// correct it.
    pub fn user(message: impl Into<String>) -> Self {
        Self(ErrorRepr::User(message.into()))
    }

    /// The engine refuses the request to this caller, whatever the policies of the token allow. The
    /// client receives the message with status 403 under every host, in the form that Vault gives to
    /// errors with a status of their own: as the only item of a list, `1 error occurred: …`.
    ///
    /// # Examples
    ///
    /// ```
    /// use strongroom_sdk::{Context, Error};
    ///
    /// fn check_borrower(context: &Context, borrower: &str) -> Result<(), Error> {
    ///     let entity = context.caller().and_then(|caller| caller.entity_id());
    ///     match entity == Some(borrower) {
    ///         true => Ok(()),
    ///         false => Err(Error::denied("the account was checked out by another entity")),
    ///     }
    /// }
    /// # let _ = check_borrower;
    /// ```
    pub fn denied(message: impl Into<String>) -> Self {
        Self(ErrorRepr::Refused { status: DENIED_STATUS, message: message.into() })
    }

    /// The request conflicts with the present state, for example because an account is checked out
    /// already. The client receives the message with status 409, in the same form as that of
    /// [`Error::denied`].
    pub fn conflict(message: impl Into<String>) -> Self {
        Self(ErrorRepr::Refused { status: CONFLICT_STATUS, message: message.into() })
    }

    /// The request needs an object that doesn't exist, for example the role that a secret is to be
    /// issued for. The client receives the message with status 404, in the same form as that of
    /// [`Error::denied`]. For the object that the path itself names, return
    /// [`Response::not_found`](crate::Response::not_found).
    pub fn not_found(message: impl Into<String>) -> Self {
        Self(ErrorRepr::Refused { status: NOT_FOUND_STATUS, message: message.into() })
    }

    /// Something failed that isn't the user's fault. The message must not contain secrets.
    pub fn internal(message: impl Into<String>) -> Self {
        Self(ErrorRepr::Internal { message: message.into(), source: None })
    }

    /// Something failed that isn't the user's fault, because of `cause`. The client receives only
    /// the message; the log contains the cause and its sources too. Neither must contain secrets.
    ///
    /// # Examples
    ///
    /// ```
    /// use strongroom_sdk::Error;
    ///
    /// let read = std::fs::read("/no/such/file");
    /// let error = read.map_err(|cause| Error::internal_caused_by("the CA can't be read", cause));
    /// assert_eq!(error.unwrap_err().to_string(), "the CA can't be read");
    /// ```
    pub fn internal_caused_by(
        message: impl Into<String>,
        cause: impl std::error::Error + Send + Sync + 'static,
    ) -> Self {
        Self(ErrorRepr::Internal { message: message.into(), source: Some(Arc::new(cause)) })
    }

    /// The outside system responded to `call` with a status that means failure. A status of 429 is
    /// reported to the client as "upstream rate limited"; any other one is an internal error.
    pub fn answered(system: &'static str, call: impl Into<String>, status: u16) -> Self {
        Self(ErrorRepr::Answered { system, call: call.into(), status })
    }

    /// The outside system did not respond, so it is unknown whether the call took effect. If it was
    /// to issue a credential, the SDK searches for the credential later and undoes it.
    pub fn unanswered(
        system: &'static str,
        call: impl Into<String>,
        reason: impl Into<String>,
    ) -> Self {
        Self(ErrorRepr::Unanswered { system, call: call.into(), reason: reason.into() })
    }

    /// The outside system responded with a failure status but may have carried out the call anyway,
    /// for example a cluster that lost its leader meanwhile. Treated like [`Error::unanswered`].
    pub fn in_doubt(system: &'static str, call: impl Into<String>, status: u16) -> Self {
        Self(ErrorRepr::InDoubt { system, call: call.into(), status })
    }

    /// Whether the message is meant for the user: the request is wrong, or the engine refuses it.
    pub(crate) fn is_for_user(&self) -> bool {
        matches!(self.0, ErrorRepr::User(_) | ErrorRepr::Refused { .. })
    }

    /// Whether reading or writing the storage failed, so that another attempt may succeed.
    pub(crate) fn is_storage(&self) -> bool {
        matches!(self.0, ErrorRepr::Storage(_))
    }

    /// Nothing was changed because of concurrent writes. The client should retry.
    pub(crate) fn write_conflict() -> Self {
        Self::busy("others keep changing this; try again")
    }

    /// Nothing was done, and the client may retry.
    pub(crate) fn busy(message: &'static str) -> Self {
        Self(ErrorRepr::Busy(message))
    }

    /// Whether the outside system may have carried out the call, or may still be doing so. Only a
    /// rejection by the outside system itself is certain: 408, 502, 503 and 504 may come from a
    /// proxy that timed out.
    pub fn is_uncertain(&self) -> bool {
        match &self.0 {
            ErrorRepr::User(_) | ErrorRepr::Refused { .. } | ErrorRepr::Busy(_) => false,
            ErrorRepr::Answered { status, .. } => matches!(status, 408 | 502..=504),
            ErrorRepr::InDoubt { .. }
            | ErrorRepr::Internal { .. }
            | ErrorRepr::Unanswered { .. }
            | ErrorRepr::Storage(_) => true,
        }
    }
}

impl From<StorageError> for Error {
    fn from(error: StorageError) -> Self {
        Self(ErrorRepr::Storage(error))
    }
}

impl From<SerialQueueError> for Error {
    fn from(error: SerialQueueError) -> Self {
        match error {
            SerialQueueError::Full => {
                Self(ErrorRepr::Busy("too many changes are waiting; try again"))
            }
            other => Self::internal(other.to_string()),
        }
    }
}

impl From<SystemError> for Error {
    fn from(error: SystemError) -> Self {
        Self::internal(error.to_string())
    }
}

impl From<Error> for EngineError {
    fn from(error: Error) -> Self {
        match error.0 {
            ErrorRepr::User(message) => Self::User { message, data: None::<RawObject> },
            ErrorRepr::Refused { status, message } => Self::Coded { status, message },
            ErrorRepr::Busy(message) => {
                Self::Coded { status: BUSY_STATUS, message: message.to_owned() }
            }
            ErrorRepr::Answered { status: 429, .. } => {
                Self::Status(StatusKind::UpstreamRateLimited)
            }
            // Servers recognise this error by its text, so it must not be changed.
            ErrorRepr::Storage(StorageError::ReadOnly) => Self::Status(StatusKind::ReadOnly),
            ErrorRepr::Storage(StorageError::TooLarge(message)) => Self::too_large(message),
            ErrorRepr::Internal { message, source } => Self::Internal { message, source },
            other => Self::internal(other.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_system_call_and_status() {
        let error = Error::answered("token service", "POST /tokens", 500);
        assert_eq!(error.to_string(), "token service: POST /tokens answered 500");
        assert!(!error.is_uncertain());
        assert!(Error::unanswered("token service", "POST /tokens", "timed out").is_uncertain());
    }

    #[test]
    fn only_the_outside_systems_own_refusal_is_certain() {
        let uncertain = |status| Error::answered("s", "POST /", status).is_uncertain();
        assert!([400, 401, 403, 409, 422, 429, 500, 507].into_iter().all(|s| !uncertain(s)));
        assert!([408, 502, 503, 504].into_iter().all(uncertain));
        assert!(Error::in_doubt("s", "POST /", 500).is_uncertain());
        assert_eq!(Error::in_doubt("s", "POST /", 500).to_string(), "s: POST / answered 500");
        assert!(Error::internal("the answer makes no sense").is_uncertain());
        assert!(!Error::user("no such region").is_uncertain());
        assert!(!Error::denied("not yours").is_uncertain());
        assert!(!Error::conflict("taken").is_uncertain());
    }

    #[test]
    fn too_large_writes_are_the_callers_fault() {
        let text = "the value is larger than the store takes (10 bytes)";
        let error = StorageError::too_large_from_text(text).unwrap();
        let error = EngineError::from(Error::from(error));
        assert!(matches!(error, EngineError::Coded { status: 413, message } if message == text));
        assert!(StorageError::too_large_from_text("the storage device is full").is_none());
    }

    #[test]
    fn a_rate_limit_outside_has_its_own_status() {
        let error = EngineError::from(Error::answered("s", "GET /", 429));
        assert!(matches!(error, EngineError::Status(StatusKind::UpstreamRateLimited)));
    }
}
