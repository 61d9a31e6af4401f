//! [`Error`]: the error of a failed request, with the messages the client receives. The `http`
//! crate chooses the HTTP status from [`Error::kind`].

use std::fmt;

use strongroom_sdk::engine::{EngineError, StatusKind};
use strongroom_types::serial_queue::SerialQueueError;
use strongroom_types::{ErrorKind, RawObject, printable};

use crate::plugins::CatalogError;

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

/// The maximum length of an engine's message in a response, in bytes.
const MAX_MESSAGE_BYTES: usize = 4 << 10;
/// The maximum number of an engine's warnings in a response.
const MAX_WARNINGS: usize = 64;

/// Sanitises a message of a plug-in or outside system: printable characters, one line, bounded
/// length. The one exception is the error list format of Go engines, which keeps one line per item
/// because clients know it.
pub fn sanitise_message(text: &str) -> String {
    const ITEM: &str = "\n\t* ";
    const END: &str = "\n\n";
    let line = |text: &str| printable(text, MAX_MESSAGE_BYTES).into_owned();
    match text.split_once(ITEM) {
        Some((head, items)) if text.len() <= MAX_MESSAGE_BYTES && is_error_list_head(head) => {
            let (items, end) = items.strip_suffix(END).map_or((items, ""), |items| (items, END));
            let items: Vec<String> = items.split(ITEM).map(line).collect();
            format!("{head}{ITEM}{}{end}", items.join(ITEM))
        }
        _ => line(text),
    }
}

/// Whether the text is the head of an error list, such as `2 errors occurred:`.
fn is_error_list_head(head: &str) -> bool {
    let count = head.strip_suffix(" errors occurred:").or(head.strip_suffix(" error occurred:"));
    count.is_some_and(|count| !count.is_empty() && count.bytes().all(|byte| byte.is_ascii_digit()))
}

/// [`sanitise_message`] for an engine's warnings; at most [`MAX_WARNINGS`] are kept.
pub fn sanitise_warnings(warnings: &[String]) -> Vec<String> {
    warnings.iter().take(MAX_WARNINGS).map(|warning| sanitise_message(warning)).collect()
}

/// The message of a storage error for engines and clients. Causes from the operating system and
/// file paths go to the log only.
pub(crate) fn storage_error_message(error: &strongroom_barrier::Error) -> String {
    use strongroom_storage::Error as Physical;
    match error {
        strongroom_barrier::Error::Storage(
            Physical::Io(_) | Physical::Corrupt(_) | Physical::Closed(_) | Physical::Refused(_),
        ) => {
            tracing::error!(%error, "the store failed");
            "the server's store failed; its log says more".to_owned()
        }
        too_large if too_large.kind() == ErrorKind::TooLarge => too_large.client_message(),
        other => other.to_string(),
    }
}

/// Messages of storage errors name keys and causes, never values.
impl From<strongroom_barrier::Error> for Error {
    fn from(error: strongroom_barrier::Error) -> Self {
        match error.kind() {
            ErrorKind::Sealed => Self::sealed(),
            kind => Self::with_message_list(kind, storage_error_message(&error)),
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

impl From<CatalogError> for Error {
    fn from(error: CatalogError) -> Self {
        match error {
            CatalogError::Barrier(error) => error.into(),
            CatalogError::NoTurn(error) => error.into(),
        }
    }
}

impl From<strongroom_sdk::field::InvalidInput> for Error {
    fn from(error: strongroom_sdk::field::InvalidInput) -> Self {
        Self::invalid(error.to_string())
    }
}

impl From<strongroom_types::path::InvalidPath> for Error {
    fn from(error: strongroom_types::path::InvalidPath) -> Self {
        Self::invalid(error.to_string())
    }
}
