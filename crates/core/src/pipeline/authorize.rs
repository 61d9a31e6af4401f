//! Policies. A write needs `create` or `update`, and which of the two the engine says; it is asked
//! only if the rules grant one of them.

use strongroom_policy::{Acl, Asked, Capability, PathCase};
use strongroom_sdk::engine::{EngineError, Existence, Operation, StatusKind};

use super::admit::Admitted;
use super::authenticate::Caller;
use super::dispatch::engine_request;
use super::route::Routed;
use crate::cubbyhole;
use crate::error::Error;
use crate::field_readings;
use crate::mounts::Backend;
use crate::mounts::handle::Visit;
use crate::refusals::Refusal;
use crate::request::Verb;
use crate::unsealed::Unsealed;

/// A request that may be done.
pub(crate) struct Allowed {
    pub(crate) routed: Box<Routed>,
    pub(crate) caller: Option<Caller>,
    pub(crate) operation: Operation,
    /// The engine, entered already if it was asked something. The same one gets the request.
    pub(crate) visit: Option<Visit>,
}

pub(crate) async fn authorize(
    open: &Unsealed,
    routed: Box<Routed>,
    caller: Option<Caller>,
) -> Result<Allowed, Error> {
    let operation = match routed.request.verb {
        Verb::Read => Operation::Read,
        Verb::List => Operation::List,
        Verb::Delete => Operation::Delete,
        Verb::Patch => Operation::Patch,
        Verb::Help => Operation::Help,
        Verb::Write => return authorize_write(open, routed, caller).await,
    };
    if !routed.open_to_all {
        let caller = caller.as_ref().ok_or_else(Error::no_token)?;
        let needed = match operation {
            // Help needs any right at the path, or it would tell what is mounted.
            Operation::Help => return helped(open, routed, caller.clone()),
            Operation::Read => Capability::Read,
            Operation::List => Capability::List,
            Operation::Delete => Capability::Delete,
            _ => Capability::Patch,
        };
        check(open, &routed, caller, needed)?;
    }
    Ok(Allowed { routed, caller, operation, visit: None })
}

fn helped(open: &Unsealed, routed: Box<Routed>, caller: Caller) -> Result<Allowed, Error> {
    let path = routed.request.path.as_str();
    let granted = routed.judged.capabilities(&caller.acl, path, Acl::capabilities);
    if !caller.acl.is_root() && granted.is_empty() {
        return Err(denied(open, &routed, &caller));
    }
    let (caller, operation) = (Some(caller), Operation::Help);
    Ok(Allowed { routed, caller, operation, visit: None })
}

async fn authorize_write(
    open: &Unsealed,
    routed: Box<Routed>,
    caller: Option<Caller>,
) -> Result<Allowed, Error> {
    if !routed.open_to_all {
        let caller = caller.as_ref().ok_or_else(Error::no_token)?;
        if !grants(&routed, caller, Capability::Create) {
            check(open, &routed, caller, Capability::Update)?;
        }
    }
    if let (Some(Backend::Cubbyhole), Some(caller)) = (routed.backend(), &caller) {
        let operation = Box::pin(cubbyhole::operation(open, caller, &routed.below)).await?;
        return finish_write(open, routed, Some(caller.clone()), operation, None);
    }
    let engine = routed.mounted.as_ref().and_then(|mounted| mounted.engine());
    let Some(engine) = engine else {
        return finish_write(open, routed, caller, Operation::Update, None);
    };
    let visit = engine.enter().await?;
    routed.confirm(&visit)?;
    let request = engine_request(open, &routed, caller.as_ref(), Operation::Update, &visit);
    let operation = match visit.engine.exists(&request).await {
        Ok(Existence::Absent) => Operation::Create,
        Ok(Existence::Exists | Existence::NoCheck)
        | Err(EngineError::Status(StatusKind::UnsupportedPath)) => Operation::Update,
        Err(error) => return Err(error.into()),
    };
    finish_write(open, routed, caller, operation, Some(visit))
}

fn finish_write(
    open: &Unsealed,
    routed: Box<Routed>,
    caller: Option<Caller>,
    operation: Operation,
    visit: Option<Visit>,
) -> Result<Allowed, Error> {
    if !routed.open_to_all {
        let caller = caller.as_ref().ok_or_else(Error::no_token)?;
        let needed =
            if operation == Operation::Create { Capability::Create } else { Capability::Update };
        check(open, &routed, caller, needed)?;
    }
    Ok(Allowed { routed, caller, operation, visit })
}

/// Refuses, and logs that, what the policies don't grant.
fn check(
    open: &Unsealed,
    routed: &Routed,
    caller: &Caller,
    needed: Capability,
) -> Result<(), Error> {
    if grants(routed, caller, needed) { Ok(()) } else { Err(denied(open, routed, caller)) }
}

fn denied(open: &Unsealed, routed: &Routed, caller: &Caller) -> Error {
    open.refusals.note(Refusal::PermissionDenied, &routed.request.origin(Some(caller)), "");
    Error::denied()
}

/// Whether the policies permit this request: judged on the form of its path that the backend uses, on
/// the very fields that are handed on, and on the lifetime of its wrapped answer.
fn grants(routed: &Routed, caller: &Caller, needed: Capability) -> bool {
    let Admitted { path, fields, wrap_ttl, .. } = &routed.request;
    let asked = Asked {
        path: path.as_str(),
        case: PathCase::default(),
        capability: needed,
        sudo: routed.root,
        fields,
        readings: &|| field_readings::of_request(routed),
        wrap: *wrap_ttl,
    };
    routed.judged.permits(&caller.acl, &asked)
}
