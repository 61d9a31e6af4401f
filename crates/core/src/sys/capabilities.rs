//! `sys/capabilities-self`: what the caller may do to some paths.

use strongroom_policy::Acl;
use strongroom_sdk::{CommaList, Input};
use strongroom_types::{Fields, Secret};

use crate::endpoint::{Access, Call, Endpoint, Handlers, data, handler};
use crate::error::Error;
use crate::request::Answer;

pub(crate) const ENDPOINTS: &[Endpoint] = &[Endpoint {
    pattern: "capabilities-self",
    help: "What the caller's token may do to the given paths.",
    fields: &[PathsInput::FIELDS],
    handlers: Handlers { write: handler!(of_caller), ..Handlers::NONE },
    access: Access::Policy,
}];

#[derive(Input)]
struct PathsInput {
    /// Paths to ask about.
    paths: CommaList,
    /// The older name of `paths`.
    path: CommaList,
    /// Some clients repeat their token here; it is the caller's that counts.
    #[expect(dead_code, reason = "accepted and not needed")]
    token: Option<Secret<String>>,
}

async fn of_caller(call: &Call) -> Result<Answer, Error> {
    let PathsInput { paths, path, .. } = call.input()?;
    let paths = if paths.0.is_empty() { path.0 } else { paths.0 };
    if paths.is_empty() {
        return Err(Error::invalid("paths must be supplied"));
    }
    let acl = &call.caller()?.acl;
    let mut answer = Fields::new();
    for path in &paths {
        answer.set(path.as_str(), &names(acl, path));
    }
    if let [only] = paths.as_slice() {
        answer.set("capabilities", &names(acl, only));
    }
    Ok(data(answer.to_object()))
}

fn names(acl: &Acl, path: &str) -> Vec<&'static str> {
    if acl.is_root() {
        return vec!["root"];
    }
    let path = path.trim_start_matches('/');
    acl.capabilities(path).names()
}
