//! Renders errors: the status code, the JSON body, and the line in the log. This is the only table
//! of status codes; `docs/src/api/status-codes.md` shows it.

use http::{Response, StatusCode, header};
use strongroom_core::Error;
use strongroom_types::{ErrorKind, RequestId, chain};

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
    let engine_status = error.engine_status().and_then(|code| StatusCode::from_u16(code).ok());
    engine_status.unwrap_or_else(|| status_of_kind(error.kind()))
}

/// The entries of `errors` in the response body; empty if the client receives only the status.
///
/// Clients match on the text of collected errors, which has the format of the error lists of Go
/// programs.
pub fn messages_of(error: &Error) -> Vec<String> {
    match error.client_message() {
        None => Vec::new(),
        Some(text) if error.is_collected() => vec![format!("1 error occurred:\n\t* {text}\n\n")],
        Some(text) => vec![text.to_owned()],
    }
}

/// Builds the response to a failed request: its status, messages and data as JSON, and
/// `Retry-After` if the error has one. Faults of the server are logged with their causes, and their
/// response contains the id of the request, by which the line in the log is found.
pub fn to_http(error: &Error, request_id: &RequestId) -> Response<Body> {
    let status = status_of(error);
    log_fault(status, error);
    let messages = messages_of(error);
    let mut response = response::errors_response(status, &messages, error.data(), Some(request_id));
    if let Some(secs) = error.retry_after_secs() {
        response.headers_mut().insert(header::RETRY_AFTER, secs.into());
    }
    response
}

/// Logs an error that operators have to look at. That the server is sealed or busy is none, unless
/// something failed on the way.
fn log_fault(status: StatusCode, error: &Error) {
    let has_cause = std::error::Error::source(error).is_some();
    if status.is_server_error() && (status != StatusCode::SERVICE_UNAVAILABLE || has_cause) {
        tracing::error!(error = %chain(error), "a request failed");
    }
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
