//! Maps errors to status codes. This table is the only one; `docs/src/api/status-codes.md` shows
//! it.

use http::{Response, StatusCode, header};
use strongroom_core::Error;
use strongroom_types::ErrorKind;

use crate::{Body, response};

/// The status code of an error kind. None is mapped to 412, because clients retry that by
/// themselves.
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

/// The status code of an error: the one that the engine chose, if any, else that of its kind.
pub fn status_of(error: &Error) -> StatusCode {
    let chosen = error.engine_status().and_then(|code| StatusCode::from_u16(code).ok());
    chosen.unwrap_or_else(|| status_of_kind(error.kind()))
}

/// Builds the response to a failed request: its status, messages and data as JSON, and
/// `Retry-After` if the error has one. Errors that are faults of the server are logged.
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
