//! `sys/seal`, which seals the server, and `sys/step-down`, which has no effect on a single node.

use strongroom_core::error::Error;
use strongroom_core::refusal_log::RefusalLog;
use strongroom_core::request::CoreResponse;
use strongroom_core::seal_request::SealRequest;

use crate::endpoint::{ApiEndpoint, EndpointAccess, EndpointCall, VerbHandlers, handler};

pub(crate) const ENDPOINTS: &[ApiEndpoint] = &[
    ApiEndpoint {
        pattern: "seal",
        help: "Seals the server: the keys are removed from memory, and requests are refused.",
        fields: &[],
        handlers: VerbHandlers { write: handler!(seal, seal_request), ..VerbHandlers::NONE },
        access: EndpointAccess::Policy,
    },
    ApiEndpoint {
        pattern: "step-down",
        help: "Gives up active duty to another node. Has no effect on a single node.",
        fields: &[],
        handlers: VerbHandlers { write: handler!(step_down), ..VerbHandlers::NONE },
        access: EndpointAccess::Policy,
    },
];

/// Seals the server. When this returns, new requests are refused as sealed; requests in progress
/// may still complete.
async fn seal(call: &EndpointCall, seal_request: &SealRequest) -> Result<CoreResponse, Error> {
    RefusalLog::log_seal_request(&call.request_origin("sys/seal"));
    seal_request.request().await;
    Ok(CoreResponse::Nothing)
}

/// Does nothing: there is only one node. Vault and OpenBao return success in that case as well.
async fn step_down(_: &EndpointCall) -> Result<CoreResponse, Error> {
    Ok(CoreResponse::Nothing)
}
