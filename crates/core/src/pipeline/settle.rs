//! From an engine's response to an answer. A credential gets its lease first: nothing that must be
//! ended leaves before its end is on disk.

use std::sync::Arc;

use strongroom_sdk::engine::{Data, Operation, Raw, Response};
use strongroom_types::{ErrorKind, Ttl};

use super::authenticate::Caller;
use super::route::Routed;
use crate::error::{Error, shown_warnings};
use crate::headers;
use crate::logins::issue::LoggedIn;
use crate::mounts::MountConfig;
use crate::mounts::handle::Visit;
use crate::request::{Answer, Envelope, Issued};
use crate::unsealed::Unsealed;

pub(crate) async fn settle(
    open: &Arc<Unsealed>,
    visit: &Visit,
    routed: &Routed,
    caller: Option<&Caller>,
    operation: Operation,
    response: Response,
) -> Result<Answer, Error> {
    let Some(mounted) = &routed.mounted else { return Err(Error::unsupported_path()) };
    let config = &mounted.entry.config;
    match response {
        Response::Nothing if operation.is_read() => Err(Error::silent(ErrorKind::NotFound)),
        Response::Nothing => Ok(Answer::Nothing),
        Response::Missing(data) => Ok(missing(config, data)),
        Response::Data(data) if operation == Operation::List => listed(config, data),
        Response::Data(data) if operation == Operation::Help => Ok(Answer::Bare {
            status: 200,
            body: data.object.into_bytes().to_vec(),
            content_type: "application/json",
        }),
        Response::Data(data) => Ok(enveloped(config, data)),
        Response::Leased(leased) => {
            let Some(caller) = caller else {
                let inside = visit.stay();
                Box::pin(open.refuse_lease(mounted, &routed.below, leased, inside)).await?;
                return Err(Error::internal("a credential can't be issued without a token"));
            };
            let path = routed.request.path.as_str();
            let inside = visit.stay();
            let issued = open.register(mounted, path, &caller.found, &leased, inside);
            let issued = Box::pin(issued).await?;
            let mut warnings = shown_warnings(&leased.data.warnings);
            warnings.extend(issued.warnings);
            Ok(Answer::Envelope(Box::new(Envelope {
                lease_id: issued.lease.id.to_string(),
                issued: Some(Issued::Lease(issued.lease.id.clone())),
                renewable: issued.lease.renewable,
                lease_duration: issued.lease.ttl,
                data: Some(leased.data.object),
                warnings,
                ..Envelope::default()
            })))
        }
        Response::Auth(auth) => {
            let login = LoggedIn {
                mounted,
                path: routed.request.path.as_str(),
                below: &routed.below,
                open_to_all: routed.open_to_all,
                address: routed.request.connection.map(|connection| connection.address),
                auth: *auth,
                inside: visit.stay(),
            };
            Box::pin(open.log_in(login)).await
        }
        Response::Raw(raw) => checked(raw),
        _ => Err(Error::internal("the engine answered something this server doesn't know")),
    }
}

fn enveloped(config: &MountConfig, data: Data) -> Answer {
    Answer::Envelope(Box::new(Envelope {
        lease_duration: data.refresh.unwrap_or(Ttl::ZERO),
        data: Some(data.object),
        warnings: shown_warnings(&data.warnings),
        headers: headers::allowed(config, data.headers),
        ..Envelope::default()
    }))
}

/// "Not found", which keeps its envelope: clients read what it says.
fn missing(config: &MountConfig, data: Data) -> Answer {
    match enveloped(config, data) {
        Answer::Envelope(envelope) => {
            Answer::Envelope(Box::new(Envelope { missing: true, ..*envelope }))
        }
        other => other,
    }
}

/// A list without names is "not found", unless it has something else to say.
fn listed(config: &MountConfig, data: Data) -> Result<Answer, Error> {
    let fields = data.object.fields();
    let names = fields.get("keys").map(|raw| raw.get().trim().to_owned());
    let none = matches!(names.as_deref(), None | Some("null" | "[]"));
    let nothing_else = fields.iter().all(|(name, _)| name == "keys");
    if none && nothing_else && data.warnings.is_empty() {
        return Err(Error::silent(ErrorKind::NotFound));
    }
    Ok(enveloped(config, data))
}

/// A raw answer needs a content type unless it has no content.
fn checked(raw: Raw) -> Result<Answer, Error> {
    if !(200..600).contains(&raw.status) {
        return Err(Error::internal("the engine chose an impossible HTTP status"));
    }
    if raw.status != 204 && raw.content_type.is_empty() {
        return Err(Error::internal("the engine gave a raw answer without a content type"));
    }
    Ok(Answer::Raw(raw))
}
