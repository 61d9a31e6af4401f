//! From a failed request to a status. This table is the only one; it is shown in the book.

use http::{Response, StatusCode};
use strongroom_core::Error;
use strongroom_types::ErrorKind;

use crate::{Body, answer};

/// The status of a failure. Nothing answers 412: clients repeat it by themselves.
pub fn status(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::Invalid | ErrorKind::Precondition => StatusCode::BAD_REQUEST,
        ErrorKind::Denied => StatusCode::FORBIDDEN,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::Unsupported => StatusCode::METHOD_NOT_ALLOWED,
        ErrorKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorKind::Limited => StatusCode::TOO_MANY_REQUESTS,
        ErrorKind::Upstream => StatusCode::BAD_GATEWAY,
        ErrorKind::Sealed | ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// A failed request as HTTP.
pub fn write(error: &Error) -> Response<Body> {
    let chosen = error.status().and_then(|code| StatusCode::from_u16(code).ok());
    let status = chosen.unwrap_or_else(|| status(error.kind()));
    if status.is_server_error() && status != StatusCode::SERVICE_UNAVAILABLE {
        tracing::error!(%error, "a request failed");
    }
    answer::errors(status, &error.texts(), error.data())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_stands_in_the_book_and_412_is_none() {
        let page = include_str!("../../../docs/src/api/status-codes.md");
        let rows: String = page.lines().filter(|line| line.starts_with('|')).collect();
        for kind in [
            ErrorKind::Invalid,
            ErrorKind::Precondition,
            ErrorKind::Denied,
            ErrorKind::NotFound,
            ErrorKind::Unsupported,
            ErrorKind::TooLarge,
            ErrorKind::Limited,
            ErrorKind::Upstream,
            ErrorKind::Sealed,
            ErrorKind::Unavailable,
            ErrorKind::Internal,
        ] {
            let code = status(kind).as_u16();
            assert_ne!(code, 412, "{kind:?}");
            assert!(rows.contains(&code.to_string()), "{kind:?} is {code}");
        }
    }
}
