//! [`Error`]: what a request failed with, in the words the client gets. Its HTTP status is chosen
//! in the `http` crate, from [`Error::kind`].

use std::fmt;

use strongroom_sdk::engine::{EngineError, StatusKind};
use strongroom_types::turns::NoTurn;
use strongroom_types::{ErrorKind, RawObject, printable};

use crate::plugins::CatalogError;

/// A failed request.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    text: Text,
    /// An engine's own choice of status.
    status: Option<u16>,
    data: Option<RawObject>,
    /// When the client may try again.
    retry_after_secs: Option<u32>,
}

/// The forms of an error's text that clients know.
#[derive(Debug)]
enum Text {
    /// `{"errors":[]}`.
    None,
    /// `{"errors":["text"]}`.
    Plain(String),
    /// `{"errors":["1 error occurred:\n\t* text\n\n"]}`.
    List(String),
}

impl Error {
    /// The text as it is.
    pub fn plain(kind: ErrorKind, text: impl Into<String>) -> Self {
        Self {
            kind,
            text: Text::Plain(text.into()),
            status: None,
            data: None,
            retry_after_secs: None,
        }
    }

    /// The text as a list of one.
    pub fn listed(kind: ErrorKind, text: impl Into<String>) -> Self {
        Self {
            kind,
            text: Text::List(text.into()),
            status: None,
            data: None,
            retry_after_secs: None,
        }
    }

    /// No text at all.
    pub fn silent(kind: ErrorKind) -> Self {
        Self { kind, text: Text::None, status: None, data: None, retry_after_secs: None }
    }

    /// The request is wrong.
    pub fn invalid(text: impl Into<String>) -> Self {
        Self::plain(ErrorKind::Invalid, text)
    }

    /// No token, or one that isn't valid: clients get no more than this.
    pub fn no_token() -> Self {
        Self::plain(ErrorKind::Denied, "permission denied")
    }

    /// A valid token without the right.
    pub fn denied() -> Self {
        Self::listed(ErrorKind::Denied, "permission denied")
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
    pub fn unbuilt(what: &str) -> Self {
        Self::invalid(format!("{what} is not supported by this server"))
    }

    /// Sealed, or not initialised.
    pub fn sealed() -> Self {
        Self::plain(ErrorKind::Sealed, "Vault is sealed")
    }

    /// Something failed in the server; the log knows more.
    pub fn internal(text: impl Into<String>) -> Self {
        Self::listed(ErrorKind::Internal, text)
    }

    /// Tells the client after how many seconds to try again.
    #[must_use]
    pub fn retry_after(self, secs: u32) -> Self {
        Self { retry_after_secs: Some(secs), ..self }
    }

    /// The text as it is, also where it was a list of one: so paths that need no token say it.
    #[must_use]
    pub fn unlisted(self) -> Self {
        let text = match self.text {
            Text::List(text) => Text::Plain(text),
            other => other,
        };
        Self { text, ..self }
    }

    /// The sort of failure.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// An engine's own choice of status, 400 to 599.
    pub fn status(&self) -> Option<u16> {
        self.status
    }

    /// The client's texts.
    pub fn texts(&self) -> Vec<String> {
        match &self.text {
            Text::None => Vec::new(),
            Text::Plain(text) => vec![text.clone()],
            Text::List(text) => vec![format!("1 error occurred:\n\t* {text}\n\n")],
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
            Text::None => f.write_str("nothing found"),
            Text::Plain(text) | Text::List(text) => f.write_str(text),
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
                Self { data, ..Self::plain(kind, shown(&message)) }
            }
            EngineError::Coded { status, message } => {
                let status = Some(status.clamp(400, 599));
                Self { status, ..Self::listed(kind, shown(&message)) }
            }
            EngineError::Unavailable { message, .. } => {
                Self::listed(ErrorKind::Internal, shown(&message))
            }
            other => Self::listed(kind, shown(&other.to_string())),
        }
    }
}

/// The longest text of an engine, plug-in or outside system that is shown in an answer.
const MAX_SHOWN_BYTES: usize = 4 << 10;
/// The most warnings of an engine that are shown.
const MAX_WARNINGS: usize = 64;

/// Text of a plug-in or an outside system as it is shown: printable, on one line, not too long. The
/// one exception are lists of errors as Go's engines write them, with each on a line of its own:
/// clients know that form.
pub(crate) fn shown(text: &str) -> String {
    const ITEM: &str = "\n\t* ";
    const END: &str = "\n\n";
    let line = |text: &str| printable(text, MAX_SHOWN_BYTES).into_owned();
    match text.split_once(ITEM) {
        Some((head, items)) if text.len() <= MAX_SHOWN_BYTES && heads_a_list(head) => {
            let (items, end) = items.strip_suffix(END).map_or((items, ""), |items| (items, END));
            let items: Vec<String> = items.split(ITEM).map(line).collect();
            format!("{head}{ITEM}{}{end}", items.join(ITEM))
        }
        _ => line(text),
    }
}

/// Whether a list of errors begins so: `2 errors occurred:`.
fn heads_a_list(head: &str) -> bool {
    let count = head.strip_suffix(" errors occurred:").or(head.strip_suffix(" error occurred:"));
    count.is_some_and(|count| !count.is_empty() && count.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The same for an engine's warnings.
pub(crate) fn shown_warnings(warnings: &[String]) -> Vec<String> {
    warnings.iter().take(MAX_WARNINGS).map(|warning| shown(warning)).collect()
}

/// What engines and clients hear of a trouble with the store. What the system and libraries say of
/// it, and where its files lie, is for the log.
pub(crate) fn told_of_store(error: &strongroom_barrier::Error) -> String {
    use strongroom_storage::Error as Physical;
    match error {
        strongroom_barrier::Error::Storage(
            Physical::Io(_) | Physical::Corrupt(_) | Physical::Closed(_) | Physical::Refused(_),
        ) => {
            tracing::error!(%error, "the store failed");
            "the server's store failed; its log says more".to_owned()
        }
        too_large if too_large.kind() == ErrorKind::TooLarge => too_large.for_clients(),
        other => other.to_string(),
    }
}

/// Storage troubles: their texts name keys and causes, never values.
impl From<strongroom_barrier::Error> for Error {
    fn from(error: strongroom_barrier::Error) -> Self {
        match error.kind() {
            ErrorKind::Sealed => Self::sealed(),
            kind => Self::listed(kind, told_of_store(&error)),
        }
    }
}

impl From<strongroom_token::Error> for Error {
    fn from(error: strongroom_token::Error) -> Self {
        match error {
            strongroom_token::Error::Barrier(error) => error.into(),
            other => Self::plain(other.kind(), other.to_string()),
        }
    }
}

impl From<strongroom_lease::Error> for Error {
    fn from(error: strongroom_lease::Error) -> Self {
        match error {
            strongroom_lease::Error::Barrier(error) => error.into(),
            other => Self::plain(other.kind(), other.to_string()),
        }
    }
}

impl From<strongroom_policy::StoreError> for Error {
    fn from(error: strongroom_policy::StoreError) -> Self {
        match error {
            strongroom_policy::StoreError::Barrier(error) => error.into(),
            strongroom_policy::StoreError::NoTurn(error) => error.into(),
            other => Self::plain(other.kind(), other.to_string()),
        }
    }
}

impl From<strongroom_policy::password_store::Error> for Error {
    fn from(error: strongroom_policy::password_store::Error) -> Self {
        match error {
            strongroom_policy::password_store::Error::Barrier(error) => error.into(),
            other => Self::listed(other.kind(), other.to_string()),
        }
    }
}

impl From<NoTurn> for Error {
    fn from(error: NoTurn) -> Self {
        let kind = ErrorKind::Unavailable;
        match error {
            NoTurn::Full => Self::plain(kind, error.to_string()).retry_after(1),
            other => Self::plain(kind, other.to_string()),
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
