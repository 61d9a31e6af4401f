//! How a call went, as an answer says it in its head or in its trailers.
//!
//! What a peer sends is judged before tonic reads it. Where something is missing tonic puts words of its
//! own in its place, with codes that peers use, so that they can't be told from the peer's; and it
//! panics at details that are no base64.

use http::{HeaderMap, Response, StatusCode};
use tonic::Status;

const STATUS: &str = "grpc-status";
const MESSAGE: &str = "grpc-message";
const DETAILS: &str = "grpc-status-details-bin";

/// Whether it is said there.
pub(super) fn is_present(headers: &HeaderMap) -> bool {
    headers.contains_key(STATUS)
}

/// Takes out what nobody can read, and the details, which nobody wants.
pub(super) fn sanitize_headers(headers: &mut HeaderMap) {
    headers.remove(DETAILS);
    if headers.get(MESSAGE).is_some_and(|message| !is_text(message.as_bytes())) {
        headers.remove(MESSAGE);
    }
}

/// An answer that is none of gRPC ends with its head.
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

/// An answer that ended without it.
pub(super) fn missing_status() -> Status {
    Status::internal("the answer ended without a gRPC status")
}

/// Whether this is UTF-8 once its percent-encoding is undone.
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
