//! Calls the endpoint that handles a request.

use std::sync::Arc;

use strongroom_core::error::Error;
use strongroom_core::refusal_log::RefusalKind;
use strongroom_core::request::{CoreResponse, Verb};
use strongroom_core::stages::AuthorizedRequest;
use strongroom_core::unsealed::UnsealedCore;
use strongroom_schema::pattern::{PathCaptures, RoutePattern};
use strongroom_types::{ErrorKind, Fields};

use crate::endpoint::{ANY_FIELD, ApiEndpoint, EndpointCall, EndpointHandler};
use crate::endpoint_docs::help_response;

/// Handles a request by the endpoint that matches its path and verb, or with the endpoints'
/// documentation if it asks for help. `tag` is the group's tag in the OpenAPI document.
pub(crate) async fn call_endpoint(
    endpoints: &[&'static [ApiEndpoint]],
    tag: &str,
    core: &Arc<UnsealedCore>,
    authorized: &mut AuthorizedRequest,
) -> Result<CoreResponse, Error> {
    let AuthorizedRequest { routed, caller, .. } = authorized;
    let request = &mut routed.request;
    if request.verb == Verb::Help {
        return help_response(endpoints, tag, &routed.relative_path);
    }
    let (endpoint, handler, captures) =
        find_endpoint(endpoints, request.verb, &routed.relative_path)?;
    let mut fields = std::mem::take(&mut request.fields);
    let warnings = move_captures_to_fields(endpoint, &captures, &mut fields);
    let call = EndpointCall {
        clock: core.clock().clone(),
        id: request.span.id().clone(),
        fields,
        captures,
        token: request.token.take(),
        wrap_ttl: request.wrap_ttl,
        caller: caller.take(),
        connection: request.connection.clone(),
        headers: std::mem::take(&mut routed.headers),
    };
    let response = handler(&call, core).await;
    if let Err(error) = &response
        && error.kind() == ErrorKind::Denied
    {
        // The endpoint itself refused, for example access to another token or lease than the
        // caller's.
        let origin = call.request_origin(request.path.as_str());
        core.refusal_log.log_refusal(RefusalKind::PermissionDenied, &origin, "");
    }
    let mut response = response?;
    if let CoreResponse::Envelope(envelope) = &mut response {
        envelope.warnings.extend(warnings);
    }
    Ok(response)
}

/// Finds the endpoint for a path and verb. If an endpoint matches but lacks the verb, later ones
/// are tried. A path that no endpoint matches is 404. A path that matches only endpoints without
/// the verb is 405, or 404 for LIST: a list path ends with a slash and so is a different path.
fn find_endpoint(
    endpoints: &[&'static [ApiEndpoint]],
    verb: Verb,
    path: &str,
) -> Result<(&'static ApiEndpoint, EndpointHandler, PathCaptures), Error> {
    let path = if verb == Verb::List { path.trim_end_matches('/') } else { path };
    let mut known = false;
    for endpoint in endpoints.iter().flat_map(|group| group.iter()) {
        let Some(captures) = RoutePattern::new(endpoint.pattern).match_path(path) else { continue };
        known = true;
        if let Some(handler) = endpoint.handlers.for_verb(verb) {
            return Ok((endpoint, handler, captures));
        }
    }
    let known = known && verb != Verb::List;
    Err(if known { Error::unsupported_operation() } else { Error::unsupported_path() })
}

/// Copies path captures into the fields, overriding body fields of the same name. Returns the
/// warnings about unrecognized and overridden body fields that Vault clients know.
fn move_captures_to_fields(
    endpoint: &ApiEndpoint,
    captures: &PathCaptures,
    fields: &mut Fields,
) -> Vec<String> {
    let declared = || endpoint.fields.iter().flat_map(|fields| fields.iter());
    if declared().any(|spec| spec.name == ANY_FIELD) {
        // The endpoint takes arbitrary fields and has no captures, so there is nothing to warn
        // about.
        return Vec::new();
    }
    let declared = declared().map(|spec| spec.name);
    strongroom_schema::field::apply_captures(declared, captures, fields).into_iter().collect()
}
