//! Rotates the passwords of a directory's accounts, and lends accounts to clients.
//!
//! Paths: `config` (the directory and the engine's own account), `static-role/:name`,
//! `static-cred/:name` and `rotate-role/:name` (accounts whose passwords are rotated by period or
//! schedule), and `library/:name` with `check-out`, `check-in`, `status` and
//! `library/manage/:name/check-in` (accounts that are checked out; the names have folders).
//!
//! A directory is usually called over LDAP; this one has three calls over HTTP, so that the example is
//! about the engine and not about a protocol.

use serde_json::json;
use strongroom_sdk::account_library::{AccountLibrary, LibraryFields};
use strongroom_sdk::http::HttpRequest;
use strongroom_sdk::static_credential::{RotationFields, StaticAccount, StaticCredential};
use strongroom_sdk::*;

/// The blueprint of the engine.
pub fn blueprint() -> Blueprint {
    Blueprint::new("directory", env!("CARGO_PKG_VERSION"))
        .help("Rotates the passwords of a directory's accounts, and lends accounts.")
        .document::<Config>()
        .static_credential(Accounts)
        .account_library(Accounts)
}

/// Access to the directory.
#[derive(Document)]
#[document(path = "config", seal_wrap)]
struct Config {
    /// URL of the directory.
    #[field(required)]
    url: BaseUrl,
    /// Name of the engine's account, which may set passwords.
    #[field(required, check = check_user_name)]
    bind_name: String,
    /// Password of that account. Never shown.
    #[field(required)]
    bind_password: Secret<String>,
}

/// An account whose password is rotated.
#[derive(Document)]
#[document(path = "static-role/{name}")]
struct StaticRole {
    /// Name of the account in the directory.
    #[field(required, check = check_user_name)]
    username: String,
    /// Whether the account sets its own password, because the engine's account may not.
    self_managed: bool,
    #[field(embed)]
    rotation: RotationFields,
}

impl StaticAccount for StaticRole {
    fn account(&self) -> &str {
        &self.username
    }

    fn rotation(&self) -> &RotationFields {
        &self.rotation
    }
}

/// Accounts that clients check out.
#[derive(Document)]
#[document(path = "library/{name..}")]
struct AccountSet {
    #[field(embed)]
    library: LibraryFields,
}

/// The request that sets a password, with the rights of the account `name`.
fn password_request<'a, R>(
    change: &PasswordChange<'a, Config, R>,
    name: &str,
    password: &Secret<String>,
) -> HttpRequest<'a> {
    let directory = change.context.http(&change.config.url).basic_auth(name, password);
    let request = directory.put("/accounts/:name/password").path_value("name", change.account);
    request.json_with_secret(&json!({}), "password", change.new)
}

/// The accounts of the directory.
struct Accounts;

impl SetPassword for Accounts {
    type Config = Config;

    /// Sets a password with the rights of the engine's account.
    async fn set_password<R: Sync>(
        &self,
        change: &PasswordChange<'_, Config, R>,
    ) -> Result<(), Error> {
        let Config { bind_name, bind_password, .. } = change.config;
        password_request(change, bind_name, bind_password).send().await?;
        Ok(())
    }
}

impl StaticCredential for Accounts {
    const PATH: &'static str = "static-cred/{name}";
    type Role = StaticRole;

    async fn set_role_password(
        &self,
        change: &PasswordChange<'_, Config, StaticRole>,
    ) -> Result<(), Error> {
        if !change.role.self_managed {
            return self.set_password(change).await;
        }
        let Some(present) = change.present else {
            return Err(Error::user("write the role with the present password of the account"));
        };
        // After a call without a response, the new password may be in effect.
        let repeated = change.is_repeated.then_some(change.new);
        for password in [Some(present), repeated].into_iter().flatten() {
            let request = password_request(change, change.account, password);
            if request.handle_statuses(&[401]).send().await?.status() != 401 {
                return Ok(());
            }
        }
        Err(Error::user("the directory rejects the present password of the account"))
    }
}

impl AccountLibrary for Accounts {
    const KIND: &'static str = "library";
    const CHECK_OUT_PATH: &'static str = "library/{name..}/check-out";
    const CHECK_IN_PATH: &'static str = "library/{name..}/check-in";
    const FORCED_CHECK_IN_PATH: &'static str = "library/manage/{name..}/check-in";
    const STATUS_PATH: &'static str = "library/{name..}/status";
    type Set = AccountSet;

    fn settings(set: &AccountSet) -> &LibraryFields {
        &set.library
    }
}
