//! Rotates the passwords of a directory's accounts, and lends accounts to clients.
//!
//! Paths: `config` (the directory and the engine's own account), `static-role/:name`,
//! `static-cred/:name` and `rotate-role/:name` (accounts whose passwords are rotated by period or
//! schedule), and `library/:name` with `check-out`, `check-in`, `status` and
//! `library/manage/:name/check-in` (accounts that are checked out; the names have folders).
//!
//! A directory is usually called over LDAP; this one has three calls over HTTP, so that the example is
//! about the engine and not about a protocol.

use std::sync::Arc;

use serde::Serialize;
use strongroom_sdk::account_library::{AccountLibrary, AccountPasswordChange, LibraryFields};
use strongroom_sdk::http::{HttpClient, HttpService, serialize_exposed};
use strongroom_sdk::static_credential::{PasswordChange, RotationFields, StaticCredential};
use strongroom_sdk::*;

/// The blueprint of the engine.
pub fn blueprint() -> Blueprint {
    let directory = Directory(Arc::new(HttpClient::new(SYSTEM)));
    Blueprint::new("directory", env!("CARGO_PKG_VERSION"))
        .help("Rotates the passwords of a directory's accounts, and lends accounts.")
        .document::<Config>()
        .static_credential(StaticAccount(directory.clone()))
        .account_library(SharedAccounts(directory))
}

const SYSTEM: &str = "directory";

/// Access to the directory.
#[derive(Document)]
#[document(path = "config", seal_wrap)]
struct Config {
    /// URL of the directory.
    #[field(required)]
    url: BaseUrl,
    /// Name of the engine's account, which may set passwords.
    #[field(required)]
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
    #[field(required)]
    username: String,
    /// Whether the account sets its own password, because the engine's account may not.
    self_managed: bool,
    #[field(embed)]
    rotation: RotationFields,
}

/// Accounts that clients check out.
#[derive(Document)]
#[document(path = "library/{name..}")]
struct AccountSet {
    #[field(embed)]
    library: LibraryFields,
}

/// The client of the directory.
#[derive(Clone)]
struct Directory(Arc<HttpClient>);

/// The body of a request that sets a password.
#[derive(Serialize)]
struct NewPassword<'a> {
    #[serde(serialize_with = "serialize_exposed")]
    password: &'a Secret<String>,
}

/// How an attempt to set a password went.
#[derive(PartialEq, Eq)]
enum SetOutcome {
    Done,
    /// The password that the request authenticates with is wrong.
    WrongPassword,
}

impl Directory {
    fn service(&self, config: &Config, context: &Context) -> HttpService<'_> {
        self.0.service(context, &config.url)
    }

    /// Sets a password with the rights of the engine's account.
    async fn set_password(
        &self,
        config: &Config,
        context: &Context,
        account: &str,
        new: &Secret<String>,
    ) -> Result<(), Error> {
        let service = self.service(config, context);
        let service = service.basic_auth(&config.bind_name, &config.bind_password);
        let request = service.put("/accounts/:name/password").path_value("name", account);
        request.json(&NewPassword { password: new }).send().await?;
        Ok(())
    }

    /// Sets a password as the account itself, which has the password `present`.
    async fn set_own_password(
        &self,
        change: &PasswordChange<'_, StaticAccount>,
        present: &Secret<String>,
    ) -> Result<SetOutcome, Error> {
        let service = self.service(change.config, change.context);
        let service = service.basic_auth(change.account, present);
        let request = service.put("/accounts/:name/password").path_value("name", change.account);
        let request = request.json(&NewPassword { password: change.new }).handle_statuses(&[401]);
        match request.send().await?.status() {
            401 => Ok(SetOutcome::WrongPassword),
            _ => Ok(SetOutcome::Done),
        }
    }
}

/// Accounts whose passwords are rotated.
struct StaticAccount(Directory);

impl StaticCredential for StaticAccount {
    const PATH: &'static str = "static-cred/{name}";
    const ROTATE_PATH: &'static str = "rotate-role/{name}";
    const SYSTEM: &'static str = SYSTEM;
    type Config = Config;
    type Role = StaticRole;

    fn account(role: &StaticRole) -> &str {
        &role.username
    }

    fn rotation(role: &StaticRole) -> &RotationFields {
        &role.rotation
    }

    async fn set_password(&self, change: &PasswordChange<'_, Self>) -> Result<(), Error> {
        if !change.role.self_managed {
            let PasswordChange { config, context, account, new, .. } = change;
            return self.0.set_password(config, context, account, new).await;
        }
        let Some(present) = change.present else {
            return Err(Error::user("write the role with the present password of the account"));
        };
        // After a call without a response, the new password may be in effect.
        let repeated = change.is_repeated.then_some(change.new);
        for password in [Some(present), repeated].into_iter().flatten() {
            if self.0.set_own_password(change, password).await? == SetOutcome::Done {
                return Ok(());
            }
        }
        Err(Error::user("the directory rejects the present password of the account"))
    }
}

/// Accounts that clients check out.
struct SharedAccounts(Directory);

impl AccountLibrary for SharedAccounts {
    const KIND: &'static str = "library";
    const CHECK_OUT_PATH: &'static str = "library/{name..}/check-out";
    const CHECK_IN_PATH: &'static str = "library/{name..}/check-in";
    const FORCED_CHECK_IN_PATH: &'static str = "library/manage/{name..}/check-in";
    const STATUS_PATH: &'static str = "library/{name..}/status";
    const SYSTEM: &'static str = SYSTEM;
    type Config = Config;
    type Set = AccountSet;

    fn settings(set: &AccountSet) -> &LibraryFields {
        &set.library
    }

    async fn set_password(&self, change: &AccountPasswordChange<'_, Self>) -> Result<(), Error> {
        let AccountPasswordChange { config, context, account, new, .. } = change;
        self.0.set_password(config, context, account, new).await
    }
}
