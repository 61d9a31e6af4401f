//! [`RequestSpan`]: the id and the tracing span of a request. Log lines written while a request is
//! handled, and by work that it started, contain the fields of its span.

use std::sync::Arc;

use strongroom_token::Token;
use strongroom_types::RequestId;
use tracing::Span;
use tracing::field::Empty;

/// The id of one request, and its span, which has the fields `request_id`, `mount`, `operation` and
/// `accessor_sha256`. Clones are handles of the same span.
#[derive(Clone, Debug)]
pub struct RequestSpan(Arc<IdAndSpan>);

#[derive(Debug)]
struct IdAndSpan {
    id: RequestId,
    span: Span,
}

impl RequestSpan {
    /// The span of a request that has just arrived; the pipeline records the other fields.
    ///
    /// The level is that of errors, so that the fields are there at every log level.
    pub fn new(id: RequestId) -> Self {
        let span = tracing::error_span!(
            "request",
            request_id = id.as_str(),
            mount = Empty,
            operation = Empty,
            accessor_sha256 = Empty
        );
        Self(Arc::new(IdAndSpan { id, span }))
    }

    /// The id of the request, as in its log lines and its response.
    pub fn id(&self) -> &RequestId {
        &self.0.id
    }

    /// The tracing span, to instrument a future with.
    pub fn span(&self) -> &Span {
        &self.0.span
    }

    /// Records where the request is routed to, and whose token it has, in one call, because each
    /// call takes time. `mount` is the path of the mount, empty if there is none; `operation` is a
    /// name from [`Verb::as_str`](crate::Verb::as_str).
    pub fn record(&self, mount: &str, operation: &'static str, token: Option<&Token>) {
        match token.and_then(Token::accessor_hash) {
            Some(hash) => {
                tracing::record_all!(self.0.span, mount, operation, accessor_sha256 = hash);
            }
            None => tracing::record_all!(self.0.span, mount, operation),
        }
    }
}
