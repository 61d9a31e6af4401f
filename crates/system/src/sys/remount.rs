//! `sys/remount`: moving a mount to another path, and the status of such a move.

use serde::Serialize;
use strongroom_core::error::Error;
use strongroom_core::request::CoreResponse;
use strongroom_mounts::MountRegistry;
use strongroom_mounts::RemountProgress;
use strongroom_schema::Input;
use strongroom_types::{Fields, MountKind, MountPath, RawObject};

use crate::endpoint::{
    ApiEndpoint, EndpointAccess, EndpointCall, VerbHandlers, data_response,
    data_response_with_warnings, handler, not_found,
};

pub(crate) const ENDPOINTS: &[ApiEndpoint] = &[
    ApiEndpoint {
        pattern: "remount",
        help: "Moves a mount to another path. Its leases are revoked first.",
        fields: &[RemountInput::FIELDS],
        handlers: VerbHandlers { write: handler!(start_remount, mounts), ..VerbHandlers::NONE },
        access: EndpointAccess::Policy,
    },
    ApiEndpoint {
        pattern: "remount/status/{migration_id}",
        help: "Returns the status of a remount, until the mount is moved again.",
        fields: &[],
        handlers: VerbHandlers {
            read: handler!(read_remount_status, mounts),
            ..VerbHandlers::NONE
        },
        access: EndpointAccess::Policy,
    },
];

#[derive(Input)]
struct RemountInput {
    /// The current path of the mount; `auth/x` for an auth method.
    from: String,
    /// The new path of the mount.
    to: String,
}

const QUEUED_WARNING: &str =
    "the mount is being moved: sys/remount/status/<migration_id> returns the status";

async fn start_remount(call: &EndpointCall, mounts: &MountRegistry) -> Result<CoreResponse, Error> {
    let RemountInput { from, to } = call.parse_input()?;
    if from.is_empty() || to.is_empty() {
        return Err(Error::invalid("both 'from' and 'to' path must be specified as a string"));
    }
    for (name, path) in [("from", &from), ("to", &to)] {
        if path.trim() != path {
            return Err(Error::invalid(format!(
                "'{name}' path cannot contain trailing whitespace"
            )));
        }
    }
    let (kind, from) = parse_secret_or_auth_path(&from)?;
    let (target, to) = match kind {
        MountKind::Auth => parse_secret_or_auth_path(&to)?,
        // Taken as a secrets engine's path, so that `auth/x` is refused.
        MountKind::Secret => (MountKind::Secret, MountPath::parse(&to)?),
    };
    if kind != target {
        let text = format!("cannot remount auth mount to non-auth mount {:?}", to.as_str());
        return Err(Error::invalid(text));
    }
    let id = mounts.begin_remount(kind, from, to).await?;
    let mut answer = Fields::new();
    answer.set("migration_id", &id);
    Ok(data_response_with_warnings(answer.to_object(), vec![QUEUED_WARNING.to_owned()]))
}

fn parse_secret_or_auth_path(path: &str) -> Result<(MountKind, MountPath), Error> {
    let path = MountPath::parse(path)?;
    match path.as_str().strip_prefix("auth/").filter(|below| !below.is_empty()) {
        Some(below) => Ok((MountKind::Auth, MountPath::parse(below)?)),
        None => Ok((MountKind::Secret, path)),
    }
}

#[derive(Serialize)]
struct RemountStatusResponse<'a> {
    migration_id: &'a str,
    migration_info: RemountInfo,
}

#[derive(Serialize)]
struct RemountInfo {
    source_mount: String,
    target_mount: String,
    status: RemountProgress,
}

async fn read_remount_status(
    call: &EndpointCall,
    mounts: &MountRegistry,
) -> Result<CoreResponse, Error> {
    let id = call.first_capture();
    let (kind, moved) = mounts.find_remount(id).ok_or_else(not_found)?;
    let migration_info = RemountInfo {
        source_mount: kind.route_to(&moved.from),
        target_mount: kind.route_to(&moved.to),
        status: moved.status,
    };
    let shown = RemountStatusResponse { migration_id: id, migration_info };
    Ok(data_response(RawObject::from_serialize(&shown).map_err(Error::unencodable)?))
}
