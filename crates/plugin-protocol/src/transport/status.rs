//! The gRPC status of a response, in its head or its trailers.
//!
//! A peer's response is checked before tonic reads it. Where the status is missing, tonic would
//! fill in texts and codes of its own, which can't be distinguished from the peer's; and it panics
//! on details that are not base64.

use http::{HeaderMap, Response, StatusCode};
use tonic::Status;

const STATUS: &str = "grpc-status";
const MESSAGE: &str = "grpc-message";
const DETAILS: &str = "grpc-status-details-bin";

/// Whether the headers contain a gRPC status.
pub(super) fn is_present(headers: &HeaderMap) -> bool {
    headers.contains_key(STATUS)
}

/// Removes a message that is not UTF-8, and the details, which are not used.
pub(super) fn sanitize_headers(headers: &mut HeaderMap) {
    headers.remove(DETAILS);
    if headers.get(MESSAGE).is_some_and(|message| !is_text(message.as_bytes())) {
        headers.remove(MESSAGE);
    }
}

/// Fails if the response is not a gRPC response.
pub(super) fn check_head<B>(response: &Response<B>) -> Result<(), Status> {
    match response.status() {
        StatusCode::OK => Ok(()),
        _ if is_present(response.headers()) => Ok(()),
        status => {
            let status = status.as_u16();
            Err(Status::internal(format!(
                "the answer has HTTP status {status}, and no gRPC status"
            )))
        }
    }
}

/// The error of a response that ended without a gRPC status.
pub(super) fn missing_status() -> Status {
    Status::internal("the answer ended without a gRPC status")
}

/// Whether the percent-decoded text is UTF-8.
fn is_text(encoded: &[u8]) -> bool {
    let mut bytes = Vec::with_capacity(encoded.len());
    let mut rest = encoded;
    while let [first, others @ ..] = rest {
        let digit = |byte: u8| char::from(byte).to_digit(16);
        rest = match others {
            [high, low, behind @ ..] if *first == b'%' => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => {
                    bytes.push(u8::try_from(high * 16 + low).unwrap_or_default());
                    behind
                }
                _ => {
                    bytes.push(*first);
                    others
                }
            },
            _ => {
                bytes.push(*first);
                others
            }
        };
    }
    std::str::from_utf8(&bytes).is_ok()
}
