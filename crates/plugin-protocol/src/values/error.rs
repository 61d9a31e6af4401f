//! [`WireError`]: errors that a backend returned, as `ProtoError` encodes them.

use crate::generated::pb::ProtoError;

/// An error that a backend returned. Kinds without a text have a fixed one, which peers match on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// Any other error. Receivers still check the text, because some texts have a status of their
    /// own.
    #[error("{0}")]
    Unknown(String),
    /// A mistake of the caller; the text is meant for the caller.
    #[error("{0}")]
    User(String),
    /// A failure of the backend; the text is for the log.
    #[error("{0}")]
    Internal(String),
    /// A response with a status code that the backend chose.
    #[error("{message}")]
    Coded {
        /// The HTTP status, 400 to 599; other values are clamped to that range when sent.
        code: u16,
        /// The error's text.
        message: String,
    },
    /// The request is malformed.
    #[error("{0}")]
    BadRequest(String),
    /// The path does not support this operation.
    #[error("unsupported operation")]
    UnsupportedOperation,
    /// The backend has no such path.
    #[error("unsupported path")]
    UnsupportedPath,
    /// The request lacks something that every request needs.
    #[error("invalid request")]
    InvalidRequest,
    /// The caller is not permitted to do this.
    #[error("permission denied")]
    PermissionDenied,
    /// The request waits for further approvals.
    #[error("request needs further approval")]
    MultiAuthzPending,
    /// Retrying can't help; a revocation that fails with this is not retried.
    #[error("unrecoverable error")]
    Unrecoverable,
}

/// The status of a coded error without a valid one.
const DEFAULT_STATUS: u16 = 500;

impl WireError {
    /// Encodes the error as a message.
    pub fn to_wire(&self) -> ProtoError {
        let err_type = match self {
            Self::Unknown(_) => 0,
            Self::User(_) => 1,
            Self::Internal(_) => 2,
            Self::Coded { .. } => 3,
            Self::BadRequest(_) => 4,
            Self::UnsupportedOperation => 5,
            Self::UnsupportedPath => 6,
            Self::InvalidRequest => 7,
            Self::PermissionDenied => 8,
            Self::MultiAuthzPending => 9,
            Self::Unrecoverable => 10,
        };
        // Existing servers drop the connection if the code is no HTTP status.
        let err_code = match self {
            Self::Coded { code, .. } => i64::from((*code).clamp(400, 599)),
            _ => 0,
        };
        ProtoError { err_type, err_msg: self.to_string(), err_code }
    }

    /// Decodes a message. Unknown kinds become [`Unknown`](Self::Unknown), because they are errors
    /// all the same.
    pub fn from_wire(error: ProtoError) -> Self {
        let message = error.err_msg;
        match error.err_type {
            1 => Self::User(message),
            2 => Self::Internal(message),
            3 => {
                let code = u16::try_from(error.err_code).ok();
                let code = code.filter(|code| (400..600).contains(code)).unwrap_or(DEFAULT_STATUS);
                Self::Coded { code, message }
            }
            4 => Self::BadRequest(message),
            5 => Self::UnsupportedOperation,
            6 => Self::UnsupportedPath,
            7 => Self::InvalidRequest,
            8 => Self::PermissionDenied,
            9 => Self::MultiAuthzPending,
            10 => Self::Unrecoverable,
            _ => Self::Unknown(message),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn proto_error(err_type: u32, err_code: i64) -> ProtoError {
        ProtoError { err_type, err_msg: "no".to_owned(), err_code }
    }

    #[test]
    fn numbers_and_texts_are_those_of_the_wire() {
        let no = || "no".to_owned();
        let kinds = [
            (WireError::Unknown(no()), 0, "no"),
            (WireError::User(no()), 1, "no"),
            (WireError::Internal(no()), 2, "no"),
            (WireError::Coded { code: 451, message: no() }, 3, "no"),
            (WireError::BadRequest(no()), 4, "no"),
            (WireError::UnsupportedOperation, 5, "unsupported operation"),
            (WireError::UnsupportedPath, 6, "unsupported path"),
            (WireError::InvalidRequest, 7, "invalid request"),
            (WireError::PermissionDenied, 8, "permission denied"),
            (WireError::MultiAuthzPending, 9, "request needs further approval"),
            (WireError::Unrecoverable, 10, "unrecoverable error"),
        ];
        for (error, err_type, text) in kinds {
            let sent = error.to_wire();
            let code = if err_type == 3 { 451 } else { 0 };
            assert_eq!((sent.err_type, &*sent.err_msg, sent.err_code), (err_type, text, code));
            assert_eq!(WireError::from_wire(sent), error);
            // Where a kind's text is fixed, the received text is ignored.
            assert_eq!(WireError::from_wire(proto_error(err_type, code)), error);
        }
    }

    #[test]
    fn codes_are_http_statuses() {
        for (code, sent) in [(0, 400), (200, 400), (399, 400), (400, 400), (599, 599), (600, 599)] {
            let error = WireError::Coded { code, message: String::new() };
            assert_eq!(error.to_wire().err_code, sent, "{code}");
        }
        for code in [0, 200, 399, 600, -1, i64::MAX, 65_936] {
            let error = WireError::from_wire(proto_error(3, code));
            assert_eq!(error, WireError::Coded { code: 500, message: "no".to_owned() }, "{code}");
        }
    }

    proptest! {
        #[test]
        fn an_unknown_kind_is_still_an_error(err_type in 11_u32.., err_code: i64) {
            let error = WireError::from_wire(proto_error(err_type, err_code));
            prop_assert_eq!(error, WireError::Unknown("no".to_owned()));
        }

        #[test]
        fn nothing_is_sent_that_go_would_not_see(err_type: u32, err_code: i64) {
            let sent = WireError::from_wire(proto_error(err_type, err_code)).to_wire();
            prop_assert!(sent.err_type <= 10);
            let expected = if sent.err_type == 3 { 400..600 } else { 0..1 };
            prop_assert!(expected.contains(&sent.err_code));
        }
    }
}
