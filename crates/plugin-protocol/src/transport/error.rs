//! [`TransportError`]: why a call failed without a response from the peer's code, and whether the
//! peer may have received it.

use std::fmt;
use std::sync::Arc;

use h2::Reason;
use tonic::{Code, Status};

/// Whether the peer may have begun to process a failed call. Only a call that was
/// [`NotDelivered`](Self::NotDelivered) can be repeated safely.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// The call was never sent, or the peer refused it without processing it.
    NotDelivered,
    /// The peer may have processed the call, in part or completely.
    Unknown,
}

/// A failure of the connection, not of the peer's code. It is the source of the [`Status`] that the
/// call returns.
#[derive(Debug)]
pub struct TransportError {
    delivery: Delivery,
    cause: h2::Error,
}

impl TransportError {
    /// The transport error that caused a status; `None` if the status came from the peer's code or
    /// from a deadline.
    pub fn from_status(status: &Status) -> Option<&Self> {
        std::error::Error::source(status)?.downcast_ref()
    }

    /// Whether the peer may have processed the call.
    pub fn delivery(&self) -> Delivery {
        self.delivery
    }

    /// The call was not sent.
    pub(super) fn not_sent(cause: h2::Error) -> Status {
        Self { delivery: Delivery::NotDelivered, cause }.into_status()
    }

    /// The call was sent and no response had begun.
    pub(super) fn in_flight(cause: h2::Error) -> Status {
        // A GOAWAY closes only streams after the last one that the peer processed.
        let refused = cause.is_remote()
            && (cause.is_go_away()
                || (cause.is_reset() && cause.reason() == Some(Reason::REFUSED_STREAM)));
        let delivery = if refused { Delivery::NotDelivered } else { Delivery::Unknown };
        Self { delivery, cause }.into_status()
    }

    /// The response had begun, so the peer received the call, whatever the error is.
    pub(super) fn during_response(cause: h2::Error) -> Status {
        Self { delivery: Delivery::Unknown, cause }.into_status()
    }

    fn code(&self) -> Code {
        match self.cause.reason() {
            Some(reason) if self.cause.is_reset() => match reason {
                Reason::REFUSED_STREAM => Code::Unavailable,
                Reason::CANCEL => Code::Cancelled,
                Reason::ENHANCE_YOUR_CALM => Code::ResourceExhausted,
                _ => Code::Internal,
            },
            _ => Code::Unavailable,
        }
    }

    fn into_status(self) -> Status {
        // The library's text is left out, because the message may be shown to clients.
        let ended = self.cause.is_reset() && self.cause.reason().is_some();
        let message = if ended { "the peer ended the call" } else { "the connection is lost" };
        let mut status = Status::new(self.code(), message);
        status.set_source(Arc::new(self));
        status
    }
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cause.reason() {
            Some(reason) if self.cause.is_reset() => {
                write!(f, "the peer ended the call: {reason}")
            }
            _ => write!(f, "the connection is lost: {}", self.cause),
        }
    }
}

impl std::error::Error for TransportError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.cause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_of_the_peer_is_no_transport_error() {
        assert!(TransportError::from_status(&Status::unavailable("no")).is_none());
        let status = TransportError::not_sent(Reason::INTERNAL_ERROR.into());
        let error = TransportError::from_status(&status).unwrap();
        assert_eq!(error.delivery(), Delivery::NotDelivered);
    }

    #[test]
    fn what_was_underway_may_have_been_delivered() {
        // The error did not come from a peer, so it doesn't prove that the call was refused.
        let status = TransportError::in_flight(Reason::REFUSED_STREAM.into());
        assert_eq!(TransportError::from_status(&status).unwrap().delivery(), Delivery::Unknown);
        assert_eq!(status.code(), Code::Unavailable);
    }
}
