//! `sys/internal/ui/resultant-acl`: what the caller's policies come to.

use std::collections::BTreeMap;

use serde::Serialize;
use strongroom_policy::Capabilities;
use strongroom_types::Fields;

use crate::endpoint::{Access, Call, Endpoint, Handlers, data, handler};
use crate::error::Error;
use crate::request::Answer;

pub(crate) const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        pattern: "internal/ui/resultant-acl",
        help: "What the caller's policies come to. Rules with `+` are left out.",
        fields: &[],
        handlers: Handlers { read: handler!(read), ..Handlers::NONE },
        access: Access::Policy,
    },
    Endpoint {
        pattern: "internal/ui/namespaces",
        help: "Namespaces below this one. There are none.",
        fields: &[],
        handlers: Handlers { read: handler!(namespaces), ..Handlers::NONE },
        access: Access::Anyone,
    },
];

#[derive(Serialize)]
struct Granted {
    capabilities: Vec<&'static str>,
}

async fn read(call: &Call) -> Result<Answer, Error> {
    let acl = &call.caller()?.acl;
    let mut answer = Fields::new();
    answer.set("root", &acl.is_root());
    if !acl.is_root() {
        answer.set("exact_paths", &by_path(acl.exact_rules()));
        answer.set("glob_paths", &by_path(acl.prefix_rules()));
    }
    Ok(data(answer.to_object()))
}

fn by_path(rules: BTreeMap<&str, Capabilities>) -> BTreeMap<&str, Granted> {
    rules
        .into_iter()
        .map(|(path, granted)| (path, Granted { capabilities: granted.names() }))
        .collect()
}

async fn namespaces(call: &Call) -> Result<Answer, Error> {
    call.caller()?;
    Ok(data(Fields::new().to_object()))
}
