//! `sys/seal` and `sys/step-down`.

use crate::endpoint::{Access, Call, Endpoint, Handlers, handler};
use crate::error::Error;
use crate::request::Answer;

pub(crate) const ENDPOINTS: &[Endpoint] = &[Endpoint {
    pattern: "seal",
    help: "Takes the keys out of memory. Nothing but unsealing works afterwards.",
    fields: &[],
    handlers: Handlers { write: handler!(seal), ..Handlers::NONE },
    access: Access::Root,
}];

/// When this answers, the server is sealed to everyone; requests being answered still end.
async fn seal(call: &Call) -> Result<Answer, Error> {
    call.open.order_seal().await;
    Ok(Answer::Nothing)
}
