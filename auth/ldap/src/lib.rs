//! The auth method `ldap`: users log in with the names and passwords of an LDAP directory, whose groups
//! determine the policies of their tokens.
//!
//! Paths: `config` (the directory, and how users and groups are found in it), `groups/:name` (policies
//! of a group), `users/:name` (policies and further groups of a user), `login/:username`, and
//! `config/rotate-root`, which replaces the password of the bind account. Guide and API reference:
//! `docs/src/auth/ldap.md`.
//!
//! - `config`: the configuration
//! - `template`: the filters of the configuration, with their placeholders
//! - `user_name`: the spellings of a name that are one name
//! - `policies`: users and groups with their policies
//! - `directory`: finding a user and the user's groups
//! - `security_id`: ids of groups in Active Directory
//! - `login`: logins and renewals
//! - `rotate_root`: replacing the password of the bind account

mod config;
mod directory;
mod login;
mod policies;
mod rotate_root;
mod security_id;
mod template;
mod user_name;

use std::sync::Arc;
use std::time::Duration;

use strongroom_sdk::Blueprint;
use strongroom_sdk::ldap::LdapClient;

use crate::config::LdapConfig;
use crate::login::DirectoryLogin;
use crate::policies::{GroupPolicies, UserPolicies, groups, users};
use crate::rotate_root::RotateRoot;

/// How often connections are closed that nobody has used for a while.
const CLEANING_INTERVAL: Duration = Duration::from_secs(60);

/// The blueprint of the auth method, which a server or a plug-in process is started with.
pub fn blueprint() -> Blueprint {
    let client = Arc::new(LdapClient::new());
    let (expiring, closing) = (client.clone(), client.clone());
    Blueprint::auth_method("ldap", env!("CARGO_PKG_VERSION"))
        .help("Logs users in with the names and passwords of an LDAP directory.")
        .document::<LdapConfig>()
        .internal_document::<UserPolicies>()
        .internal_document::<GroupPolicies>()
        .resource("users/{name..}", "Policies and further groups of a user.", users())
        .resource("groups/{name..}", "Policies of the members of a group.", groups())
        .login(DirectoryLogin(client.clone()))
        .durable_action(RotateRoot(client))
        .periodic("close_idle_connections", CLEANING_INTERVAL, move |context| {
            let expiring = expiring.clone();
            async move {
                expiring.close_expired(context.now());
                Ok(())
            }
        })
        .on_close(move |_| {
            let closing = closing.clone();
            async move {
                closing.close_all();
                Ok(())
            }
        })
}
