//! `sys/wrapping/`: wrapping what the client sends, and what can be done with a wrapping token.

use serde::Serialize;
use strongroom_sdk::Input;
use strongroom_types::{RawObject, Secret};

use crate::endpoint::{ANY_FIELDS, Access, Call, Endpoint, Handlers, data, handler};
use crate::error::Error;
use crate::request::Answer;
use crate::wrapping::taking;

pub(crate) const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        pattern: "wrapping/wrap",
        help: "Wraps the body. The lifetime of the wrapping token is in the header X-Vault-Wrap-TTL.",
        fields: &[ANY_FIELDS],
        handlers: Handlers { write: handler!(wrap), ..Handlers::NONE },
        access: Access::Policy,
    },
    Endpoint {
        pattern: "wrapping/lookup",
        help: "Where a wrapped answer came from. The wrapping token stays as it is.",
        fields: &[NamedInput::FIELDS],
        handlers: Handlers { read: handler!(look_up), write: handler!(look_up), ..Handlers::NONE },
        access: Access::Anyone,
    },
    Endpoint {
        pattern: "wrapping/unwrap",
        help: "What a wrapping token wraps. The token ends with that.",
        fields: &[NamedInput::FIELDS],
        handlers: Handlers { write: handler!(unwrap), ..Handlers::NONE },
        access: Access::Policy,
    },
    Endpoint {
        pattern: "wrapping/rewrap",
        help: "A new wrapping token for what another one wraps. The old one ends.",
        fields: &[NamedInput::FIELDS],
        handlers: Handlers { write: handler!(rewrap), ..Handlers::NONE },
        access: Access::Policy,
    },
];

#[derive(Input)]
#[expect(dead_code, reason = "read by its own rules, which tell an empty token from none")]
struct NamedInput {
    /// The wrapping token; the caller's own if not given.
    token: Option<Secret<String>>,
}

#[derive(Serialize)]
struct Shown<'a> {
    creation_path: &'a str,
    creation_time: String,
    creation_ttl: u64,
}

/// The body as it is. It becomes a wrapped answer as every other does.
async fn wrap(call: &Call) -> Result<Answer, Error> {
    if call.wrap_ttl.is_none() {
        return Err(Error::invalid("endpoint requires response wrapping to be used"));
    }
    Ok(data(call.fields.to_object()))
}

async fn look_up(call: &Call) -> Result<Answer, Error> {
    let (_, info) = taking::look_up(&call.open, &named(call)?).await?;
    let shown = Shown {
        creation_path: &info.creation_path,
        creation_time: info.creation_time.to_rfc3339(),
        creation_ttl: info.creation_ttl.as_secs(),
    };
    Ok(data(RawObject::of(&shown).map_err(|error| Error::internal(error.to_string()))?))
}

async fn unwrap(call: &Call) -> Result<Answer, Error> {
    taking::unwrap(&call.open, &named(call)?, call.caller()?).await
}

async fn rewrap(call: &Call) -> Result<Answer, Error> {
    taking::rewrap(&call.open, &named(call)?, call.caller()?).await
}

fn named(call: &Call) -> Result<Secret<String>, Error> {
    taking::named(&call.fields, call.token.as_ref())
}
