//! `sys/internal/ui/mounts`: the mounts the caller can reach. The KV commands of the CLI call this
//! first to learn the version of a mount.

use strongroom_core::error::Error;
use strongroom_core::request::CoreResponse;
use strongroom_mounts::MountRegistry;
use strongroom_types::{Fields, MountKind};

use super::mount_entry::{MountResponse, mount_response};
use crate::endpoint::{
    ApiEndpoint, EndpointAccess, EndpointCall, VerbHandlers, data_response, handler,
};

pub(crate) const ENDPOINTS: &[ApiEndpoint] = &[
    ApiEndpoint {
        pattern: "internal/ui/mounts",
        help: "Lists the mounts that the caller can access, or without a token, the public ones.",
        fields: &[],
        handlers: VerbHandlers {
            read: handler!(list_visible_mounts, mounts),
            ..VerbHandlers::NONE
        },
        access: EndpointAccess::Unauthenticated,
    },
    ApiEndpoint {
        pattern: "internal/ui/mounts/{path..}",
        help: "Returns the mount of a path.",
        fields: &[],
        handlers: VerbHandlers { read: handler!(read_visible_mount, mounts), ..VerbHandlers::NONE },
        access: EndpointAccess::Unauthenticated,
    },
];

async fn list_visible_mounts(
    call: &EndpointCall,
    mounts: &MountRegistry,
) -> Result<CoreResponse, Error> {
    if call.caller.is_none() && !call.token_id().is_empty() {
        return Err(Error::invalid_token());
    }
    let table = mounts.table();
    let of_kind = |kind| {
        let mut mounts = Fields::new();
        for mounted in table.mounts_of_kind(kind) {
            let entry = &mounted.entry;
            match &call.caller {
                Some(caller) if caller.acl.grants_anything_below(&mounted.info.path) => {
                    mounts.set(entry.path.clone(), &mount_response(mounted));
                }
                // Callers whose policies don't reach the mount see only what unauthenticated
                // callers see.
                _ if entry.config.listing_visibility == "unauth" => {
                    mounts.set(entry.path.clone(), &MountResponse::without_details(mounted));
                }
                _ => {}
            }
        }
        mounts
    };
    let mut answer = Fields::new();
    answer.set("auth", &RawFields(of_kind(MountKind::Auth)));
    answer.set("secret", &RawFields(of_kind(MountKind::Secret)));
    Ok(data_response(answer.to_object()))
}

async fn read_visible_mount(
    call: &EndpointCall,
    mounts: &MountRegistry,
) -> Result<CoreResponse, Error> {
    let path = call.first_capture();
    let refused = || {
        let text = format!(
            "preflight capability check returned 403, please ensure client's policies grant access \
             to path {:?}",
            format!("{}/", path.trim_end_matches('/'))
        );
        Error::with_message(strongroom_types::ErrorKind::Denied, text)
    };
    let caller = call.caller.as_ref().ok_or_else(Error::invalid_token)?;
    let table = mounts.table();
    let whole = format!("{}/", path.trim_end_matches('/'));
    let Some((mounted, _)) = table.longest_match(&whole) else { return Err(refused()) };
    if !caller.acl.grants_anything_below(&mounted.info.path) {
        return Err(refused());
    }
    let mut answer = to_fields(&mount_response(mounted))?;
    answer.set("path", &mounted.entry.path);
    Ok(data_response(answer.to_object()))
}

fn to_fields(shown: &MountResponse<'_>) -> Result<Fields, Error> {
    let object = strongroom_types::RawObject::from_serialize(shown);
    Ok(object.map_err(Error::unencodable)?.fields())
}

/// Serializes [`Fields`] as a nested JSON object.
struct RawFields(Fields);

impl serde::Serialize for RawFields {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.0.iter())
    }
}
