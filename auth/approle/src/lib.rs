//! The auth method `approle`: machines log in with the id of a role and a secret id that the server
//! issued for the role.
//!
//! Guide and API reference: `docs/src/auth/approle.md`. The modules, in reading order:
//!
//! - [`network_list`]: how networks are shown
//! - [`role`]: the stored document of a role, and what is written and deleted with it: the index by
//!   which it is found by its role id, and the note of secret ids to be removed
//! - [`role_fields`]: the paths of single fields of a role
//! - [`secret_id_entry`], [`secret_id_keys`]: what is stored of a secret id, and where
//! - [`secret_id_store`]: issuing, finding, using up and destroying secret ids
//! - [`secret_id_paths`]: the paths for that
//! - [`role_login`]: the login
//! - [`tidy`]: the removal of expired secret ids and of those whose role was deleted

mod network_list;
mod role;
mod role_fields;
mod role_login;
mod secret_id_entry;
mod secret_id_keys;
mod secret_id_paths;
mod secret_id_store;
mod tidy;

use strongroom_sdk::*;

use crate::role::Role;
use crate::role_login::RoleLogin;
use crate::secret_id_keys::LOCAL_BUCKETS;

/// The blueprint of the auth method, which a server or a plug-in process is started with.
pub fn blueprint() -> Blueprint {
    let method = Blueprint::auth_method("approle", env!("CARGO_PKG_VERSION"))
        .help("Logs machines in with the id of a role and a secret id.")
        .document::<Role>()
        .folds_case()
        .login(RoleLogin);
    let method = role_fields::declare(method);
    let method = secret_id_paths::declare(method);
    let method = tidy::declare(method);
    LOCAL_BUCKETS.iter().fold(method, |method, bucket| method.local_records(bucket))
}
