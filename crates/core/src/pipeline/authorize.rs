//! Checks the caller's policies. A write requires `create` or `update`; the engine's existence
//! check decides which, and is made only if the policies grant at least one of them.

use strongroom_engine::Operation;
use strongroom_mounts::handle::InFlight;
use strongroom_policy::{Acl, AclRequest, Capability, FieldReadings, PathCase};

use crate::error::Error;
use crate::refusal_log::RefusalKind;
use crate::request::Verb;
use crate::stages::{AdmittedRequest, AuthenticatedCaller, AuthorizedRequest, RoutedRequest};
use crate::unsealed::UnsealedCore;
use crate::unsealed::backend::WriteOperation;

pub(crate) async fn authorize(
    core: &UnsealedCore,
    routed: Box<RoutedRequest>,
    caller: Option<AuthenticatedCaller>,
) -> Result<AuthorizedRequest, Error> {
    let operation = match routed.request.verb {
        Verb::Read => Operation::Read,
        Verb::List => Operation::List,
        Verb::Delete => Operation::Delete,
        Verb::Patch => Operation::Patch,
        Verb::Help => Operation::Help,
        Verb::Write => return authorize_write(core, routed, caller).await,
    };
    if !routed.is_unauthenticated() {
        let caller = caller.as_ref().ok_or_else(Error::invalid_token)?;
        let needed = match operation {
            // Help requires any capability on the path; otherwise it would reveal which paths are
            // mounted.
            Operation::Help => return authorize_help(core, routed, caller.clone()),
            Operation::Read => Capability::Read,
            Operation::List => Capability::List,
            Operation::Delete => Capability::Delete,
            _ => Capability::Patch,
        };
        require_capability(core, &routed, caller, needed)?;
    }
    Ok(AuthorizedRequest { routed, caller, operation, in_flight: None })
}

fn authorize_help(
    core: &UnsealedCore,
    routed: Box<RoutedRequest>,
    caller: AuthenticatedCaller,
) -> Result<AuthorizedRequest, Error> {
    let path = routed.request.path.as_str();
    let granted = routed.access.policy_path.capabilities(&caller.acl, path, Acl::capabilities);
    if !caller.acl.is_root() && granted.is_empty() {
        return Err(log_permission_denied(core, &routed, &caller));
    }
    let (caller, operation) = (Some(caller), Operation::Help);
    Ok(AuthorizedRequest { routed, caller, operation, in_flight: None })
}

async fn authorize_write(
    core: &UnsealedCore,
    routed: Box<RoutedRequest>,
    caller: Option<AuthenticatedCaller>,
) -> Result<AuthorizedRequest, Error> {
    if !routed.is_unauthenticated() {
        let caller = caller.as_ref().ok_or_else(Error::invalid_token)?;
        if !has_capability(core, &routed, caller, Capability::Create) {
            require_capability(core, &routed, caller, Capability::Update)?;
        }
    }
    let backend = routed.mounted.as_ref().and_then(|it| core.backends.backend_of(it));
    let WriteOperation { operation, in_flight } = match backend {
        Some(backend) => backend.write_operation(core, &routed, caller.as_ref()).await?,
        None => WriteOperation::UPDATE,
    };
    authorize_write_as(core, routed, caller, operation, in_flight)
}

fn authorize_write_as(
    core: &UnsealedCore,
    routed: Box<RoutedRequest>,
    caller: Option<AuthenticatedCaller>,
    operation: Operation,
    in_flight: Option<InFlight>,
) -> Result<AuthorizedRequest, Error> {
    if !routed.is_unauthenticated() {
        let caller = caller.as_ref().ok_or_else(Error::invalid_token)?;
        let needed =
            if operation == Operation::Create { Capability::Create } else { Capability::Update };
        require_capability(core, &routed, caller, needed)?;
    }
    Ok(AuthorizedRequest { routed, caller, operation, in_flight })
}

/// Refuses the request, and logs the refusal, if the policies do not grant the capability.
fn require_capability(
    core: &UnsealedCore,
    routed: &RoutedRequest,
    caller: &AuthenticatedCaller,
    needed: Capability,
) -> Result<(), Error> {
    if has_capability(core, routed, caller, needed) {
        Ok(())
    } else {
        Err(log_permission_denied(core, routed, caller))
    }
}

fn log_permission_denied(
    core: &UnsealedCore,
    routed: &RoutedRequest,
    caller: &AuthenticatedCaller,
) -> Error {
    core.refusal_log.log_refusal(
        RefusalKind::PermissionDenied,
        &routed.request.request_origin(Some(caller)),
        "",
    );
    Error::denied()
}

/// Whether the policies allow this request. They are evaluated on the canonical form of the path,
/// on the same fields that the backend receives, and on the lifetime of the wrapping token.
fn has_capability(
    core: &UnsealedCore,
    routed: &RoutedRequest,
    caller: &AuthenticatedCaller,
    needed: Capability,
) -> bool {
    let AdmittedRequest { path, fields, raw_body, wrap_ttl, .. } = &routed.request;
    let acl_request = AclRequest {
        path: path.as_str(),
        case: PathCase::default(),
        capability: needed,
        sudo: routed.access.requires_sudo,
        fields,
        has_raw_body: raw_body.is_some(),
        readings: &|| field_readings(core, routed),
        wrap: *wrap_ttl,
    };
    routed.access.policy_path.permits(&caller.acl, &acl_request)
}

/// How the backend that the request is routed to interprets the request's fields.
fn field_readings(core: &UnsealedCore, routed: &RoutedRequest) -> FieldReadings {
    let readings = routed.mounted.as_ref().and_then(|mounted| {
        let backend = core.backends.backend_of(mounted)?;
        Some(backend.field_readings(mounted, &routed.relative_path))
    });
    readings.unwrap_or_else(FieldReadings::unknown)
}
