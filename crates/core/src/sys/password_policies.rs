//! `sys/policies/password`: what generated passwords are made of.

use strongroom_sdk::Input;
use strongroom_types::{ErrorKind, Fields};

use crate::endpoint::{Access, Call, Endpoint, Handlers, data, handler, keys};
use crate::error::Error;
use crate::request::Answer;

pub(crate) const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        pattern: "policies/password",
        help: "The names of all password policies.",
        fields: &[],
        handlers: Handlers { list: handler!(list), ..Handlers::NONE },
        access: Access::Policy,
    },
    Endpoint {
        pattern: "policies/password/{name..}/generate",
        help: "A password after the rules of a policy.",
        fields: &[],
        handlers: Handlers { read: handler!(generate), ..Handlers::NONE },
        access: Access::Policy,
    },
    Endpoint {
        pattern: "policies/password/{name..}",
        help: "A password policy: how long passwords are, and of which characters.",
        fields: &[PasswordInput::FIELDS],
        handlers: Handlers {
            read: handler!(read),
            write: handler!(write),
            delete: handler!(delete),
            list: None,
        },
        access: Access::Policy,
    },
];

#[derive(Input)]
struct PasswordInput {
    /// The policy in HCL or JSON, or either in base64.
    policy: String,
}

/// What ends like this is asked for passwords, never written.
const GENERATE: &str = "/generate";

async fn list(call: &Call) -> Result<Answer, Error> {
    keys(&call.open.stores.passwords.names().await?)
}

async fn read(call: &Call) -> Result<Answer, Error> {
    let mut answer = Fields::new();
    answer.set("policy", &call.open.stores.passwords.get(call.captured()).await?);
    Ok(data(answer.to_object()))
}

async fn generate(call: &Call) -> Result<Answer, Error> {
    let password = call.open.stores.passwords.generate(call.captured()).await?;
    let mut answer = Fields::new();
    answer.set("password", password.expose_secret());
    Ok(data(answer.to_object()))
}

async fn write(call: &Call) -> Result<Answer, Error> {
    let PasswordInput { policy } = call.input()?;
    if call.captured().ends_with(GENERATE) {
        return Err(Error::unsupported_operation());
    }
    if policy.is_empty() {
        return Err(Error::listed(ErrorKind::Invalid, "missing policy"));
    }
    call.open.stores.passwords.put(call.captured(), &policy).await?;
    Ok(Answer::Nothing)
}

async fn delete(call: &Call) -> Result<Answer, Error> {
    if call.captured().ends_with(GENERATE) {
        return Err(Error::unsupported_operation());
    }
    call.open.stores.passwords.delete(call.captured()).await?;
    Ok(Answer::Nothing)
}
