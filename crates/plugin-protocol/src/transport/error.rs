//! Why a call failed before the peer's own answer, and whether the peer had seen it.

use std::fmt;
use std::sync::Arc;

use h2::Reason;
use tonic::{Code, Status};

/// Whether a call that failed may have begun at the other end. Only one that was
/// [`NotDelivered`](Self::NotDelivered) can be repeated without asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// It was never handed to the connection, or the peer refused it unseen.
    NotDelivered,
    /// The peer may have acted on it.
    Unknown,
}

/// The connection failed a call, not the peer's code. It is the source of the [`Status`] that
/// the call answers.
#[derive(Debug)]
pub struct TransportError {
    delivery: Delivery,
    cause: h2::Error,
}

impl TransportError {
    /// The transport error behind a status; none if the status is the peer's own answer, or a
    /// deadline's.
    pub fn from_status(status: &Status) -> Option<&Self> {
        std::error::Error::source(status)?.downcast_ref()
    }

    /// Whether the peer may have acted on the call.
    pub fn delivery(&self) -> Delivery {
        self.delivery
    }

    /// The call never left.
    pub(super) fn not_sent(cause: h2::Error) -> Status {
        Self { delivery: Delivery::NotDelivered, cause }.into_status()
    }

    /// The call was on its way, or the answer was.
    pub(super) fn in_flight(cause: h2::Error) -> Status {
        // A stream dies of the peer's farewell only if it is past the last one the peer looked at.
        let refused = cause.is_remote()
            && (cause.is_go_away()
                || (cause.is_reset() && cause.reason() == Some(Reason::REFUSED_STREAM)));
        let delivery = if refused { Delivery::NotDelivered } else { Delivery::Unknown };
        Self { delivery, cause }.into_status()
    }

    /// The answer had begun, so the peer had seen the call, whatever it says now.
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
        // Without the library's words: a message may be shown to anybody.
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
        // Not received from a peer: nothing says that it was refused.
        let status = TransportError::in_flight(Reason::REFUSED_STREAM.into());
        assert_eq!(TransportError::from_status(&status).unwrap().delivery(), Delivery::Unknown);
        assert_eq!(status.code(), Code::Unavailable);
    }
}
