//! [`HttpError`]: why a call to an outside system failed, and whether it may have taken effect.

use std::fmt;
use std::sync::Arc;

use http::Method;

use super::limits::is_safe;
use crate::Error;

/// A call to an outside system that failed.
///
/// Its text names method, host and path, with the placeholders of the path instead of their values,
/// and never a query, a header or a body. It converts into an [`Error`] with `?`, which leaves the
/// host out, since clients need not know it; the log has it at level DEBUG.
///
/// | what happened | [`Error`] | may have taken effect |
/// |---|---|---|
/// | connecting failed, the time was up, the connection broke, the response is too large or malformed | [`Error::unanswered`] | yes, to be safe |
/// | 4xx but 408; 307, 308, 501, 505, 507, 511 | [`Error::answered`] | no: the outside system refused |
/// | any other status but 2xx | [`Error::in_doubt`], or `answered` if the method changes nothing | yes |
/// | the request can't be sent as it is, for example because a token has a line break | [`Error::internal`] | no |
///
/// So a failed `issue` that passes this error on leaves its intent to be undone whenever the
/// credential may exist. What is kept exact for an engine that asks is
/// [`HttpError::may_have_taken_effect`].
#[derive(Clone, Debug)]
pub struct HttpError(Arc<ErrorDetails>);

#[derive(Debug)]
struct ErrorDetails {
    call: Arc<CallName>,
    failure: CallFailure,
    /// Whether an earlier attempt of the same call was sent.
    sent_before: bool,
}

/// How errors name a call. It has no value that the engine passes in.
#[derive(Debug)]
pub(super) struct CallName {
    pub(super) system: &'static str,
    pub(super) method: Method,
    /// Host and port.
    pub(super) authority: String,
    /// The path with its placeholders, without the base URL's.
    pub(super) path: &'static str,
}

/// Why an attempt failed. The texts are ours, not those of libraries or of the outside system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CallFailure {
    /// The request is malformed or its settings are; nothing was sent.
    Unsendable(&'static str),
    /// There was no connection to send it on.
    NotSent(&'static str),
    /// It was sent, at least in part, and there is no usable response. `broken` is whether another
    /// attempt may have one.
    NoAnswer { reason: &'static str, broken: bool },
    /// The response has a status that the request doesn't handle.
    Status(u16),
}

/// The reason for a time limit, in errors.
pub(super) const TIMED_OUT: &str = "timed out";

impl HttpError {
    pub(super) fn new(call: Arc<CallName>, failure: CallFailure, sent_before: bool) -> Self {
        Self(Arc::new(ErrorDetails { call, failure, sent_before }))
    }

    /// The status of the response, if there was one and it was not handled.
    pub fn status(&self) -> Option<u16> {
        match self.0.failure {
            CallFailure::Status(status) => Some(status),
            _ => None,
        }
    }

    /// Whether a time limit ended the call: that of connecting, of an attempt, of all attempts, or
    /// the deadline of the request.
    pub fn is_timeout(&self) -> bool {
        match self.0.failure {
            CallFailure::NotSent(reason) | CallFailure::NoAnswer { reason, .. } => {
                reason.ends_with(TIMED_OUT)
            }
            _ => false,
        }
    }

    /// Whether the outside system may have carried out the call, or may still be doing so. It is
    /// false if nothing was sent, if the method changes nothing, and if the outside system refused.
    pub fn may_have_taken_effect(&self) -> bool {
        if is_safe(&self.0.call.method) {
            return false;
        }
        self.0.sent_before || self.0.failure.may_have_taken_effect()
    }
}

impl CallFailure {
    /// Whether an attempt that failed so may have taken effect, if its method changes anything.
    pub(super) fn may_have_taken_effect(self) -> bool {
        match self {
            Self::Unsendable(_) | Self::NotSent(_) => false,
            Self::NoAnswer { .. } => true,
            Self::Status(status) => !is_refusal(status),
        }
    }
}

/// Whether a status means that the call was not carried out. 408 and most of 5xx may come from a
/// proxy that waited no longer, or from a system that failed halfway; 301 to 303 are usual after a
/// form was accepted.
fn is_refusal(status: u16) -> bool {
    matches!(status, 307 | 308 | 400..=407 | 409..=499 | 501 | 505 | 507 | 511)
}

impl CallName {
    /// The call as errors for clients name it, without the host.
    fn without_host(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CallName { method, authority, path, .. } = &*self.0.call;
        write!(f, "{method} {authority}{path} ")?;
        match self.0.failure {
            CallFailure::Unsendable(reason) => write!(f, "can't be sent: {reason}"),
            CallFailure::NotSent(reason) | CallFailure::NoAnswer { reason, .. } => {
                write!(f, "got no answer: {reason}")
            }
            CallFailure::Status(status) => write!(f, "answered {status}"),
        }
    }
}

impl std::error::Error for HttpError {}

impl From<HttpError> for Error {
    fn from(error: HttpError) -> Self {
        let (system, call) = (error.0.call.system, error.0.call.without_host());
        match error.0.failure {
            CallFailure::Unsendable(reason) => {
                Self::internal(format!("{system}: {call} can't be sent: {reason}"))
            }
            CallFailure::NotSent(reason) | CallFailure::NoAnswer { reason, .. } => {
                Self::unanswered(system, call, reason)
            }
            CallFailure::Status(status) if error.may_have_taken_effect() => {
                Self::in_doubt(system, call, status)
            }
            CallFailure::Status(status) => Self::answered(system, call, status),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_of(method: Method, failure: CallFailure, sent_before: bool) -> HttpError {
        let call = CallName {
            system: "token service",
            method,
            authority: "api.example.com:8443".to_owned(),
            path: "/tokens/:id",
        };
        HttpError::new(Arc::new(call), failure, sent_before)
    }

    #[test]
    fn statuses_are_refusals_or_in_doubt() {
        for status in [307, 308, 400, 401, 403, 404, 409, 422, 425, 429, 499, 501, 507] {
            let error = error_of(Method::POST, CallFailure::Status(status), false);
            assert!(
                !error.may_have_taken_effect() && !Error::from(error).is_uncertain(),
                "{status}"
            );
            let again = error_of(Method::POST, CallFailure::Status(status), true);
            assert!(again.may_have_taken_effect() && Error::from(again).is_uncertain(), "{status}");
        }
        for status in [100, 300, 301, 302, 303, 304, 408, 500, 502, 503, 504, 520, 599, 700, 999] {
            let error = error_of(Method::POST, CallFailure::Status(status), false);
            assert!(error.may_have_taken_effect() && Error::from(error).is_uncertain(), "{status}");
        }
    }

    #[test]
    fn without_an_answer_a_call_is_uncertain() {
        let broken = CallFailure::NoAnswer { reason: "the connection failed", broken: true };
        let error = error_of(Method::POST, broken, false);
        assert!(error.may_have_taken_effect() && Error::from(error).is_uncertain());
        let refused = error_of(Method::POST, CallFailure::NotSent("could not connect"), false);
        assert!(!refused.may_have_taken_effect());
        let later = error_of(Method::POST, CallFailure::NotSent("could not connect"), true);
        assert!(later.may_have_taken_effect() && Error::from(later).is_uncertain());
        assert!(!error_of(Method::GET, broken, true).may_have_taken_effect());
    }

    #[test]
    fn clients_get_no_host() {
        let error = error_of(Method::DELETE, CallFailure::NotSent("could not connect"), false);
        assert_eq!(
            error.to_string(),
            "DELETE api.example.com:8443/tokens/:id got no answer: could not connect"
        );
        assert_eq!(
            Error::from(error).to_string(),
            "token service: DELETE /tokens/:id got no answer: could not connect"
        );
    }
}
