//! To the engine, or to the core's own endpoint.

use std::sync::Arc;

use strongroom_sdk::engine::{self, Operation};
use strongroom_telemetry::Stopwatch;
use strongroom_types::{ErrorKind, Fields, Namespace};

use super::authenticate::Caller;
use super::authorize::Allowed;
use super::route::Routed;
use super::settle::settle;
use crate::endpoint::{Call, Endpoint, find};
use crate::error::Error;
use crate::mounts::handle::Instance;
use crate::mounts::{Backend, Mounted};
use crate::refusals::Refusal;
use crate::request::{Answer, Verb};
use crate::unsealed::Unsealed;
use crate::{auth_token, cubbyhole, sys};

pub(crate) async fn dispatch(open: &Arc<Unsealed>, allowed: Allowed) -> Result<Answer, Error> {
    let Some(mounted) = allowed.routed.mounted.clone() else {
        let path = allowed.routed.request.path.as_str();
        let text = format!("no handler for route {path:?}. route entry not found.");
        return Err(Error::plain(ErrorKind::NotFound, text));
    };
    let id = allowed.routed.request.id.clone();
    let injected = sys::is_injected(allowed.routed.request.path.as_str());
    let answer = match &mounted.backend {
        Backend::System => to_endpoint(open, sys::ENDPOINTS, allowed).await?,
        Backend::Token => to_endpoint(open, auth_token::ENDPOINTS, allowed).await?,
        Backend::Cubbyhole => Box::pin(cubbyhole::handle(open, &allowed)).await?,
        Backend::Engine(_) => to_engine(open, &mounted, allowed).await?,
    };
    Ok(match answer {
        // It tells nothing but how to unwrap another.
        Answer::Envelope(envelope) if envelope.wrap_info.is_some() => Answer::Envelope(envelope),
        Answer::Envelope(mut envelope) => {
            envelope.request_id = id.to_string();
            // An unwrapped answer has that of the mount which gave it.
            if envelope.mount_type.is_empty() {
                envelope.mount_type.clone_from(&mounted.entry.mount_type);
            }
            envelope.injected = injected;
            Answer::Envelope(envelope)
        }
        other => other,
    })
}

async fn to_engine(
    open: &Arc<Unsealed>,
    mounted: &Arc<Mounted>,
    allowed: Allowed,
) -> Result<Answer, Error> {
    let Allowed { mut routed, caller, operation, visit } = allowed;
    let visit = match (visit, mounted.engine()) {
        (Some(visit), _) => visit,
        (None, Some(engine)) => engine.enter().await?,
        (None, None) => return Err(Error::unsupported_path()),
    };
    routed.confirm(&visit)?;
    let request = engine_request(open, &routed, caller.as_ref(), operation, &visit);
    // The engine's alone, which may change them then without a copy.
    routed.request.fields = Fields::new();
    let watch = Stopwatch::start();
    let response = visit.engine.handle(request).await;
    mounted.time(operation).record(watch.elapsed_ms());
    // Still inside the engine: a reload waits until the lease is on disk as well.
    settle(open, &visit, &routed, caller.as_ref(), operation, response?).await
}

/// The request as the engine sees it.
pub(crate) fn engine_request(
    open: &Unsealed,
    routed: &Routed,
    caller: Option<&Caller>,
    operation: Operation,
    instance: &Instance,
) -> engine::Request {
    let request = &routed.request;
    let info = routed.mounted.as_ref().map(|mounted| mounted.info.clone());
    let mount = info.unwrap_or_else(|| {
        let (path, mount_type, accessor) = (String::new(), String::new(), String::new());
        Arc::new(engine::MountInfo { path, mount_type, accessor })
    });
    let hash = instance.engine.description().wants_token_hash;
    let caller = match caller {
        Some(caller) => engine::Caller {
            accessor: caller.found.token.accessor.to_string(),
            display_name: caller.found.token.display_name.clone(),
            entity_id: String::new(),
            token_hash: hash.then(|| token_hash(&mount.accessor, caller)),
            unauthenticated: routed.open_to_all,
        },
        None => engine::Caller { unauthenticated: true, ..engine::Caller::default() },
    };
    engine::Request {
        id: request.id.clone(),
        operation,
        path: routed.below.clone(),
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
fn token_hash(accessor: &str, caller: &Caller) -> String {
    let key = strongroom_crypto::MacKey::new(caller.found.key.as_str().as_bytes());
    data_encoding::HEXLOWER.encode(&key.sign(accessor.as_bytes()))
}

async fn to_endpoint(
    open: &Arc<Unsealed>,
    endpoints: &[&'static [Endpoint]],
    allowed: Allowed,
) -> Result<Answer, Error> {
    let Allowed { routed, caller, .. } = allowed;
    let request = routed.request;
    if request.verb == Verb::Help {
        let tag =
            routed.mounted.as_deref().filter(|it| it.is_system()).map_or("auth", |_| "system");
        return sys::help::of(endpoints, tag, &routed.below);
    }
    let (endpoint, handler, captures) = find(endpoints, request.verb, &routed.below)?;
    let mut fields = request.fields;
    let warnings = sys::help::take_captures(endpoint, &captures, &mut fields);
    let (id, token, wrap_ttl) = (request.id, request.token, request.wrap_ttl);
    let address = request.connection.map(|connection| connection.address);
    let (open, headers) = (open.clone(), routed.headers);
    let call = Call { open, id, fields, captures, token, wrap_ttl, caller, address, headers };
    let answer = handler(&call).await;
    if let Err(error) = &answer
        && error.kind() == ErrorKind::Denied
    {
        // An endpoint's own decision: of another token or lease than the caller's.
        let origin = call.origin(request.path.as_str());
        call.open.refusals.note(Refusal::PermissionDenied, &origin, "");
    }
    let mut answer = answer?;
    if let Answer::Envelope(envelope) = &mut answer {
        envelope.warnings.extend(warnings);
    }
    Ok(answer)
}
