//! [`RootPassword`]: the password with which the engine itself logs in, and its rotation
//! (`config/rotate-root`).
//!
//! The password is in a document that an operator writes. A write to
//! [`RootPassword::PATH`] replaces it by one that only the engine knows. It is a
//! [`DurableAction`](crate::durable_action): the new password is stored, under the seal, before the
//! outside system is called, and a rotation that was interrupted is completed later. So the engine
//! never loses the password, whenever the process dies.
//!
//! ```
//! use strongroom_sdk::root_password::{RootAccount, RootPassword};
//! use strongroom_sdk::*;
//!
//! /// The directory, and the engine's own account there.
//! #[derive(Document)]
//! #[document(path = "config", seal_wrap)]
//! struct Config {
//!     /// Base URL of the directory.
//!     #[field(required)]
//!     url: BaseUrl,
//!     /// Name of the engine's account.
//!     #[field(required)]
//!     username: String,
//!     /// Password of that account. Never shown.
//!     #[field(required)]
//!     password: Secret<String>,
//! }
//!
//! struct DirectoryAdmin;
//!
//! impl SetPassword for DirectoryAdmin {
//!     type Config = Config;
//!
//!     async fn set_password<R: Sync>(&self, change: &PasswordChange<'_, Config, R>) -> Result<(), Error> {
//!         directory::set_password(change.config, change.account, change.new).await
//!     }
//! }
//!
//! impl RootPassword for DirectoryAdmin {
//!     fn account(config: &Config) -> RootAccount<'_> {
//!         RootAccount {
//!             address: config.url.as_str(),
//!             name: &config.username,
//!             password: &config.password,
//!         }
//!     }
//!
//!     fn with_password(config: Config, password: Secret<String>) -> Config {
//!         Config { password, ..config }
//!     }
//! }
//!
//! fn blueprint() -> Blueprint {
//!     Blueprint::new("directory", "1.0.0").document::<Config>().root_password(DirectoryAdmin)
//! }
//! # fn main() { drop(blueprint()) }
//! # mod directory {
//! #     use super::*;
//! #     pub async fn set_password(_: &Config, _: &str, _: &Secret<String>) -> Result<(), Error> { Ok(()) }
//! # }
//! ```

use std::time::Duration;

use strongroom_schema::field::build_object;

use crate::document::Document;
use crate::durable_action::{ActionCall, ActionPreparation, DurableAction};
use crate::password_change::{PasswordChange, SetPassword, time_for_calls};
use crate::{Error, FieldGroup, Secret};

/// The password of the engine's own account in the outside system. See the [module](self).
///
/// If an earlier call of [`set_password`](SetPassword::set_password) with the same new password got no
/// answer, that may be in effect. So a change that is [repeated](PasswordChange::is_repeated) is first
/// made with a configuration that has the new password already, and if the outside system refuses
/// that, with the stored one.
pub trait RootPassword: SetPassword<Config: Document> {
    /// The path at which a write rotates the password.
    const PATH: &'static str = "config/rotate-root";

    /// The account as the document has it.
    fn account(config: &Self::Config) -> RootAccount<'_>;

    /// The document with another password.
    fn with_password(config: Self::Config, password: Secret<String>) -> Self::Config;
}

/// The engine's account in the outside system.
#[derive(Clone, Copy)]
pub struct RootAccount<'a> {
    /// The address of the outside system. If it or the name has changed, a rotation that was
    /// interrupted is abandoned.
    pub address: &'a str,
    /// The name of the account.
    pub name: &'a str,
    /// Its password, as the engine knows it.
    pub password: &'a Secret<String>,
}

impl std::fmt::Debug for RootAccount<'_> {
    /// Leaves the password out.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RootAccount")
            .field("address", &self.address)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// The rotation of a root password as a durable action.
struct RootRotation<R>(R);

/// What is stored before the password is changed.
#[derive(FieldGroup)]
struct NewRootPassword {
    /// The new password of the account.
    #[field(required)]
    password: Secret<String>,
}

impl<R: RootPassword> DurableAction for RootRotation<R> {
    const PATH: &'static str = R::PATH;
    const HELP: &'static str =
        "Replaces the password of the engine's own account by one that only the engine knows.";

    type Target = R::Config;
    type Input = ();
    type Plan = NewRootPassword;
    type Outcome = ();

    fn account(config: &R::Config) -> String {
        let RootAccount { address, name, .. } = R::account(config);
        format!("{name} at {address}")
    }

    /// A change that is repeated is tried with either password.
    fn timeout(config: &R::Config) -> Duration {
        time_for_calls(R::timeout(config), R::CALLS.saturating_mul(2))
    }

    async fn prepare(
        &self,
        action: &ActionPreparation<'_, Self>,
    ) -> Result<NewRootPassword, Error> {
        Ok(NewRootPassword { password: action.context.new_password().await? })
    }

    async fn call(&self, action: &ActionCall<'_, Self>) -> Result<(), Error> {
        if action.is_repeated {
            let config = copy_document(action.target)?;
            let changed = R::with_password(config, copy_secret(&action.plan.password));
            match self.set_password(action, &changed).await {
                Err(error) if !error.is_uncertain() => {}
                outcome => return outcome,
            }
        }
        self.set_password(action, action.target).await
    }

    fn settle(&self, plan: &NewRootPassword, (): &(), config: R::Config) -> R::Config {
        R::with_password(config, copy_secret(&plan.password))
    }

    fn is_settled(&self, plan: &NewRootPassword, config: &R::Config) -> bool {
        R::account(config).password.ct_eq(plan.password.expose_secret().as_bytes())
    }
}

impl<R: RootPassword> RootRotation<R> {
    /// Sets the new password, with the rights that `config` gives.
    async fn set_password(
        &self,
        action: &ActionCall<'_, Self>,
        config: &R::Config,
    ) -> Result<(), Error> {
        let account = R::account(config);
        let change = PasswordChange {
            config,
            role: &(),
            account: account.name,
            new: &action.plan.password,
            present: Some(account.password),
            is_repeated: action.is_repeated,
            context: action.context,
        };
        self.0.set_password(&change).await
    }
}

fn copy_secret(secret: &Secret<String>) -> Secret<String> {
    Secret::from_text(secret.expose_secret())
}

/// A copy of a document, which can't be cloned because it may contain secrets.
fn copy_document<D: Document>(document: &D) -> Result<D, Error> {
    let stored = build_object(|out| document.write_stored(out));
    D::from_fields(&stored.fields())
        .map_err(|_| Error::internal("the configuration can't be read by this version"))
}

impl crate::Blueprint {
    /// Adds the rotation of the password with which the engine itself logs in. A task with the name of
    /// [`RootPassword::PATH`] completes rotations that were interrupted.
    #[must_use]
    pub fn root_password<R: RootPassword>(self, root: R) -> Self {
        self.durable_action(RootRotation(root))
    }
}
