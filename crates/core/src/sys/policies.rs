//! `sys/policies/acl` and its older form `sys/policy`.

use strongroom_policy::{DerivedField, FieldReading, from_base64};
use strongroom_sdk::Input;
use strongroom_types::{Fields, PolicyName};

use super::derived;
use crate::endpoint::{
    Access, Call, Endpoint, Handlers, data, handler, keys, not_found, nothing_or,
};
use crate::error::Error;
use crate::request::Answer;

pub(crate) const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        pattern: "policies/acl",
        help: "The names of all policies.",
        fields: &[],
        handlers: Handlers { list: handler!(list), ..Handlers::NONE },
        access: Access::Policy,
    },
    Endpoint {
        pattern: "policies/acl/{name..}",
        help: "A policy: what its tokens may do.",
        fields: &[PolicyInput::FIELDS],
        handlers: Handlers {
            read: handler!(read),
            write: handler!(write),
            delete: handler!(delete),
            list: None,
        },
        access: Access::Policy,
    },
    Endpoint {
        pattern: "policy",
        help: "The names of all policies, in the older form.",
        fields: &[],
        handlers: Handlers {
            read: handler!(list_legacy),
            list: handler!(list_legacy),
            ..Handlers::NONE
        },
        access: Access::Policy,
    },
    Endpoint {
        pattern: "policy/{name..}",
        help: "A policy, in the older form.",
        fields: &[PolicyInput::FIELDS],
        handlers: Handlers {
            read: handler!(read_legacy),
            write: handler!(write),
            delete: handler!(delete),
            list: None,
        },
        access: Access::Policy,
    },
];

#[derive(Input)]
struct PolicyInput {
    /// The policy in HCL or JSON, or either in base64.
    policy: String,
    /// The older name of `policy`.
    rules: String,
}

/// A policy in base64 is judged in plain text too.
pub(crate) fn fields_of_policy(fields: &Fields) -> Vec<DerivedField> {
    let Ok(PolicyInput { policy, rules }) = PolicyInput::from_fields(fields) else {
        return Vec::new();
    };
    let plain = [policy, rules].into_iter().filter_map(|text| from_base64(&text));
    plain.filter_map(|text| derived("policy", FieldReading::Text, &text, false)).collect()
}

fn names(call: &Call) -> Vec<String> {
    call.open.stores.policies.names().iter().map(ToString::to_string).collect()
}

fn name(call: &Call) -> Result<PolicyName, Error> {
    PolicyName::parse(call.captured()).map_err(|error| Error::invalid(error.to_string()))
}

async fn list(call: &Call) -> Result<Answer, Error> {
    keys(&names(call))
}

async fn list_legacy(call: &Call) -> Result<Answer, Error> {
    let mut answer = Fields::new();
    let names = names(call);
    answer.set("keys", &names);
    answer.set("policies", &names);
    Ok(data(answer.to_object()))
}

async fn read(call: &Call) -> Result<Answer, Error> {
    show(call, "policy")
}

async fn read_legacy(call: &Call) -> Result<Answer, Error> {
    show(call, "rules")
}

fn show(call: &Call, field: &str) -> Result<Answer, Error> {
    let name = name(call)?;
    let text = match call.open.stores.policies.get(&name) {
        Some(policy) => policy.text.clone(),
        None if name.is_root() => String::new(),
        None => return Err(not_found()),
    };
    let mut answer = Fields::new();
    answer.set("name", &name);
    answer.set(field, &text);
    Ok(data(answer.to_object()))
}

async fn write(call: &Call) -> Result<Answer, Error> {
    let PolicyInput { policy, rules } = call.input()?;
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
    let name = name(call)?;
    if name.as_str() != call.captured() {
        warnings.push(format!("policy name was converted to {name}"));
    }
    call.open.stores.policies.put(name, &text).await?;
    Ok(nothing_or(warnings))
}

async fn delete(call: &Call) -> Result<Answer, Error> {
    call.open.stores.policies.delete(name(call)?).await?;
    Ok(Answer::Nothing)
}
