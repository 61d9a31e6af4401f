//! `sys/internal/ui/resultant-acl`: the combined rules of the caller's policies, for user
//! interfaces.

use std::collections::BTreeMap;

use serde::Serialize;
use strongroom_core::error::Error;
use strongroom_core::request::CoreResponse;
use strongroom_policy::Capabilities;
use strongroom_types::Fields;

use crate::endpoint::{
    ApiEndpoint, EndpointAccess, EndpointCall, VerbHandlers, data_response, handler,
};

pub(crate) const ENDPOINTS: &[ApiEndpoint] = &[
    ApiEndpoint {
        pattern: "internal/ui/resultant-acl",
        help: "Returns the combined rules of the caller's policies, except those with `+`.",
        fields: &[],
        handlers: VerbHandlers { read: handler!(read_resultant_acl), ..VerbHandlers::NONE },
        access: EndpointAccess::Policy,
    },
    ApiEndpoint {
        pattern: "internal/ui/namespaces",
        help: "Lists the child namespaces. Always empty: namespaces are not supported.",
        fields: &[],
        handlers: VerbHandlers { read: handler!(list_namespaces), ..VerbHandlers::NONE },
        access: EndpointAccess::Unauthenticated,
    },
];

#[derive(Serialize)]
struct PathCapabilities {
    capabilities: Vec<&'static str>,
}

async fn read_resultant_acl(call: &EndpointCall) -> Result<CoreResponse, Error> {
    let acl = &call.require_caller()?.acl;
    let mut answer = Fields::new();
    answer.set("root", &acl.is_root());
    if !acl.is_root() {
        answer.set("exact_paths", &capabilities_by_path(acl.exact_rules()));
        answer.set("glob_paths", &capabilities_by_path(acl.prefix_rules()));
    }
    Ok(data_response(answer.to_object()))
}

fn capabilities_by_path(rules: BTreeMap<&str, Capabilities>) -> BTreeMap<&str, PathCapabilities> {
    rules
        .into_iter()
        .map(|(path, granted)| (path, PathCapabilities { capabilities: granted.names() }))
        .collect()
}

async fn list_namespaces(call: &EndpointCall) -> Result<CoreResponse, Error> {
    call.require_caller()?;
    Ok(data_response(Fields::new().to_object()))
}
