//! Turns a backend's response into the response to the client. A credential gets its lease first:
//! nothing that must be revoked leaves the server before its lease is on disk.

use std::sync::Arc;

use strongroom_engine::{DataResponse, EngineResponse, Operation, RawResponse};
use strongroom_mounts::MountConfig;
use strongroom_mounts::handle::InFlight;
use strongroom_types::{ErrorKind, Ttl};

use crate::error::{Error, sanitise_warnings};
use crate::headers;
use crate::logins::issue::LoginContext;
use crate::request::{CoreResponse, IssuedSecret, ResponseEnvelope};
use crate::stages::AuthorizedRequest;
use crate::unsealed::UnsealedCore;
use crate::unsealed::backend::BackendResponse;
use crate::wrapping::WrapRequest;

/// Stores the lease or token of a response, and fills the envelope. Also returns the engine's own request
/// to wrap the response, if it made one.
pub(crate) async fn settle(
    core: &Arc<UnsealedCore>,
    request: &AuthorizedRequest,
    response: BackendResponse,
) -> Result<(CoreResponse, Option<WrapRequest>), Error> {
    let mut wrap_request = None;
    let mut response = match response {
        BackendResponse::Complete(response) => response,
        // The in-flight guard is held meanwhile, so a reload also waits until the lease is on disk.
        BackendResponse::FromEngine { response, in_flight } => {
            wrap_request = WrapRequest::from_engine(core, request, &response);
            settle_engine_response(core, request, &in_flight, response).await?
        }
    };
    // A wrapped response contains nothing but the wrapping token.
    if let CoreResponse::Envelope(envelope) = &mut response
        && envelope.wrap_info.is_none()
    {
        envelope.request_id = request.routed.request.span.id().to_string();
        // An unwrapped response keeps the type of the mount that produced it.
        if let (true, Some(mounted)) = (envelope.mount_type.is_empty(), &request.routed.mounted) {
            envelope.mount_type.clone_from(&mounted.entry.mount_type);
        }
    }
    Ok((response, wrap_request))
}

async fn settle_engine_response(
    core: &Arc<UnsealedCore>,
    request: &AuthorizedRequest,
    in_flight: &InFlight,
    response: EngineResponse,
) -> Result<CoreResponse, Error> {
    let AuthorizedRequest { routed, caller, operation, .. } = request;
    let operation = *operation;
    let Some(mounted) = &routed.mounted else { return Err(Error::unsupported_path()) };
    let config = &mounted.entry.config;
    match response {
        EngineResponse::Nothing if operation.is_read() => {
            Err(Error::without_message(ErrorKind::NotFound))
        }
        EngineResponse::Nothing => Ok(CoreResponse::Nothing),
        EngineResponse::NotFound(data) => Ok(not_found_envelope(config, data)),
        EngineResponse::Data(data) if operation == Operation::List => list_response(config, data),
        EngineResponse::Data(data) if operation == Operation::Help => {
            Ok(CoreResponse::WithoutEnvelope {
                status: 200,
                body: data.object.into_bytes().to_vec(),
                content_type: "application/json",
            })
        }
        EngineResponse::Data(data) => Ok(data_envelope(config, data)),
        EngineResponse::Leased(leased) => {
            let Some(caller) = caller else {
                let guard = in_flight.another();
                Box::pin(core.leases.revoke_unowned(mounted, &routed.relative_path, leased, guard))
                    .await?;
                return Err(Error::internal("a credential can't be issued without a token"));
            };
            let path = routed.request.path.as_str();
            let guard = in_flight.another();
            let issued = core.leases.create(mounted, path, &caller.stored_token, &leased, guard);
            let issued = Box::pin(issued).await?;
            let mut warnings = sanitise_warnings(&leased.data.warnings);
            warnings.extend(issued.warnings);
            Ok(CoreResponse::Envelope(Box::new(ResponseEnvelope {
                lease_id: issued.lease.id.to_string(),
                issued: Some(IssuedSecret::Lease(issued.lease.id.clone())),
                renewable: issued.lease.renewable,
                lease_duration: issued.lease.ttl,
                data: Some(leased.data.object),
                warnings,
                headers: headers::allowed_response_headers(config, leased.data.headers),
                ..ResponseEnvelope::default()
            })))
        }
        EngineResponse::Auth(auth) => {
            // The form that the method itself uses, so that a revocation by prefix finds the tokens
            // of all spellings.
            let canonical = routed.access.policy_path.canonical.as_deref();
            let path = canonical.unwrap_or(routed.request.path.as_str());
            let relative_path = canonical.and_then(|path| path.strip_prefix(&*mounted.info.path));
            let login = LoginContext {
                mounted,
                path,
                relative_path: relative_path.unwrap_or(&routed.relative_path),
                unauthenticated: routed.is_unauthenticated(),
                address: routed.request.remote_address(),
                auth: *auth,
                in_flight: in_flight.another(),
            };
            Box::pin(core.logins.issue_token(login)).await
        }
        EngineResponse::Raw(raw) => checked_raw_response(config, raw),
        EngineResponse::Redirect(target) => {
            // Clients send the redirected request, token included, to the address in the response.
            let token = routed.request.token.as_ref();
            let has_token = token.is_some_and(|token| !token.expose_secret().is_empty());
            if target.is_of_plugin() && has_token {
                return Err(Error::internal(
                    "the plug-in redirects this request, and the client would send its token to the \
                     other server: send the request without a token, if its path needs none",
                ));
            }
            Ok(CoreResponse::Redirect(target))
        }
    }
}

fn data_envelope(config: &MountConfig, data: DataResponse) -> CoreResponse {
    CoreResponse::Envelope(Box::new(ResponseEnvelope {
        lease_duration: data.refresh.unwrap_or(Ttl::ZERO),
        data: Some(data.object),
        warnings: sanitise_warnings(&data.warnings),
        headers: headers::allowed_response_headers(config, data.headers),
        ..ResponseEnvelope::default()
    }))
}

/// A 404 that keeps its envelope, because clients read its data and warnings.
fn not_found_envelope(config: &MountConfig, data: DataResponse) -> CoreResponse {
    match data_envelope(config, data) {
        CoreResponse::Envelope(envelope) => {
            CoreResponse::Envelope(Box::new(ResponseEnvelope { not_found: true, ..*envelope }))
        }
        other => other,
    }
}

/// A list response; 404 if it has no names, no other fields and no warnings.
fn list_response(config: &MountConfig, data: DataResponse) -> Result<CoreResponse, Error> {
    let fields = data.object.fields();
    let names = fields.get("keys").map(|raw| raw.get().trim().to_owned());
    let none = matches!(names.as_deref(), None | Some("null" | "[]"));
    let nothing_else = fields.iter().all(|(name, _)| name == "keys");
    if none && nothing_else && data.warnings.is_empty() {
        return Err(Error::without_message(ErrorKind::NotFound));
    }
    Ok(data_envelope(config, data))
}

/// Checks an engine's raw response: the status must be 200 to 599, and the content type may be
/// empty only for 204. Headers that neither every raw response may have nor the mount allows are
/// removed.
fn checked_raw_response(config: &MountConfig, raw: RawResponse) -> Result<CoreResponse, Error> {
    if !(200..600).contains(&raw.status) {
        return Err(Error::internal("the engine chose an impossible HTTP status"));
    }
    if raw.status != 204 && raw.content_type.is_empty() {
        return Err(Error::internal("the engine gave a raw response without a content type"));
    }
    let headers = headers::allowed_raw_headers(config, raw.headers);
    Ok(CoreResponse::Raw(RawResponse { headers, ..raw }))
}
