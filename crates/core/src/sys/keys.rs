//! `sys/key-status`.

use serde::Serialize;
use strongroom_types::RawObject;

use crate::endpoint::{Access, Call, Endpoint, Handlers, data, handler};
use crate::error::Error;
use crate::request::Answer;

pub(crate) const ENDPOINTS: &[Endpoint] = &[Endpoint {
    pattern: "key-status",
    help: "Since when the key that encrypts new entries is used, and how often it was.",
    fields: &[],
    handlers: Handlers { read: handler!(status), ..Handlers::NONE },
    access: Access::Policy,
}];

async fn status(call: &Call) -> Result<Answer, Error> {
    #[derive(Serialize)]
    struct Status {
        term: u32,
        install_time: String,
        encryptions: u64,
    }
    let ring = call.open.barrier.key_ring()?;
    // A ring is never empty.
    let term = ring.active().ok_or_else(|| Error::internal("the key ring has no key"))?;
    let status = Status {
        term: term.number,
        install_time: term.installed.to_rfc3339(),
        encryptions: term.used(),
    };
    let object = RawObject::of(&status).map_err(|error| Error::internal(error.to_string()))?;
    Ok(data(object))
}
