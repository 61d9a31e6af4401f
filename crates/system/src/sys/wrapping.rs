//! `sys/wrapping/`: wrapping a request body, and looking up, unwrapping and rewrapping with a
//! wrapping token.

use std::sync::Arc;

use serde::Serialize;
use strongroom_core::error::Error;
use strongroom_core::request::CoreResponse;
use strongroom_core::wrapping::WrappingService;
use strongroom_core::wrapping::unwrap;
use strongroom_schema::Input;
use strongroom_types::{RawObject, Secret};

use crate::endpoint::{
    ANY_FIELDS, ApiEndpoint, EndpointAccess, EndpointCall, VerbHandlers, data_response, handler,
};

pub(crate) const ENDPOINTS: &[ApiEndpoint] = &[
    ApiEndpoint {
        pattern: "wrapping/wrap",
        help: "Wraps the request body. The header X-Vault-Wrap-TTL sets the token's TTL.",
        fields: &[ANY_FIELDS],
        handlers: VerbHandlers { write: handler!(wrap_data), ..VerbHandlers::NONE },
        access: EndpointAccess::Policy,
    },
    ApiEndpoint {
        pattern: "wrapping/lookup",
        help: "Returns the creation path, time and TTL of a wrapping token, without using it up.",
        fields: &[WrappingTokenInput::FIELDS],
        handlers: VerbHandlers {
            read: handler!(lookup_wrapping_token, wrapping),
            write: handler!(lookup_wrapping_token, wrapping),
            ..VerbHandlers::NONE
        },
        access: EndpointAccess::Unauthenticated,
    },
    ApiEndpoint {
        pattern: "wrapping/unwrap",
        help: "Returns the wrapped response, and revokes the wrapping token.",
        fields: &[WrappingTokenInput::FIELDS],
        handlers: VerbHandlers { write: handler!(unwrap_token, wrapping), ..VerbHandlers::NONE },
        access: EndpointAccess::Policy,
    },
    ApiEndpoint {
        pattern: "wrapping/rewrap",
        help: "Moves the wrapped response to a new wrapping token, and revokes the old one.",
        fields: &[WrappingTokenInput::FIELDS],
        handlers: VerbHandlers { write: handler!(rewrap_token, wrapping), ..VerbHandlers::NONE },
        access: EndpointAccess::Policy,
    },
];

#[derive(Input)]
#[expect(dead_code, reason = "parsed separately, because an empty token differs from none")]
struct WrappingTokenInput {
    /// The wrapping token; the token of the request if not given.
    token: Option<Secret<String>>,
}

#[derive(Serialize)]
struct WrappingLookupResponse<'a> {
    creation_path: &'a str,
    creation_time: String,
    creation_ttl: u64,
}

/// Returns the body unchanged; the pipeline wraps the response as it does any other.
async fn wrap_data(call: &EndpointCall) -> Result<CoreResponse, Error> {
    if call.wrap_ttl.is_none() {
        return Err(Error::invalid("endpoint requires response wrapping to be used"));
    }
    Ok(data_response(call.fields.to_object()))
}

async fn lookup_wrapping_token(
    call: &EndpointCall,
    wrapping: &Arc<WrappingService>,
) -> Result<CoreResponse, Error> {
    let (_, info) = wrapping.look_up(&requested_token(call)?).await?;
    let shown = WrappingLookupResponse {
        creation_path: &info.creation_path,
        creation_time: info.creation_time.to_rfc3339(),
        creation_ttl: info.creation_ttl.as_secs(),
    };
    Ok(data_response(RawObject::from_serialize(&shown).map_err(Error::unencodable)?))
}

async fn unwrap_token(
    call: &EndpointCall,
    wrapping: &Arc<WrappingService>,
) -> Result<CoreResponse, Error> {
    wrapping.unwrap_response(&requested_token(call)?, call.require_caller()?).await
}

async fn rewrap_token(
    call: &EndpointCall,
    wrapping: &Arc<WrappingService>,
) -> Result<CoreResponse, Error> {
    wrapping.rewrap_response(&requested_token(call)?, call.require_caller()?).await
}

fn requested_token(call: &EndpointCall) -> Result<Secret<String>, Error> {
    unwrap::token_in_request(&call.fields, call.token.as_ref())
}
