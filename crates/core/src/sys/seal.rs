//! `sys/seal` and `sys/step-down`.

use crate::endpoint::{ApiEndpoint, EndpointAccess, EndpointCall, VerbHandlers, handler};
use crate::error::Error;
use crate::refusal_log::RefusalLog;
use crate::request::CoreResponse;

pub(crate) const ENDPOINTS: &[ApiEndpoint] = &[
    ApiEndpoint {
        pattern: "seal",
        help: "Takes the keys out of memory. Nothing but unsealing works afterwards.",
        fields: &[],
        handlers: VerbHandlers { write: handler!(seal), ..VerbHandlers::NONE },
        access: EndpointAccess::Policy,
    },
    ApiEndpoint {
        pattern: "step-down",
        help: "Lets another node lead. A server without others goes on as it is.",
        fields: &[],
        handlers: VerbHandlers { write: handler!(step_down), ..VerbHandlers::NONE },
        access: EndpointAccess::Policy,
    },
];

/// When this answers, the server is sealed to everyone; requests being answered still end.
async fn seal(call: &EndpointCall) -> Result<CoreResponse, Error> {
    RefusalLog::log_seal_request(&call.request_origin("sys/seal"));
    call.core.request_seal().await;
    Ok(CoreResponse::Nothing)
}

/// There is one node, so there is nobody to lead instead: Vault and OpenBao answer success then, too.
async fn step_down(_: &EndpointCall) -> Result<CoreResponse, Error> {
    Ok(CoreResponse::Nothing)
}
