//! From an engine's response to an answer. A credential gets its lease first: nothing that must be
//! ended leaves before its end is on disk.

use std::sync::Arc;

use strongroom_sdk::engine::{Data, Operation, Raw, Response};
use strongroom_types::{ErrorKind, Ttl};

use super::authenticate::Caller;
use super::route::Routed;
use crate::error::Error;
use crate::mounts::Mounted;
use crate::request::{Answer, Envelope, Issued};
use crate::unsealed::Unsealed;

pub(crate) async fn settle(
    open: &Arc<Unsealed>,
    mounted: &Arc<Mounted>,
    routed: &Routed,
    caller: Option<&Caller>,
    operation: Operation,
    response: Response,
) -> Result<Answer, Error> {
    match response {
        Response::Nothing if operation.is_read() => Err(Error::silent(ErrorKind::NotFound)),
        Response::Nothing => Ok(Answer::Nothing),
        Response::Data(data) if operation == Operation::List => listed(data),
        Response::Data(data) if operation == Operation::Help => Ok(Answer::Bare {
            status: 200,
            body: data.object.into_bytes().to_vec(),
            content_type: "application/json",
        }),
        Response::Data(data) => Ok(enveloped(data)),
        Response::Leased(leased) => {
            let Some(caller) = caller else {
                return Err(Error::internal("a credential can't be issued without a token"));
            };
            let path = routed.request.path.as_str();
            let issued = open.register(mounted, path, &caller.found, &leased).await?;
            let mut warnings = leased.data.warnings;
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
        Response::Raw(raw) => checked(raw),
        _ => Err(Error::internal("the engine answered something this server doesn't know")),
    }
}

fn enveloped(data: Data) -> Answer {
    Answer::Envelope(Box::new(Envelope {
        lease_duration: data.refresh.unwrap_or(Ttl::ZERO),
        data: Some(data.object),
        warnings: data.warnings,
        headers: data.headers,
        ..Envelope::default()
    }))
}

/// A list without names is "not found", unless it has something else to say.
fn listed(data: Data) -> Result<Answer, Error> {
    let fields = data.object.fields();
    let names = fields.get("keys").map(|raw| raw.get().trim().to_owned());
    let none = matches!(names.as_deref(), None | Some("null" | "[]"));
    let nothing_else = fields.iter().all(|(name, _)| name == "keys");
    if none && nothing_else && data.warnings.is_empty() {
        return Err(Error::silent(ErrorKind::NotFound));
    }
    Ok(enveloped(data))
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
