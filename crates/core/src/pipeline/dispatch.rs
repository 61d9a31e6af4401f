//! To the engine, or to the core's own endpoint.

use std::sync::Arc;

use strongroom_sdk::engine::{self, Operation};
use strongroom_telemetry::Stopwatch;
use strongroom_types::{ErrorKind, Fields, Namespace};

use super::authenticate::AuthenticatedCaller;
use super::authorize::AuthorizedRequest;
use super::respond::build_response;
use super::route::RoutedRequest;
use crate::endpoint::{ApiEndpoint, EndpointCall, find_endpoint};
use crate::error::Error;
use crate::mounts::handle::MountInstance;
use crate::mounts::{ActiveMount, MountBackend};
use crate::refusal_log::RefusalKind;
use crate::request::{CoreResponse, Verb};
use crate::unsealed::UnsealedCore;
use crate::{auth_token, cubbyhole, sys};

pub(crate) async fn dispatch(
    open: &Arc<UnsealedCore>,
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
        MountBackend::System => dispatch_to_endpoint(open, sys::ENDPOINTS, allowed).await?,
        MountBackend::Token => dispatch_to_endpoint(open, auth_token::ENDPOINTS, allowed).await?,
        MountBackend::Cubbyhole => Box::pin(cubbyhole::handle(open, &allowed)).await?,
        MountBackend::Engine(_) => dispatch_to_engine(open, &mounted, allowed).await?,
    };
    Ok(match answer {
        // It tells nothing but how to unwrap another.
        CoreResponse::Envelope(envelope) if envelope.wrap_info.is_some() => {
            CoreResponse::Envelope(envelope)
        }
        CoreResponse::Envelope(mut envelope) => {
            envelope.request_id = id.to_string();
            // An unwrapped answer has that of the mount which gave it.
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
    open: &Arc<UnsealedCore>,
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
    let request = engine_request(open, &routed, caller.as_ref(), operation, &visit);
    // The engine's alone, which may change them then without a copy.
    routed.request.fields = Fields::new();
    let watch = Stopwatch::start();
    let response = visit.engine.handle(request).await;
    mounted.operation_histogram(operation).record(watch.elapsed_ms());
    // Still inside the engine: a reload waits until the lease is on disk as well.
    build_response(open, &visit, &routed, caller.as_ref(), operation, response?).await
}

/// The request as the engine sees it.
pub(crate) fn engine_request(
    open: &UnsealedCore,
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
        deadline: open.clock().now().plus(open.settings.request_timeout),
    }
}

/// The same for one token and mount, different for every mount, and no way back to the token.
fn token_hash(accessor: &str, caller: &AuthenticatedCaller) -> String {
    let key = strongroom_crypto::MacKey::new(caller.stored_token.key.as_str().as_bytes());
    data_encoding::HEXLOWER.encode(&key.sign(accessor.as_bytes()))
}

async fn dispatch_to_endpoint(
    open: &Arc<UnsealedCore>,
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
    let (open, headers) = (open.clone(), routed.headers);
    let call = EndpointCall {
        core: open,
        id,
        fields,
        captures,
        token,
        wrap_ttl,
        caller,
        address,
        headers,
    };
    let answer = handler(&call).await;
    if let Err(error) = &answer
        && error.kind() == ErrorKind::Denied
    {
        // An endpoint's own decision: of another token or lease than the caller's.
        let origin = call.request_origin(request.path.as_str());
        call.core.refusal_log.log_refusal(RefusalKind::PermissionDenied, &origin, "");
    }
    let mut answer = answer?;
    if let CoreResponse::Envelope(envelope) = &mut answer {
        envelope.warnings.extend(warnings);
    }
    Ok(answer)
}
