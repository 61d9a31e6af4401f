//! `sys/capabilities-self`, `sys/capabilities` and `sys/capabilities-accessor`: what a token may do
//! to some paths.

use strongroom_policy::{Acl, Capabilities};
use strongroom_sdk::{CommaList, Input};
use strongroom_token::Found;
use strongroom_types::{Accessor, ErrorKind, Fields, RequestPath, Secret};

use crate::endpoint::{Access, Call, Endpoint, Handlers, data, handler};
use crate::error::Error;
use crate::pipeline::route;
use crate::request::Answer;

pub(crate) const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        pattern: "capabilities-self",
        help: "What the caller's token may do to the given paths.",
        fields: &[SelfInput::FIELDS],
        handlers: Handlers { write: handler!(of_caller), ..Handlers::NONE },
        access: Access::Policy,
    },
    Endpoint {
        pattern: "capabilities",
        help: "What a token may do to the given paths.",
        fields: &[TokenInput::FIELDS],
        handlers: Handlers { write: handler!(of_token), ..Handlers::NONE },
        access: Access::Policy,
    },
    Endpoint {
        pattern: "capabilities-accessor",
        help: "What the token of an accessor may do to the given paths.",
        fields: &[AccessorInput::FIELDS],
        handlers: Handlers { write: handler!(of_accessor), ..Handlers::NONE },
        access: Access::Policy,
    },
];

#[derive(Input)]
struct SelfInput {
    /// Paths to ask about.
    paths: CommaList,
    /// The older name of `paths`.
    path: CommaList,
    /// Some clients repeat their token here; it is the caller's that counts.
    #[expect(dead_code, reason = "accepted and not needed")]
    token: Option<Secret<String>>,
}

#[derive(Input)]
struct TokenInput {
    /// Paths to ask about.
    paths: CommaList,
    /// The older name of `paths`.
    path: CommaList,
    /// The token.
    token: Option<Secret<String>>,
}

#[derive(Input)]
struct AccessorInput {
    /// Paths to ask about.
    paths: CommaList,
    /// The older name of `paths`.
    path: CommaList,
    /// The accessor of the token.
    accessor: String,
}

async fn of_caller(call: &Call) -> Result<Answer, Error> {
    let SelfInput { paths, path, .. } = call.input_with_token()?;
    answer(call, &call.caller()?.acl, paths, path)
}

async fn of_token(call: &Call) -> Result<Answer, Error> {
    let TokenInput { paths, path, token } = call.input_with_token()?;
    let tokens = &call.open.stores.tokens;
    let found = match &token {
        Some(token) => tokens.look_up(token.expose_secret(), call.open.clock().now()).await?,
        None => None,
    };
    let acl = acl_of(call, found, "invalid token")?;
    answer(call, &acl, paths, path)
}

async fn of_accessor(call: &Call) -> Result<Answer, Error> {
    let AccessorInput { paths, path, accessor } = call.input_with_token()?;
    if accessor.is_empty() {
        return Err(Error::invalid("missing accessor"));
    }
    let now = call.open.clock().now();
    let found = match Accessor::parse(&accessor) {
        Ok(accessor) => call.open.stores.tokens.by_accessor(&accessor, now).await?,
        Err(_) => None,
    };
    let acl = acl_of(call, found, "invalid accessor")?;
    answer(call, &acl, paths, path)
}

fn acl_of(call: &Call, found: Option<Found>, unknown: &str) -> Result<Acl, Error> {
    let found = found.ok_or_else(|| Error::listed(ErrorKind::Invalid, unknown))?;
    Ok(call.open.stores.policies.acl(&found.token.policies))
}

fn answer(call: &Call, acl: &Acl, paths: CommaList, path: CommaList) -> Result<Answer, Error> {
    let paths = if paths.0.is_empty() { path.0 } else { paths.0 };
    if paths.is_empty() {
        return Err(Error::invalid("paths must be supplied"));
    }
    let mut answer = Fields::new();
    for path in &paths {
        answer.set(path.as_str(), &names(call, acl, path));
    }
    if let [only] = paths.as_slice() {
        answer.set("capabilities", &names(call, acl, only));
    }
    Ok(data(answer.to_object()))
}

/// What a request to the path would get. None gets through to one that is refused unseen.
fn names(call: &Call, acl: &Acl, path: &str) -> Vec<&'static str> {
    if acl.is_root() {
        return vec!["root"];
    }
    let path = path.trim_start_matches('/');
    if RequestPath::parse(path).is_err() {
        return Capabilities::NONE.names();
    }
    let judged = route::judged_path(&call.open, path);
    judged.capabilities(acl, path, Acl::folder_capabilities).names()
}
