//! The paths that issue, list, look up and destroy secret ids.

mod issue;
mod lookup;

use std::sync::Arc;

use strongroom_sdk::*;

use crate::role::Role;

const ISSUE: &str = "role/{role_name}/secret-id";
const ISSUE_CUSTOM: &str = "role/{role_name}/custom-secret-id";
const LOOK_UP: &str = "role/{role_name}/secret-id/lookup";
const DESTROY: &str = "role/{role_name}/secret-id/destroy";
const LOOK_UP_ACCESSOR: &str = "role/{role_name}/secret-id-accessor/lookup";
const DESTROY_ACCESSOR: &str = "role/{role_name}/secret-id-accessor/destroy";

/// Declares the paths.
pub(crate) fn declare(method: Blueprint) -> Blueprint {
    method
        .write(ISSUE, "Issues a secret id of the role, or lists the accessors.", issue::issue)
        .folds_case()
        .list_at(ISSUE, "", issue::list_accessors)
        .write(ISSUE_CUSTOM, "Stores a secret id that was chosen elsewhere.", issue::issue_custom)
        .folds_case()
        .write(LOOK_UP, "Shows the properties of a secret id.", lookup::look_up)
        .folds_case()
        .write(DESTROY, "Destroys a secret id.", lookup::destroy)
        .folds_case()
        .delete(DESTROY, "", lookup::destroy)
        .write(
            LOOK_UP_ACCESSOR,
            "Shows the properties of the secret id with an accessor.",
            lookup::look_up_accessor,
        )
        .folds_case()
        .write(
            DESTROY_ACCESSOR,
            "Destroys the secret id with an accessor.",
            lookup::destroy_by_accessor,
        )
        .folds_case()
        .delete(DESTROY_ACCESSOR, "", lookup::destroy_by_accessor)
}

/// Loads the role that a path names.
///
/// # Errors
///
/// 404 with a message if there is none; a storage error if it can't be read.
async fn load_role(context: &Context, name: &str) -> Result<Arc<Role>, Error> {
    let role = context.documents().get::<Role>(&[name]).await?;
    role.ok_or_else(|| Error::not_found(unknown_role(name)))
}

fn unknown_role(name: &str) -> String {
    format!("role {name:?} does not exist")
}

fn missing_secret_id() -> Error {
    Error::user("missing secret_id")
}
