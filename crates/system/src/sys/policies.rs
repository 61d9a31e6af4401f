//! `sys/policies/acl` and its older form `sys/policy`: ACL policies.

use strongroom_core::error::Error;
use strongroom_core::request::CoreResponse;
use strongroom_policy::PolicyStore;
use strongroom_policy::{DerivedField, FieldReading, from_base64};
use strongroom_schema::Input;
use strongroom_types::{Fields, PolicyName};

use super::derived_field;
use crate::document_endpoints::DocumentEndpoints;
use crate::endpoint::{
    ApiEndpoint, EndpointCall, data_response, empty_or_warnings_response, handler, keys_response,
    not_found,
};

pub(crate) const ENDPOINTS: &[ApiEndpoint] = &DocumentEndpoints {
    list_pattern: "policies/acl",
    list_help: "Lists the names of all policies.",
    list: handler!(list_policies, policies),
    read_returns_list: false,
    pattern: "policies/acl/{name..}",
    help: "Reads, writes or deletes an ACL policy.",
    fields: &[PolicyInput::FIELDS],
    read: handler!(read_policy, policies),
    write: handler!(write_policy, policies),
    delete: handler!(delete_policy, policies),
}
.endpoints();

pub(crate) const LEGACY_ENDPOINTS: &[ApiEndpoint] = &DocumentEndpoints {
    list_pattern: "policy",
    list_help: "Lists the names of all policies (deprecated form).",
    list: handler!(list_policies_legacy, policies),
    read_returns_list: true,
    pattern: "policy/{name..}",
    help: "Reads, writes or deletes an ACL policy (deprecated form).",
    fields: &[PolicyInput::FIELDS],
    read: handler!(read_policy_legacy, policies),
    write: handler!(write_policy, policies),
    delete: handler!(delete_policy, policies),
}
.endpoints();

#[derive(Input)]
struct PolicyInput {
    /// The policy in HCL or JSON, or either in base64.
    policy: String,
    /// Deprecated name of `policy`.
    rules: String,
}

/// Derived fields for policy conditions: a base64 policy is also checked in its decoded form.
pub(crate) fn derived_policy_fields(fields: &Fields) -> Vec<DerivedField> {
    let Ok(PolicyInput { policy, rules }) = PolicyInput::from_fields(fields) else {
        return Vec::new();
    };
    let plain = [policy, rules].into_iter().filter_map(|text| from_base64(&text));
    plain.filter_map(|text| derived_field("policy", FieldReading::Text, &text, false)).collect()
}

fn policy_names(policy_store: &PolicyStore) -> Vec<String> {
    policy_store.names().iter().map(ToString::to_string).collect()
}

fn captured_policy_name(call: &EndpointCall) -> Result<PolicyName, Error> {
    PolicyName::parse(call.first_capture()).map_err(|error| Error::invalid(error.to_string()))
}

async fn list_policies(
    _: &EndpointCall,
    policy_store: &PolicyStore,
) -> Result<CoreResponse, Error> {
    keys_response(&policy_names(policy_store))
}

async fn list_policies_legacy(
    _: &EndpointCall,
    policy_store: &PolicyStore,
) -> Result<CoreResponse, Error> {
    let mut answer = Fields::new();
    let names = policy_names(policy_store);
    answer.set("keys", &names);
    answer.set("policies", &names);
    Ok(data_response(answer.to_object()))
}

async fn read_policy(
    call: &EndpointCall,
    policy_store: &PolicyStore,
) -> Result<CoreResponse, Error> {
    policy_response(call, policy_store, "policy")
}

async fn read_policy_legacy(
    call: &EndpointCall,
    policy_store: &PolicyStore,
) -> Result<CoreResponse, Error> {
    policy_response(call, policy_store, "rules")
}

fn policy_response(
    call: &EndpointCall,
    policy_store: &PolicyStore,
    field: &str,
) -> Result<CoreResponse, Error> {
    let name = captured_policy_name(call)?;
    let text = match policy_store.get(&name) {
        Some(policy) => policy.text.clone(),
        None if name.is_root() => String::new(),
        None => return Err(not_found()),
    };
    let mut answer = Fields::new();
    answer.set("name", &name);
    answer.set(field, &text);
    Ok(data_response(answer.to_object()))
}

async fn write_policy(
    call: &EndpointCall,
    policy_store: &PolicyStore,
) -> Result<CoreResponse, Error> {
    let PolicyInput { policy, rules } = call.parse_input()?;
    let mut warnings = Vec::new();
    let text = match (policy.is_empty(), rules.is_empty()) {
        (false, _) => policy,
        (true, false) => {
            warnings.push("'rules' is deprecated, please use 'policy' instead".to_owned());
            rules
        }
        (true, true) => {
            return Err(Error::invalid("'policy' parameter not supplied or empty"));
        }
    };
    let name = captured_policy_name(call)?;
    if name.as_str() != call.first_capture() {
        warnings.push(format!("policy name was converted to {name}"));
    }
    policy_store.put(name, &text).await?;
    Ok(empty_or_warnings_response(warnings))
}

async fn delete_policy(
    call: &EndpointCall,
    policy_store: &PolicyStore,
) -> Result<CoreResponse, Error> {
    policy_store.delete(captured_policy_name(call)?).await?;
    Ok(CoreResponse::Nothing)
}
