//! Errors of calls that got no reply. Clients see a neutral message; the texts of TLS, HTTP/2 and
//! other libraries go to the log.

use strongroom_engine::{EngineError, StorageError, SystemError};
use strongroom_plugin_protocol::transport::{Delivery, TransportError};
use tonic::{Code, Status};

/// The error for a request to a plug-in that got no reply.
pub(crate) fn call_error(status: &Status) -> EngineError {
    if let Some(transport) = TransportError::from_status(status) {
        let delivered = transport.delivery() != Delivery::NotDelivered;
        tracing::warn!(error = %transport, delivered, "a call of a plug-in was cut off");
        let message = match delivered {
            true => {
                "the plug-in ended while it answered: whether it did what was asked is not known"
            }
            false => "the plug-in can't be reached: its connection is lost",
        };
        return EngineError::Unavailable { message: message.to_owned(), delivered };
    }
    EngineError::internal(match peer_message(status) {
        Some(words) => format!("the plug-in failed: {words}"),
        None => {
            let code = status.code();
            tracing::warn!(?code, error = status.message(), "a call of a plug-in failed");
            match code {
                Code::DeadlineExceeded | Code::Cancelled => {
                    "the plug-in did not answer in time".to_owned()
                }
                Code::Unimplemented => "the plug-in doesn't know this call".to_owned(),
                _ => "the plug-in's answer can't be read; see the server's log".to_owned(),
            }
        }
    })
}

/// The error for a call to the host's storage that got no reply.
pub(crate) fn storage_call_error(status: &Status) -> StorageError {
    if status.message() == StorageError::Missing.to_string() {
        return StorageError::Missing;
    }
    StorageError::Failed(format!(
        "the host's storage can't be reached: {}",
        peer_error_text(status)
    ))
}

/// The error for a query to the host that got no reply.
pub(crate) fn system_call_error(status: &Status) -> SystemError {
    SystemError(peer_error_text(status))
}

/// The error message of the other side for a failed call, or why there is none. It contains no
/// texts of the transport libraries.
pub fn peer_error_text(status: &Status) -> String {
    if let Some(transport) = TransportError::from_status(status) {
        tracing::warn!(error = %transport, "a call was cut off");
        return "the connection is lost".to_owned();
    }
    if let Some(words) = peer_message(status) {
        return words.to_owned();
    }
    let code = status.code();
    tracing::warn!(?code, error = status.message(), "a call failed");
    match code {
        Code::DeadlineExceeded | Code::Cancelled => "it did not answer in time".to_owned(),
        Code::Unimplemented => "it doesn't know this call".to_owned(),
        _ => "its answer can't be read".to_owned(),
    }
}

/// The message of the other side, if the status was sent by it and not produced by a transport
/// library: those use codes that no backend or host sends with a message of its own, or have a
/// source error.
fn peer_message(status: &Status) -> Option<&str> {
    let has_cause = std::error::Error::source(status).is_some();
    let is_own = matches!(
        status.code(),
        Code::Unknown
            | Code::InvalidArgument
            | Code::NotFound
            | Code::FailedPrecondition
            | Code::PermissionDenied
            | Code::Unauthenticated
            | Code::Aborted
    );
    (is_own && !has_cause && !status.message().is_empty()).then(|| status.message())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_messages_of_the_peer_are_passed_on() {
        let told = |status: &Status| call_error(status).to_string();
        assert_eq!(told(&Status::unknown("no such thing")), "the plug-in failed: no such thing");
        let library = "error decoding message: invalid wire type value: 7";
        for status in [
            Status::internal(library),
            Status::deadline_exceeded(library),
            Status::cancelled(library),
            Status::unimplemented(library),
            Status::out_of_range(library),
            Status::resource_exhausted(library),
            Status::unavailable(library),
            Status::data_loss(library),
            Status::from_error(Box::new(std::io::Error::other(library))),
        ] {
            for told in [
                told(&status),
                storage_call_error(&status).to_string(),
                system_call_error(&status).to_string(),
            ] {
                assert!(!told.contains("wire type") && told.len() > 10, "{status:?}: {told}");
            }
        }
    }
}
