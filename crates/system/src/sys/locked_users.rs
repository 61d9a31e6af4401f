//! `sys/locked-users`: users of auth methods that are locked after failed logins.

use serde::Serialize;
use strongroom_core::error::Error;
use strongroom_core::logins::lockout::{LockableUser, UserLockout};
use strongroom_core::request::CoreResponse;
use strongroom_schema::Input;
use strongroom_types::RawObject;

use crate::endpoint::{
    ApiEndpoint, EndpointAccess, EndpointCall, VerbHandlers, data_response, handler,
};

pub(crate) const ENDPOINTS: &[ApiEndpoint] = &[
    ApiEndpoint {
        pattern: "locked-users",
        help: "Returns the users that are locked after too many failed logins.",
        fields: &[LockedUsersInput::FIELDS],
        handlers: VerbHandlers { read: handler!(read_locked_users, lockout), ..VerbHandlers::NONE },
        access: EndpointAccess::Policy,
    },
    ApiEndpoint {
        pattern: "locked-users/{mount_accessor}/unlock/{alias_identifier..}",
        help: "Unlocks a user, and forgets its failed logins.",
        fields: &[UnlockInput::FIELDS],
        handlers: VerbHandlers { write: handler!(unlock_user, lockout), ..VerbHandlers::NONE },
        access: EndpointAccess::Policy,
    },
];

#[derive(Input)]
struct LockedUsersInput {
    /// Return only users of the auth method with this mount accessor.
    mount_accessor: String,
}

async fn read_locked_users(
    call: &EndpointCall,
    lockout: &UserLockout,
) -> Result<CoreResponse, Error> {
    #[derive(Serialize)]
    struct LockedUsersResponse {
        by_namespace: [NamespaceUsers; 1],
        total: usize,
    }
    #[derive(Serialize)]
    struct NamespaceUsers {
        namespace_id: &'static str,
        namespace_path: &'static str,
        counts: usize,
        mount_accessors: Vec<MountUsers>,
    }
    #[derive(Serialize)]
    struct MountUsers {
        mount_accessor: String,
        counts: usize,
        alias_identifiers: Vec<String>,
    }
    let LockedUsersInput { mount_accessor: wanted } = call.parse_input()?;
    let mut mounts: Vec<MountUsers> = Vec::new();
    let mut total = 0;
    for user in lockout.locked_users() {
        let (mount_accessor, alias) =
            (user.mount_accessor().to_owned(), user.shown_alias().to_owned());
        if !wanted.is_empty() && wanted != mount_accessor {
            continue;
        }
        total += 1;
        match mounts.last_mut().filter(|mount| mount.mount_accessor == mount_accessor) {
            Some(mount) => {
                mount.counts += 1;
                mount.alias_identifiers.push(alias);
            }
            None => {
                let alias_identifiers = vec![alias];
                mounts.push(MountUsers { mount_accessor, counts: 1, alias_identifiers });
            }
        }
    }
    let by_namespace = [NamespaceUsers {
        namespace_id: "root",
        namespace_path: "",
        counts: total,
        mount_accessors: mounts,
    }];
    let response = LockedUsersResponse { by_namespace, total };
    Ok(data_response(RawObject::from_serialize(&response).map_err(Error::unencodable)?))
}

#[derive(Input)]
struct UnlockInput {
    /// The mount accessor of the auth method; taken from the path.
    mount_accessor: String,
    /// The user's name in the auth method; taken from the path.
    alias_identifier: String,
}

/// Succeeds whether the user was locked or not, as in Vault.
async fn unlock_user(call: &EndpointCall, lockout: &UserLockout) -> Result<CoreResponse, Error> {
    let UnlockInput { mount_accessor, alias_identifier } = call.parse_input()?;
    if lockout.unlock(&LockableUser::new(&mount_accessor, &alias_identifier)) {
        tracing::info!("a locked user was unlocked");
    }
    Ok(CoreResponse::Nothing)
}
