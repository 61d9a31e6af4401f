//! [`Error`]: what a request failed with, in the words the client gets. Its HTTP status is chosen
//! in the `http` crate, from [`Error::kind`].

use std::fmt;

use strongroom_sdk::engine::{EngineError, StatusKind};
use strongroom_types::serial_queue::SerialQueueError;
use strongroom_types::{ErrorKind, RawObject, printable};

use crate::plugins::CatalogError;

/// A failed request.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    text: ErrorText,
    /// An engine's own choice of status.
    status: Option<u16>,
    data: Option<RawObject>,
    /// When the client may try again.
    retry_after_secs: Option<u32>,
}

/// The forms of an error's text that clients know.
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
    /// The text as it is.
    pub fn with_message(kind: ErrorKind, text: impl Into<String>) -> Self {
        Self {
            kind,
            text: ErrorText::Plain(text.into()),
            status: None,
            data: None,
            retry_after_secs: None,
        }
    }

    /// The text as a list of one.
    pub fn with_message_list(kind: ErrorKind, text: impl Into<String>) -> Self {
        Self {
            kind,
            text: ErrorText::List(text.into()),
            status: None,
            data: None,
            retry_after_secs: None,
        }
    }

    /// No text at all.
    pub fn without_message(kind: ErrorKind) -> Self {
        Self { kind, text: ErrorText::None, status: None, data: None, retry_after_secs: None }
    }

    /// The request is wrong.
    pub fn invalid(text: impl Into<String>) -> Self {
        Self::with_message(ErrorKind::Invalid, text)
    }

    /// No token, or one that isn't valid: clients get no more than this.
    pub fn invalid_token() -> Self {
        Self::with_message(ErrorKind::Denied, "permission denied")
    }

    /// A valid token without the right.
    pub fn denied() -> Self {
        Self::with_message_list(ErrorKind::Denied, "permission denied")
    }

    /// The path exists, the operation doesn't.
    pub fn unsupported_operation() -> Self {
        EngineError::Status(StatusKind::UnsupportedOperation).into()
    }

    /// The engine has no such path.
    pub fn unsupported_path() -> Self {
        EngineError::Status(StatusKind::UnsupportedPath).into()
    }

    /// Something that restricts or redirects and isn't built: refused, never ignored.
    pub fn not_implemented(what: &str) -> Self {
        Self::invalid(format!("{what} is not supported by this server"))
    }

    /// Sealed, or not initialised.
    pub fn sealed() -> Self {
        Self::with_message(ErrorKind::Sealed, "Vault is sealed")
    }

    /// Something failed in the server; the log knows more.
    pub fn internal(text: impl Into<String>) -> Self {
        Self::with_message_list(ErrorKind::Internal, text)
    }

    /// Tells the client after how many seconds to try again.
    #[must_use]
    pub fn retry_after(self, secs: u32) -> Self {
        Self { retry_after_secs: Some(secs), ..self }
    }

    /// The text as it is, also where it was a list of one: so paths that need no token say it.
    #[must_use]
    pub fn into_plain_message(self) -> Self {
        let text = match self.text {
            ErrorText::List(text) => ErrorText::Plain(text),
            other => other,
        };
        Self { text, ..self }
    }

    /// The sort of failure.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// An engine's own choice of status, 400 to 599.
    pub fn engine_status(&self) -> Option<u16> {
        self.status
    }

    /// The client's texts.
    pub fn messages(&self) -> Vec<String> {
        match &self.text {
            ErrorText::None => Vec::new(),
            ErrorText::Plain(text) => vec![text.clone()],
            ErrorText::List(text) => vec![format!("1 error occurred:\n\t* {text}\n\n")],
        }
    }

    /// After how many seconds the client may try again, if that is known.
    pub fn retry_after_secs(&self) -> Option<u32> {
        self.retry_after_secs
    }

    /// Data beside the texts.
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

/// What an engine says is text of a plug-in or of an outside system: it is shown on one line.
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

/// The longest text of an engine, plug-in or outside system that is shown in an answer.
const MAX_MESSAGE_BYTES: usize = 4 << 10;
/// The most warnings of an engine that are shown.
const MAX_WARNINGS: usize = 64;

/// Text of a plug-in or an outside system as it is shown: printable, on one line, not too long. The
/// one exception are lists of errors as Go's engines write them, with each on a line of its own:
/// clients know that form.
pub(crate) fn sanitise_message(text: &str) -> String {
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

/// Whether a list of errors begins so: `2 errors occurred:`.
fn is_error_list_head(head: &str) -> bool {
    let count = head.strip_suffix(" errors occurred:").or(head.strip_suffix(" error occurred:"));
    count.is_some_and(|count| !count.is_empty() && count.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The same for an engine's warnings.
pub(crate) fn sanitise_warnings(warnings: &[String]) -> Vec<String> {
    warnings.iter().take(MAX_WARNINGS).map(|warning| sanitise_message(warning)).collect()
}

/// What engines and clients hear of a trouble with the store. What the system and libraries say of
/// it, and where its files lie, is for the log.
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

/// Storage troubles: their texts name keys and causes, never values.
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
