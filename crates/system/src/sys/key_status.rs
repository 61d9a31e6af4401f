//! `sys/key-status`: the number, install time and use count of the active encryption key.

use serde::Serialize;
use strongroom_barrier::Barrier;
use strongroom_core::error::Error;
use strongroom_core::request::CoreResponse;
use strongroom_types::RawObject;

use crate::endpoint::{
    ApiEndpoint, EndpointAccess, EndpointCall, VerbHandlers, data_response, handler,
};

pub(crate) const ENDPOINTS: &[ApiEndpoint] = &[ApiEndpoint {
    pattern: "key-status",
    help: "Returns the install time and use count of the active encryption key.",
    fields: &[],
    handlers: VerbHandlers { read: handler!(read_key_status, barrier), ..VerbHandlers::NONE },
    access: EndpointAccess::Policy,
}];

async fn read_key_status(_: &EndpointCall, barrier: &Barrier) -> Result<CoreResponse, Error> {
    #[derive(Serialize)]
    struct KeyStatusResponse {
        term: u32,
        install_time: String,
        encryptions: u64,
    }
    let ring = barrier.key_ring()?;
    // Unreachable: a key ring always has at least one key.
    let term = ring.active_term().ok_or_else(|| Error::internal("the key ring has no key"))?;
    let status = KeyStatusResponse {
        term: term.number,
        install_time: term.installed.to_rfc3339(),
        encryptions: term.used_count(),
    };
    let object = RawObject::from_serialize(&status).map_err(Error::unencodable)?;
    Ok(data_response(object))
}
