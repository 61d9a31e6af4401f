//! [`LdapError`]: why an operation of a directory failed.

use crate::Error;

/// An operation of a directory that failed. Its text names the operation and the result code, and
/// never a name, a filter, a password or a text of the directory. It converts into an [`Error`] with
/// `?`: a result code is a certain answer, everything else is an answer that is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LdapError {
    /// There is no connection. Nothing was sent.
    #[error("could not reach the directory: {0}")]
    NotConnected(&'static str),
    /// The directory didn't answer, or not in a way that can be used.
    #[error("{operation} got no answer: {reason}")]
    NoAnswer {
        /// The operation, such as `search`.
        operation: &'static str,
        /// What happened, such as `timed out`.
        reason: &'static str,
        /// Whether the connection is at fault, so that another one may work.
        is_broken: bool,
    },
    /// The directory answered with a result code other than success.
    #[error("{operation} answered {code} ({})", result_name(*code))]
    Answered {
        /// The operation, such as `bind`.
        operation: &'static str,
        /// The result code (RFC 4511, appendix A).
        code: u32,
    },
}

impl LdapError {
    /// The result code, if the directory answered with one.
    pub fn code(self) -> Option<u32> {
        match self {
            Self::Answered { code, .. } => Some(code),
            _ => None,
        }
    }
}

/// The name of the outside system in errors.
const SYSTEM: &str = "ldap";

impl From<LdapError> for Error {
    fn from(error: LdapError) -> Self {
        match error {
            LdapError::NotConnected(reason) => Self::unanswered(SYSTEM, "connect", reason),
            LdapError::NoAnswer { operation, reason, .. } => {
                Self::unanswered(SYSTEM, operation, reason)
            }
            LdapError::Answered { operation, code } => {
                let status = u16::try_from(code).unwrap_or(u16::MAX);
                Self::answered(SYSTEM, format!("{operation} ({})", result_name(code)), status)
            }
        }
    }
}

/// The name of a result code (RFC 4511, 4.1.9).
fn result_name(code: u32) -> &'static str {
    match code {
        1 => "operations error",
        2 => "protocol error",
        3 => "time limit exceeded",
        4 => "size limit exceeded",
        8 => "stronger authentication required",
        10 => "referral",
        11 => "administrative limit exceeded",
        12 => "unavailable critical extension",
        13 => "confidentiality required",
        19 => "constraint violation",
        32 => "no such object",
        34 => "invalid name syntax",
        48 => "inappropriate authentication",
        49 => "invalid credentials",
        50 => "insufficient access rights",
        51 => "busy",
        52 => "unavailable",
        53 => "unwilling to perform",
        _ => "another result code",
    }
}
