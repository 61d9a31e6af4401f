//! From a failed request to a status. This table is the only one; it is shown in the book.

use http::{Response, StatusCode, header};
use strongroom_core::Error;
use strongroom_types::ErrorKind;

use crate::{Body, response};

/// The status of a failure. Nothing answers 412: clients repeat it by themselves.
pub fn status_of_kind(kind: ErrorKind) -> StatusCode {
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

/// The status of a failed request: an engine's own choice, else that of its kind.
pub fn status_of(error: &Error) -> StatusCode {
    let chosen = error.engine_status().and_then(|code| StatusCode::from_u16(code).ok());
    chosen.unwrap_or_else(|| status_of_kind(error.kind()))
}

/// A failed request as HTTP.
pub fn to_http(error: &Error) -> Response<Body> {
    let status = status_of(error);
    if status.is_server_error() && status != StatusCode::SERVICE_UNAVAILABLE {
        tracing::error!(%error, "a request failed");
    }
    let mut response = response::errors_response(status, &error.messages(), error.data());
    if let Some(secs) = error.retry_after_secs() {
        response.headers_mut().insert(header::RETRY_AFTER, secs.into());
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_is_documented_and_none_is_412() {
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
            let code = status_of_kind(kind).as_u16();
            assert_ne!(code, 412, "{kind:?}");
            assert!(rows.contains(&code.to_string()), "{kind:?} is {code}");
        }
    }
}
