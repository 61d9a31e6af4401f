//! Passes an authorized request to the mount's engine or to the core's own endpoint.

use std::sync::Arc;

use strongroom_sdk::engine::{self, Operation};
use strongroom_telemetry::Stopwatch;
use strongroom_types::{ErrorKind, Fields, Namespace};

use super::respond::build_response;
use crate::endpoint::{ApiEndpoint, EndpointCall, find_endpoint};
use crate::error::Error;
use crate::mounts::handle::MountInstance;
use crate::mounts::{ActiveMount, MountBackend};
use crate::refusal_log::RefusalKind;
use crate::request::{CoreResponse, Verb};
use crate::stages::{AuthenticatedCaller, AuthorizedRequest, RoutedRequest};
use crate::unsealed::UnsealedCore;
use crate::{auth_token, cubbyhole, sys};

pub(crate) async fn dispatch(
    core: &Arc<UnsealedCore>,
    allowed: AuthorizedRequest,
) -> Result<CoreResponse, Error> {
    let Some(mounted) = allowed.routed.mounted.clone() else {
        let path = allowed.routed.request.path.as_str();
        let text = format!("no handler for route {path:?}. route entry not found.");
        return Err(Error::with_message(ErrorKind::NotFound, text));
    };
    let id = allowed.routed.request.id.clone();
    let injected = sys::mirrors_data_at_top_level(allowed.routed.request.path.as_str());
    let answer = match &mounted.backend {
        MountBackend::System => dispatch_to_endpoint(core, sys::ENDPOINTS, allowed).await?,
        MountBackend::Token => dispatch_to_endpoint(core, auth_token::ENDPOINTS, allowed).await?,
        MountBackend::Cubbyhole => Box::pin(cubbyhole::handle(core, &allowed)).await?,
        MountBackend::Engine(_) => dispatch_to_engine(core, &mounted, allowed).await?,
    };
    Ok(match answer {
        // A wrapped response contains nothing but the wrapping token.
        CoreResponse::Envelope(envelope) if envelope.wrap_info.is_some() => {
            CoreResponse::Envelope(envelope)
        }
        CoreResponse::Envelope(mut envelope) => {
            envelope.request_id = id.to_string();
            // An unwrapped response keeps the type of the mount that produced it.
            if envelope.mount_type.is_empty() {
                envelope.mount_type.clone_from(&mounted.entry.mount_type);
            }
            envelope.mirrors_data_at_top_level = injected;
            CoreResponse::Envelope(envelope)
        }
        other => other,
    })
}

async fn dispatch_to_engine(
    core: &Arc<UnsealedCore>,
    mounted: &Arc<ActiveMount>,
    allowed: AuthorizedRequest,
) -> Result<CoreResponse, Error> {
    let AuthorizedRequest { mut routed, caller, operation, in_flight: visit } = allowed;
    let visit = match (visit, mounted.engine_handle()) {
        (Some(visit), _) => visit,
        (None, Some(engine)) => engine.acquire().await?,
        (None, None) => return Err(Error::unsupported_path()),
    };
    routed.recheck_special_paths(&visit)?;
    let request = engine_request(core, &routed, caller.as_ref(), operation, &visit);
    // Leaves the engine the only owner of the fields, which it can then modify without a copy.
    routed.request.fields = Fields::new();
    let watch = Stopwatch::start();
    let response = visit.engine.handle(request).await;
    mounted.operation_histogram(operation).record(watch.elapsed_ms());
    // The in-flight guard is still held, so a reload also waits until the lease is on disk.
    build_response(core, &visit, &routed, caller.as_ref(), operation, response?).await
}

/// Builds the request that is passed to the engine.
pub(crate) fn engine_request(
    core: &UnsealedCore,
    routed: &RoutedRequest,
    caller: Option<&AuthenticatedCaller>,
    operation: Operation,
    instance: &MountInstance,
) -> engine::EngineRequest {
    let request = &routed.request;
    let info = routed.mounted.as_ref().map(|mounted| mounted.info.clone());
    let mount = info.unwrap_or_else(|| {
        let (path, mount_type, accessor) = (String::new(), String::new(), String::new());
        Arc::new(engine::MountInfo { path, mount_type, accessor })
    });
    let hash = instance.engine.description().wants_token_hash;
    let caller = match caller {
        Some(caller) => engine::CallerInfo {
            accessor: caller.stored_token.token.accessor.to_string(),
            display_name: caller.stored_token.token.display_name.clone(),
            entity_id: String::new(),
            token_hash: hash.then(|| token_hash(&mount.accessor, caller)),
            unauthenticated: routed.unauthenticated,
        },
        None => engine::CallerInfo { unauthenticated: true, ..engine::CallerInfo::default() },
    };
    engine::EngineRequest {
        id: request.id.clone(),
        operation,
        path: routed.relative_path.clone(),
        fields: request.fields.clone(),
        mount,
        caller,
        connection: request.connection,
        headers: routed.headers.clone(),
        wrap_ttl: request.wrap_ttl,
        lease: None,
        auth: None,
        namespace: Namespace::Root,
        deadline: core.clock().now().plus(core.settings.request_timeout),
    }
}

/// A keyed hash of the token that differs between mounts; the token cannot be derived from it.
fn token_hash(accessor: &str, caller: &AuthenticatedCaller) -> String {
    let key = strongroom_crypto::MacKey::new(caller.stored_token.key.as_str().as_bytes());
    data_encoding::HEXLOWER.encode(&key.sign(accessor.as_bytes()))
}

async fn dispatch_to_endpoint(
    core: &Arc<UnsealedCore>,
    endpoints: &[&'static [ApiEndpoint]],
    allowed: AuthorizedRequest,
) -> Result<CoreResponse, Error> {
    let AuthorizedRequest { routed, caller, .. } = allowed;
    let request = routed.request;
    if request.verb == Verb::Help {
        let tag =
            routed.mounted.as_deref().filter(|it| it.is_system()).map_or("auth", |_| "system");
        return sys::help::help_response(endpoints, tag, &routed.relative_path);
    }
    let (endpoint, handler, captures) =
        find_endpoint(endpoints, request.verb, &routed.relative_path)?;
    let mut fields = request.fields;
    let warnings = sys::help::move_captures_to_fields(endpoint, &captures, &mut fields);
    let (id, token, wrap_ttl) = (request.id, request.token, request.wrap_ttl);
    let address = request.connection.map(|connection| connection.address);
    let (core, headers) = (core.clone(), routed.headers);
    let call =
        EndpointCall { core, id, fields, captures, token, wrap_ttl, caller, address, headers };
    let answer = handler(&call).await;
    if let Err(error) = &answer
        && error.kind() == ErrorKind::Denied
    {
        // The endpoint itself refused, for example access to another token or lease than the
        // caller's.
        let origin = call.request_origin(request.path.as_str());
        call.core.refusal_log.log_refusal(RefusalKind::PermissionDenied, &origin, "");
    }
    let mut answer = answer?;
    if let CoreResponse::Envelope(envelope) = &mut answer {
        envelope.warnings.extend(warnings);
    }
    Ok(answer)
}
