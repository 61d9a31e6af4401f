//! `sys/policies/password`: password policies, and generating passwords from them.

use strongroom_core::error::Error;
use strongroom_core::request::CoreResponse;
use strongroom_policy::PasswordPolicies;
use strongroom_schema::Input;
use strongroom_types::{ErrorKind, Fields};

use crate::document_endpoints::DocumentEndpoints;
use crate::endpoint::{
    ApiEndpoint, EndpointAccess, EndpointCall, VerbHandlers, data_response, handler, keys_response,
};

pub(crate) const ENDPOINTS: &[ApiEndpoint] = &DocumentEndpoints {
    list_pattern: "policies/password",
    list_help: "Lists the names of all password policies.",
    list: handler!(list_password_policies, password_policies),
    read_returns_list: false,
    pattern: "policies/password/{name..}",
    help: "Reads, writes or deletes a password policy: the length and characters of passwords.",
    fields: &[PasswordPolicyInput::FIELDS],
    read: handler!(read_password_policy, password_policies),
    write: handler!(write_password_policy, password_policies),
    delete: handler!(delete_password_policy, password_policies),
}
.endpoints();

/// Comes before [`ENDPOINTS`], whose pattern matches these paths as well.
pub(crate) const GENERATE_ENDPOINTS: &[ApiEndpoint] = &[ApiEndpoint {
    pattern: "policies/password/{name..}/generate",
    help: "Generates a password from a password policy.",
    fields: &[],
    handlers: VerbHandlers {
        read: handler!(generate_password, password_policies),
        ..VerbHandlers::NONE
    },
    access: EndpointAccess::Policy,
}];

#[derive(Input)]
struct PasswordPolicyInput {
    /// The policy in HCL or JSON, or either in base64.
    policy: String,
}

/// Paths with this suffix generate a password, so no policy can be written or deleted there.
const GENERATE_SUFFIX: &str = "/generate";

async fn list_password_policies(
    _: &EndpointCall,
    password_policies: &PasswordPolicies,
) -> Result<CoreResponse, Error> {
    keys_response(&password_policies.names().await?)
}

async fn read_password_policy(
    call: &EndpointCall,
    password_policies: &PasswordPolicies,
) -> Result<CoreResponse, Error> {
    let mut answer = Fields::new();
    answer.set("policy", &password_policies.get(call.first_capture()).await?);
    Ok(data_response(answer.to_object()))
}

async fn generate_password(
    call: &EndpointCall,
    password_policies: &PasswordPolicies,
) -> Result<CoreResponse, Error> {
    let password = password_policies.generate(call.first_capture()).await?;
    let mut answer = Fields::new();
    answer.set("password", password.expose_secret());
    Ok(data_response(answer.to_object()))
}

async fn write_password_policy(
    call: &EndpointCall,
    password_policies: &PasswordPolicies,
) -> Result<CoreResponse, Error> {
    let PasswordPolicyInput { policy } = call.parse_input()?;
    if call.first_capture().ends_with(GENERATE_SUFFIX) {
        return Err(Error::unsupported_operation());
    }
    if policy.is_empty() {
        return Err(Error::collected(ErrorKind::Invalid, "missing policy"));
    }
    password_policies.put(call.first_capture(), &policy).await?;
    Ok(CoreResponse::Nothing)
}

async fn delete_password_policy(
    call: &EndpointCall,
    password_policies: &PasswordPolicies,
) -> Result<CoreResponse, Error> {
    if call.first_capture().ends_with(GENERATE_SUFFIX) {
        return Err(Error::unsupported_operation());
    }
    password_policies.delete(call.first_capture()).await?;
    Ok(CoreResponse::Nothing)
}
