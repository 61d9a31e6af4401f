//! `sys/seal` and `sys/step-down`.

use crate::endpoint::{Access, Call, Endpoint, Handlers, handler};
use crate::error::Error;
use crate::refusals::Refusals;
use crate::request::Answer;

pub(crate) const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        pattern: "seal",
        help: "Takes the keys out of memory. Nothing but unsealing works afterwards.",
        fields: &[],
        handlers: Handlers { write: handler!(seal), ..Handlers::NONE },
        access: Access::Policy,
    },
    Endpoint {
        pattern: "step-down",
        help: "Lets another node lead. A server without others goes on as it is.",
        fields: &[],
        handlers: Handlers { write: handler!(step_down), ..Handlers::NONE },
        access: Access::Policy,
    },
];

/// When this answers, the server is sealed to everyone; requests being answered still end.
async fn seal(call: &Call) -> Result<Answer, Error> {
    Refusals::seal_requested(&call.origin("sys/seal"));
    call.open.order_seal().await;
    Ok(Answer::Nothing)
}

/// There is one node, so there is nobody to lead instead: Vault and OpenBao answer success then, too.
async fn step_down(_: &Call) -> Result<Answer, Error> {
    Ok(Answer::Nothing)
}
