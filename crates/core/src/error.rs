//! [`Error`]: the error of a failed request, with the messages the client receives. The `http`
//! crate chooses the HTTP status from [`Error::kind`].

use std::fmt;

use strongroom_engine::{EngineError, StatusKind};
use strongroom_mounts::plugins::CatalogError;
pub use strongroom_types::printable::sanitise_message;
use strongroom_types::serial_queue::SerialQueueError;
use strongroom_types::{ErrorKind, RawObject};

/// The error of a failed request: a kind, the client's messages, and optionally data.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    text: ErrorText,
    /// The HTTP status the engine chose, if it chose one.
    status: Option<u16>,
    data: Option<RawObject>,
    /// Seconds after which the client may retry.
    retry_after_secs: Option<u32>,
}

/// The two message formats of the reference server, and the empty one.
#[derive(Debug)]
enum ErrorText {
    /// `{"errors":[]}`.
    None,
    /// `{"errors":["text"]}`.
    Plain(String),
    /// `{"errors":["1 error occurred:\n\t* text\n\n"]}`.
    List(String),
}

impl Error {
    /// An error with one plain message: `{"errors":["text"]}`.
    pub fn with_message(kind: ErrorKind, text: impl Into<String>) -> Self {
        Self {
            kind,
            text: ErrorText::Plain(text.into()),
            status: None,
            data: None,
            retry_after_secs: None,
        }
    }

    /// An error whose message is formatted as a list with one item, as the reference server does
    /// for some errors: `1 error occurred:\n\t* text\n\n`.
    pub fn with_message_list(kind: ErrorKind, text: impl Into<String>) -> Self {
        Self {
            kind,
            text: ErrorText::List(text.into()),
            status: None,
            data: None,
            retry_after_secs: None,
        }
    }

    /// An error without a message: `{"errors":[]}`.
    pub fn without_message(kind: ErrorKind) -> Self {
        Self { kind, text: ErrorText::None, status: None, data: None, retry_after_secs: None }
    }

    /// An `Invalid` error with a plain message: the request cannot succeed unchanged.
    pub fn invalid(text: impl Into<String>) -> Self {
        Self::with_message(ErrorKind::Invalid, text)
    }

    /// The error for a missing or invalid token. The client learns no more than "permission
    /// denied".
    pub fn invalid_token() -> Self {
        Self::with_message(ErrorKind::Denied, "permission denied")
    }

    /// The error for a valid token whose policies do not allow the request.
    pub fn denied() -> Self {
        Self::with_message_list(ErrorKind::Denied, "permission denied")
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

    /// An `Internal` error: something failed in the server, and the cause is in the log.
    pub fn internal(text: impl Into<String>) -> Self {
        Self::with_message_list(ErrorKind::Internal, text)
    }

    /// Adds the number of seconds after which the client may retry.
    #[must_use]
    pub fn retry_after(self, secs: u32) -> Self {
        Self { retry_after_secs: Some(secs), ..self }
    }

    /// Converts a list-formatted message into a plain one, which is the format that unauthenticated
    /// paths use.
    #[must_use]
    pub fn into_plain_message(self) -> Self {
        let text = match self.text {
            ErrorText::List(text) => ErrorText::Plain(text),
            other => other,
        };
        Self { text, ..self }
    }

    /// The category of the failure, from which `http` chooses the status.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The HTTP status the engine chose, 400 to 599; `None` if [`Error::kind`] decides.
    pub fn engine_status(&self) -> Option<u16> {
        self.status
    }

    /// The entries of `errors` in the response body; empty if there is no message.
    pub fn messages(&self) -> Vec<String> {
        match &self.text {
            ErrorText::None => Vec::new(),
            ErrorText::Plain(text) => vec![text.clone()],
            ErrorText::List(text) => vec![format!("1 error occurred:\n\t* {text}\n\n")],
        }
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
        match &self.text {
            ErrorText::None => f.write_str("nothing found"),
            ErrorText::Plain(text) | ErrorText::List(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for Error {}

/// An engine's message is text from a plug-in or an outside system, so it is sanitised to printable
/// characters on one line.
impl From<EngineError> for Error {
    fn from(error: EngineError) -> Self {
        let kind = error.kind();
        match error {
            EngineError::User { message, data } => {
                Self { data, ..Self::with_message(kind, sanitise_message(&message)) }
            }
            EngineError::Coded { status, message } => {
                let status = Some(status.clamp(400, 599));
                Self { status, ..Self::with_message_list(kind, sanitise_message(&message)) }
            }
            EngineError::Unavailable { message, .. } => {
                Self::with_message_list(ErrorKind::Internal, sanitise_message(&message))
            }
            other => Self::with_message_list(kind, sanitise_message(&other.to_string())),
        }
    }
}

/// The maximum number of an engine's warnings in a response.
const MAX_WARNINGS: usize = 64;

/// [`sanitise_message`] for an engine's warnings; at most [`MAX_WARNINGS`] are kept.
pub fn sanitise_warnings(warnings: &[String]) -> Vec<String> {
    warnings.iter().take(MAX_WARNINGS).map(|warning| sanitise_message(warning)).collect()
}

/// Messages of storage errors name keys and causes, never values.
impl From<strongroom_barrier::Error> for Error {
    fn from(error: strongroom_barrier::Error) -> Self {
        match error.kind() {
            ErrorKind::Sealed => Self::sealed(),
            kind => Self::with_message_list(kind, error.client_message()),
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
            other => Self::with_message_list(other.kind(), other.to_string()),
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

/// Messages of the `Internal` kind are formatted as a list, all others are plain.
impl From<strongroom_mounts::Error> for Error {
    fn from(error: strongroom_mounts::Error) -> Self {
        match error {
            strongroom_mounts::Error::Sealed => Self::sealed(),
            strongroom_mounts::Error::Engine(error) => error.into(),
            strongroom_mounts::Error::Queue(error) => error.into(),
            strongroom_mounts::Error::Barrier(error) => error.into(),
            other => match other.kind() {
                ErrorKind::Internal => Self::internal(other.to_string()),
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
    use strongroom_mounts::MountClass;
    use strongroom_mounts::plugins::PluginError;

    use super::*;

    #[test]
    fn errors_of_mounts_keep_kind_and_message_format() {
        let list = |text: &str| format!("1 error occurred:\n\t* {text}\n\n");
        let lacking = EngineError::user("no\nkey");
        let unopened = |error: PluginError| MountError::Open(error);
        let (class, path) = (MountClass::Auth, "x/".to_owned());
        for (error, kind, text) in [
            (
                MountError::ReservedPath("sys/".into()),
                ErrorKind::Invalid,
                "cannot mount \"sys/\"".into(),
            ),
            (
                MountError::NothingToReload { class, path },
                ErrorKind::Invalid,
                "No auth engine at x/".into(),
            ),
            (MountError::Sealed, ErrorKind::Sealed, "Vault is sealed".to_owned()),
            (MountError::InvalidUuid, ErrorKind::Internal, list("a UUID could not be made")),
            (unopened(PluginError::Invalid("a\nb".into())), ErrorKind::Invalid, "a b".into()),
            (unopened(PluginError::Start("a\nb".into())), ErrorKind::Internal, list("a b")),
            (
                unopened(lacking.clone().into()),
                ErrorKind::Invalid,
                "invalid backend version: no key".into(),
            ),
            (lacking.into(), ErrorKind::Invalid, "no key".into()),
            (strongroom_barrier::Error::Sealed.into(), ErrorKind::Sealed, "Vault is sealed".into()),
            (
                strongroom_barrier::Error::Exhausted.into(),
                ErrorKind::Internal,
                list(&strongroom_barrier::Error::Exhausted.to_string()),
            ),
        ] {
            let error = Error::from(error);
            assert_eq!((error.kind(), error.messages()), (kind, vec![text]));
        }
        let busy = Error::from(MountError::Queue(SerialQueueError::Full));
        assert_eq!((busy.kind(), busy.retry_after_secs()), (ErrorKind::Unavailable, Some(1)));
        let coded = EngineError::Coded { status: 418, message: "tea".to_owned() };
        assert_eq!(Error::from(MountError::Engine(coded)).engine_status(), Some(418));
    }

    /// Paths of server files and messages of the OS are only for the server's log.
    #[test]
    fn the_words_of_the_store_do_not_reach_clients() {
        let io = strongroom_storage::Error::Io("open /var/lib/x: Os { code: 5 }".to_owned());
        let error = Error::from(strongroom_barrier::Error::from(io));
        assert_eq!(error.to_string(), "the server's store failed; its log says more");
    }
}
