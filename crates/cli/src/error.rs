//! How a command fails: message, exit code and hint.

use strongroom_client::{Error, UnreachableReason};

use crate::output::fixed_text::NO_VALUE_FOUND;

/// The result of a command or of a part of it.
pub(crate) type CliResult<T = ()> = Result<T, CliError>;

/// The message for standard error, and the exit code.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct CliError {
    /// 1 for a local error, mostly usage. 2 if the server refused the request or has no such data.
    pub(crate) code: u8,
    /// The message; `None` if everything has been printed already.
    pub(crate) text: Option<String>,
    /// A hint to print after the message.
    pub(crate) hint: ErrorHint,
}

/// What to tell the user after the error message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ErrorHint {
    /// Nothing more.
    #[default]
    None,
    /// How to show the command's usage.
    Usage,
    /// What to do next. Only printed on a terminal, since programs parse the messages.
    NextStep(&'static str),
}

impl CliError {
    /// A local error: wrong usage, or a file that can't be read.
    pub(crate) fn local(text: impl Into<String>) -> Self {
        Self { code: 1, text: Some(text.into()), hint: ErrorHint::None }
    }

    /// Wrong usage: the text says what is wrong, and the user is told how to show the usage.
    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Self { hint: ErrorHint::Usage, ..Self::local(text) }
    }

    /// The server refused the request, can't be reached, or has no such data.
    pub(crate) fn remote(text: impl Into<String>) -> Self {
        Self { code: 2, text: Some(text.into()), hint: ErrorHint::None }
    }

    /// The server has no data at this path.
    pub(crate) fn not_found(path: &str) -> Self {
        Self::remote(format!("{NO_VALUE_FOUND}{path}"))
    }

    /// Nothing more to print; only sets the exit code.
    pub(crate) fn silent(code: u8) -> Self {
        Self { code, text: None, hint: ErrorHint::None }
    }

    /// An API error with what failed in front: `Error reading kv/a: …`.
    pub(crate) fn from_api(doing: &str) -> impl FnOnce(Error) -> Self {
        move |error| {
            let missing = if lacks_token(&error) { NO_TOKEN_SENT } else { "" };
            Self::from_api_with_note(doing, &error, missing)
        }
    }

    /// An API error of a login, which is sent without a token. The server answers 403 to a user that
    /// is locked, and says no more.
    pub(crate) fn from_login(error: &Error) -> Self {
        let locked = if lacks_token(error) { MAY_BE_LOCKED } else { "" };
        Self::from_api_with_note("Error authenticating", error, locked)
    }

    fn from_api_with_note(doing: &str, error: &Error, note: &str) -> Self {
        Self {
            hint: next_step_for(error).map_or(ErrorHint::None, ErrorHint::NextStep),
            ..Self::remote(format!("{doing}: {error}{note}"))
        }
    }
}

/// Follows the error of a login that was denied.
const MAY_BE_LOCKED: &str = "\n\nThe user may be locked after too many failed logins: wait, or have it unlocked at \
     sys/locked-users.";

/// Follows the error of a request that carried no token.
const NO_TOKEN_SENT: &str =
    "\n\nNo token was sent: log in with \"strongroom login\", or set VAULT_TOKEN.";

/// Whether the server refused a request because it carried no token.
pub(crate) fn lacks_token(error: &Error) -> bool {
    matches!(error, Error::Api(refused) if refused.status == 403 && !refused.token_sent)
}

/// Hints for common errors.
fn next_step_for(error: &Error) -> Option<&'static str> {
    match error {
        Error::Unreachable { reason: UnreachableReason::UnknownAuthority, .. } => {
            Some("Name the certificate of the server's authority with -ca-cert or VAULT_CACERT.")
        }
        // The text of these errors already says what to do.
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

/// Checks the number of positional arguments.
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

#[cfg(test)]
mod tests {
    use strongroom_client::ApiError;

    use super::*;

    fn denied() -> Error {
        Error::Api(Box::new(ApiError {
            method: "PUT".to_owned(),
            url: "http://127.0.0.1:8200/v1/auth/userpass/login/bob".to_owned(),
            status: 403,
            token_sent: false,
            namespace: None,
            errors: vec!["permission denied".to_owned()],
            request_id: None,
            raw: None,
            response: None,
        }))
    }

    #[test]
    fn a_denied_login_does_not_ask_for_a_token() {
        let text = CliError::from_login(&denied()).text.unwrap_or_default();
        assert!(text.contains("permission denied") && text.contains("locked"), "{text}");
        assert!(!text.contains("VAULT_TOKEN"), "{text}");
        let text = CliError::from_api("Error reading kv/a")(denied()).text.unwrap_or_default();
        assert!(text.contains("VAULT_TOKEN"), "{text}");
    }
}
