//! [`Error`]: the error of a failed request: the message for the client, and the cause for the log.
//! The `http` crate chooses the HTTP status from [`Error::kind`] and renders the message.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use strongroom_engine::{EngineError, StatusKind};
use strongroom_mounts::plugins::CatalogError;
pub use strongroom_types::printable::sanitise_message;
use strongroom_types::serial_queue::SerialQueueError;
use strongroom_types::{ErrorKind, RawObject};

/// The error of a failed request: a kind, the message for the client, and optionally data and a
/// cause. The cause is only for the server's log and is returned by
/// [`source`](std::error::Error::source); [`Display`](fmt::Display) gives the client's message.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    /// The message for the client; `None` for an empty list of errors.
    message: Option<Cow<'static, str>>,
    /// See [`Error::is_collected`].
    collected: bool,
    /// The HTTP status the engine chose, if it chose one.
    status: Option<u16>,
    data: Option<RawObject>,
    /// Seconds after which the client may retry.
    retry_after_secs: Option<u32>,
    /// The cause, boxed because most errors have none.
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error whose message the client receives unchanged, like the error response of an engine.
    pub fn with_message(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self { message: Some(message.into()), ..Self::without_message(kind) }
    }

    /// An error that is reported as an item of a list: see [`Error::is_collected`].
    pub fn collected(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self { collected: true, ..Self::with_message(kind, message) }
    }

    /// An error of which the client receives only the status.
    pub fn without_message(kind: ErrorKind) -> Self {
        Self {
            kind,
            message: None,
            collected: false,
            status: None,
            data: None,
            retry_after_secs: None,
            source: None,
        }
    }

    /// An `Invalid` error: the request cannot succeed unchanged.
    pub fn invalid(message: impl Into<Cow<'static, str>>) -> Self {
        Self::with_message(ErrorKind::Invalid, message)
    }

    /// The error for a missing or invalid token. The client receives only "permission denied".
    pub fn invalid_token() -> Self {
        Self::with_message(ErrorKind::Denied, "permission denied")
    }

    /// The error for a valid token whose policies do not allow the request.
    pub fn denied() -> Self {
        Self::collected(ErrorKind::Denied, "permission denied")
    }

    /// The error for a path that exists but does not support the operation.
    pub fn unsupported_operation() -> Self {
        EngineError::Status(StatusKind::UnsupportedOperation).into()
    }

    /// The error for a path that the engine does not have.
    pub fn unsupported_path() -> Self {
        EngineError::Status(StatusKind::UnsupportedPath).into()
    }

    /// The error for a feature that restricts or redirects and is not implemented: such requests
    /// are refused, never processed without it.
    pub fn not_implemented(what: &str) -> Self {
        Self::invalid(format!("{what} is not supported by this server"))
    }

    /// The error while the server is sealed or not initialised.
    pub fn sealed() -> Self {
        Self::with_message(ErrorKind::Sealed, "Vault is sealed")
    }

    /// An `Internal` error: something failed in the server. Add the cause with
    /// [`Error::caused_by`]; the message should not repeat it, because clients receive the message.
    pub fn internal(message: impl Into<Cow<'static, str>>) -> Self {
        Self::collected(ErrorKind::Internal, message)
    }

    /// The `Internal` error for a response or record that could not be encoded as JSON.
    pub fn unencodable(cause: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::internal("the response could not be encoded").caused_by(cause)
    }

    /// Adds the cause, for the server's log. Clients never receive it.
    #[must_use]
    pub fn caused_by(self, cause: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self { source: Some(Box::new(cause)), ..self }
    }

    /// Adds the number of seconds after which the client may retry.
    #[must_use]
    pub fn retry_after(self, secs: u32) -> Self {
        Self { retry_after_secs: Some(secs), ..self }
    }

    /// Replaces the client's message by one made from it. The cause stays.
    #[must_use]
    pub fn map_message(self, change: impl FnOnce(&str) -> String) -> Self {
        let message = self.message.as_deref().map(|message| change(message).into());
        Self { message, ..self }
    }

    /// The error with [`Error::is_collected`] unset: errors of unauthenticated paths are never list
    /// items.
    #[must_use]
    pub fn uncollected(self) -> Self {
        Self { collected: false, ..self }
    }

    /// The category of the failure, from which `http` chooses the status.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The HTTP status the engine chose, 400 to 599; `None` if [`Error::kind`] decides.
    pub fn engine_status(&self) -> Option<u16> {
        self.status
    }

    /// The message for the client; `None` if it receives only the status.
    pub fn client_message(&self) -> Option<&str> {
        self.message.as_deref()
    }

    /// Whether the reference servers report this error as an item of a list of errors, as they do
    /// for most errors that a handler returns instead of a response. Clients match on the text of
    /// such lists, so `http` renders it.
    pub fn is_collected(&self) -> bool {
        self.collected
    }

    /// The number of seconds after which the client may retry, if known.
    pub fn retry_after_secs(&self) -> Option<u32> {
        self.retry_after_secs
    }

    /// The `data` an engine returned with its error, if any.
    pub fn data(&self) -> Option<&RawObject> {
        self.data.as_ref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.client_message().unwrap_or("nothing found"))
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

/// An engine's message is text from a plug-in or an outside system, so it is sanitised to printable
/// characters on one line.
impl From<EngineError> for Error {
    fn from(error: EngineError) -> Self {
        let kind = error.kind();
        match error {
            EngineError::User { message, data } => {
                Self { data, ..Self::with_message(kind, sanitise_message(&message)) }
            }
            EngineError::InvalidCredentials { message } => {
                Self::with_message(kind, sanitise_message(&message))
            }
            EngineError::Coded { status, message } => {
                let status = Some(status.clamp(400, 599));
                Self { status, ..Self::collected(kind, sanitise_message(&message)) }
            }
            EngineError::Internal { message, source } => {
                let error = Self::internal(sanitise_message(&message));
                match source {
                    Some(source) => error.caused_by(SharedError(source)),
                    None => error,
                }
            }
            other => Self::collected(kind, sanitise_message(&other.to_string())),
        }
    }
}

/// An error of an engine, which several errors may share.
#[derive(Debug)]
struct SharedError(Arc<dyn std::error::Error + Send + Sync>);

impl fmt::Display for SharedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl std::error::Error for SharedError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

/// The maximum number of an engine's warnings in a response.
const MAX_WARNINGS: usize = 64;

/// [`sanitise_message`] for an engine's warnings; at most [`MAX_WARNINGS`] are kept.
pub fn sanitise_warnings(warnings: &[String]) -> Vec<String> {
    warnings.iter().take(MAX_WARNINGS).map(|warning| sanitise_message(warning)).collect()
}

/// The client receives the kind of the failure. The file or key is only logged.
impl From<strongroom_barrier::Error> for Error {
    fn from(error: strongroom_barrier::Error) -> Self {
        match error.kind() {
            ErrorKind::Sealed => Self::sealed(),
            kind => Self::collected(kind, error.to_string()).caused_by(error),
        }
    }
}

impl From<strongroom_token::Error> for Error {
    fn from(error: strongroom_token::Error) -> Self {
        match error {
            strongroom_token::Error::Barrier(error) => error.into(),
            other => Self::with_message(other.kind(), other.to_string()),
        }
    }
}

impl From<strongroom_lease::Error> for Error {
    fn from(error: strongroom_lease::Error) -> Self {
        match error {
            strongroom_lease::Error::Barrier(error) => error.into(),
            other => Self::with_message(other.kind(), other.to_string()),
        }
    }
}

impl From<strongroom_policy::PolicyStoreError> for Error {
    fn from(error: strongroom_policy::PolicyStoreError) -> Self {
        match error {
            strongroom_policy::PolicyStoreError::Barrier(error) => error.into(),
            strongroom_policy::PolicyStoreError::Queue(error) => error.into(),
            other => Self::with_message(other.kind(), other.to_string()),
        }
    }
}

impl From<strongroom_policy::password_store::PasswordStoreError> for Error {
    fn from(error: strongroom_policy::password_store::PasswordStoreError) -> Self {
        match error {
            strongroom_policy::password_store::PasswordStoreError::Barrier(error) => error.into(),
            other => Self::collected(other.kind(), other.to_string()),
        }
    }
}

impl From<SerialQueueError> for Error {
    fn from(error: SerialQueueError) -> Self {
        let kind = ErrorKind::Unavailable;
        match error {
            SerialQueueError::Full => Self::with_message(kind, error.to_string()).retry_after(1),
            other => Self::with_message(kind, other.to_string()),
        }
    }
}

/// Errors of the `Internal` kind are collected in a list, all others are not.
impl From<strongroom_mounts::Error> for Error {
    fn from(error: strongroom_mounts::Error) -> Self {
        match error {
            strongroom_mounts::Error::Sealed => Self::sealed(),
            strongroom_mounts::Error::Engine(error) => error.into(),
            strongroom_mounts::Error::Queue(error) => error.into(),
            strongroom_mounts::Error::Barrier(error) => error.into(),
            other => match other.kind() {
                ErrorKind::Internal => Self::internal(other.to_string()).caused_by(other),
                kind => Self::with_message(kind, other.to_string()),
            },
        }
    }
}

impl From<CatalogError> for Error {
    fn from(error: CatalogError) -> Self {
        match error {
            CatalogError::Barrier(error) => error.into(),
            CatalogError::NoTurn(error) => error.into(),
            other => Self::with_message(other.kind(), other.to_string()),
        }
    }
}

impl From<strongroom_schema::field::InvalidInput> for Error {
    fn from(error: strongroom_schema::field::InvalidInput) -> Self {
        Self::invalid(error.to_string())
    }
}

impl From<strongroom_types::path::InvalidPath> for Error {
    fn from(error: strongroom_types::path::InvalidPath) -> Self {
        Self::invalid(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use strongroom_mounts::Error as MountError;
    use strongroom_mounts::plugins::PluginError;
    use strongroom_types::MountKind;

    use super::*;

    #[test]
    fn errors_of_mounts_keep_kind_and_message() {
        let lacking = EngineError::user("no\nkey");
        let unopened = |error: PluginError| MountError::Open(error);
        let (kind, path) = (MountKind::Auth, "x/".to_owned());
        for (error, kind, collected, text) in [
            (
                MountError::ReservedPath("sys/".into()),
                ErrorKind::Invalid,
                false,
                "cannot mount \"sys/\"".into(),
            ),
            (
                MountError::NothingToReload { kind, path },
                ErrorKind::Invalid,
                false,
                "No auth engine at x/".into(),
            ),
            (MountError::Sealed, ErrorKind::Sealed, false, "Vault is sealed".to_owned()),
            (MountError::InvalidUuid, ErrorKind::Internal, true, "a UUID could not be made".into()),
            (
                unopened(PluginError::Invalid("a\nb".into())),
                ErrorKind::Invalid,
                false,
                "a b".into(),
            ),
            (unopened(PluginError::Start("a\nb".into())), ErrorKind::Internal, true, "a b".into()),
            (
                unopened(lacking.clone().into()),
                ErrorKind::Invalid,
                false,
                "invalid backend version: no key".into(),
            ),
            (lacking.into(), ErrorKind::Invalid, false, "no key".into()),
            (
                strongroom_barrier::Error::Sealed.into(),
                ErrorKind::Sealed,
                false,
                "Vault is sealed".into(),
            ),
            (
                strongroom_barrier::Error::Exhausted.into(),
                ErrorKind::Internal,
                true,
                strongroom_barrier::Error::Exhausted.to_string(),
            ),
        ] {
            let error = Error::from(error);
            assert_eq!((error.kind(), error.is_collected()), (kind, collected), "{text}");
            assert_eq!(error.client_message(), Some(&*text));
        }
        let busy = Error::from(MountError::Queue(SerialQueueError::Full));
        assert_eq!((busy.kind(), busy.retry_after_secs()), (ErrorKind::Unavailable, Some(1)));
        let coded = EngineError::Coded { status: 418, message: "tea".to_owned() };
        assert_eq!(Error::from(MountError::Engine(coded)).engine_status(), Some(418));
    }

    /// Paths of server files and messages of the OS are only for the server's log.
    #[test]
    fn causes_of_storage_errors_reach_the_log_and_not_the_client() {
        let io = strongroom_storage::Error::Io("open /var/lib/x: Os { code: 5 }".to_owned());
        let error = Error::from(strongroom_barrier::Error::from(io));
        assert_eq!(error.to_string(), "the server's store failed; see its log");
        assert_eq!(
            strongroom_types::chain(&error).to_string(),
            "the server's store failed; see its log: \
             storage I/O failed: open /var/lib/x: Os { code: 5 }"
        );
    }

    #[test]
    fn the_cause_of_an_engines_error_reaches_the_log_and_not_the_client() {
        let cause = std::io::Error::other("connection reset by 192.0.2.1");
        let error = EngineError::Internal {
            message: "the database can't be reached".to_owned(),
            source: Some(Arc::new(cause)),
        };
        let error = Error::from(error).map_message(|text| format!("no lease: {text}"));
        assert_eq!(error.client_message(), Some("no lease: the database can't be reached"));
        assert_eq!(
            strongroom_types::chain(&error).to_string(),
            "no lease: the database can't be reached: connection reset by 192.0.2.1"
        );
    }
}
