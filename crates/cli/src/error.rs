//! How a command ends.

use strongroom_client::{Error, UnreachableReason};

use crate::output::fixed_text::NO_VALUE_FOUND;

/// How a command ends.
pub(crate) type CliResult<T = ()> = Result<T, CliError>;

/// What is printed to standard error, and the exit code.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct CliError {
    /// 1: here, bad usage mostly. 2: the server said no, or nothing is there.
    pub(crate) code: u8,
    /// Nothing if all is said.
    pub(crate) text: Option<String>,
    /// What may help.
    pub(crate) hint: ErrorHint,
}

/// What may help somebody whose command failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ErrorHint {
    /// The text says it all.
    #[default]
    None,
    /// How the command is used.
    Usage,
    /// Something to do next, for people only: programs read these messages.
    NextStep(&'static str),
}

impl CliError {
    /// It can't be done here: bad usage, a file that can't be read.
    pub(crate) fn local(text: impl Into<String>) -> Self {
        Self { code: 1, text: Some(text.into()), hint: ErrorHint::None }
    }

    /// The command is used wrongly: the text says how, and the person is shown where to look.
    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Self { hint: ErrorHint::Usage, ..Self::local(text) }
    }

    /// The server said no, can't be reached, or has nothing there.
    pub(crate) fn remote(text: impl Into<String>) -> Self {
        Self { code: 2, text: Some(text.into()), hint: ErrorHint::None }
    }

    /// A path at which the server has nothing.
    pub(crate) fn not_found(path: &str) -> Self {
        Self::remote(format!("{NO_VALUE_FOUND}{path}"))
    }

    /// All is said.
    pub(crate) fn silent(code: u8) -> Self {
        Self { code, text: None, hint: ErrorHint::None }
    }

    /// A call failed while doing something: `Error reading kv/a: …`.
    pub(crate) fn from_api(doing: &str) -> impl FnOnce(Error) -> Self {
        move |error| {
            let missing = if lacks_token(&error) { NO_TOKEN_SENT } else { "" };
            Self {
                hint: next_step_for(&error).map_or(ErrorHint::None, ErrorHint::NextStep),
                ..Self::remote(format!("{doing}: {error}{missing}"))
            }
        }
    }
}

/// Follows a refusal of a request without a token.
const NO_TOKEN_SENT: &str =
    "\n\nNo token was sent: log in with \"strongroom login\", or set VAULT_TOKEN.";

/// Whether the server refused a request that carried no token.
pub(crate) fn lacks_token(error: &Error) -> bool {
    matches!(error, Error::Api(refused) if refused.status == 403 && !refused.token_sent)
}

/// What to do about an error that many meet.
fn next_step_for(error: &Error) -> Option<&'static str> {
    match error {
        Error::Unreachable { reason: UnreachableReason::UnknownAuthority, .. } => {
            Some("Name the certificate of the server's authority with -ca-cert or VAULT_CACERT.")
        }
        // Their texts say what to do.
        Error::Unreachable {
            reason: UnreachableReason::NotTls | UnreachableReason::NotHttp,
            ..
        } => None,
        Error::Unreachable { .. } => {
            Some("Does the server run at this address? It is set with -address or VAULT_ADDR.")
        }
        Error::Api(refused) => match refused.status {
            403 if refused.token_sent => Some(
                "The token that is used is what \"strongroom token lookup\" shows; -output-policy \
                 prints what the command needs.",
            ),
            503 if refused.errors.iter().any(|text| text.contains("sealed")) => {
                Some("\"strongroom operator unseal\" unseals the server.")
            }
            _ => None,
        },
        _ => None,
    }
}

/// How many arguments a command takes.
pub(crate) fn check_argument_count(given: &[String], least: usize, most: usize) -> CliResult {
    let got = given.len();
    if got < least {
        let text = format!("Not enough arguments (expected {least}, got {got})");
        return Err(CliError::usage(text));
    }
    if got > most {
        return Err(CliError::usage(format!("Too many arguments (expected {most}, got {got})")));
    }
    Ok(())
}
