//! [`StaticCredential`]: passwords of existing accounts in an outside system, which the engine
//! rotates by period or schedule.
//!
//! A static role names one account. The engine keeps its present password, hands it out to clients
//! that may read it, and replaces it regularly. There is no lease: the account outlives every client.
//!
//! The engine says how a password is set in the outside system ([`SetPassword::set_password`]);
//! everything else follows from the declaration:
//!
//! | path | what it does |
//! |---|---|
//! | the role's own, such as `static-roles/{name}` | creates, changes, reads, deletes and lists the roles |
//! | [`StaticCredential::PATH`], such as `static-creds/{name}` | reads the password, and when it is rotated next |
//! | [`StaticCredential::ROTATE_PATH`], such as `rotate-role/{name}` | rotates the password now |
//!
//! A new password is stored, under the seal, before the outside system is called, and the earlier one
//! is kept until the call has succeeded. If the process dies in between, or the response is lost, the
//! same password is set once more. Failed rotations are repeated after ten seconds, then after twenty,
//! and so on, up to an hour. The queue of rotations is stored, so a restart skips none.
//!
//! ```
//! use strongroom_sdk::static_credential::{StaticCredential, StaticRole};
//! use strongroom_sdk::*;
//!
//! /// Access to the directory.
//! #[derive(Document)]
//! #[document(path = "config", seal_wrap)]
//! struct Config {
//!     /// URL of the directory.
//!     #[field(required)]
//!     url: BaseUrl,
//! }
//!
//! struct DirectoryAccount;
//!
//! impl SetPassword for DirectoryAccount {
//!     type Config = Config;
//!
//!     async fn set_password<R: Sync>(&self, change: &PasswordChange<'_, Config, R>) -> Result<(), Error> {
//!         directory::set_password(change.config, change.account, change.new).await
//!     }
//! }
//!
//! impl StaticCredential for DirectoryAccount {
//!     type Role = StaticRole;
//! }
//!
//! fn blueprint() -> Blueprint {
//!     let engine = Blueprint::new("directory", "1.0.0").document::<Config>();
//!     engine.static_credential(DirectoryAccount)
//! }
//! # fn main() { drop(blueprint()) }
//! # mod directory {
//! #     use super::*;
//! #     pub async fn set_password(_: &Config, _: &str, _: &Secret<String>) -> Result<(), Error> { Ok(()) }
//! # }
//! ```

mod account_claim;
mod account_state;
mod account_store;
mod responses;
mod role_change;
mod role_document;
mod rotation_fields;
mod rotator;
mod schedule;
mod static_role;

use std::future::Future;
use std::sync::Arc;

pub use rotation_fields::RotationFields;
pub use schedule::RotationSchedule;
pub use static_role::{StaticAccount, StaticRole};

use self::account_store::ACCOUNT_BUCKET;
use self::role_document::RoleFollower;
use self::rotator::Rotator;
use crate::action::ActionHandler;
use crate::blueprint::RouteTarget;
use crate::document::Document;
use crate::followed_document::FollowedDocument;
use crate::password_change::PasswordChange;
use crate::resource::RouteActions;
use crate::{Context, Error, SetPassword};

/// Accounts of an outside system whose passwords the engine rotates. See the [module](self).
pub trait StaticCredential: SetPassword {
    /// The path at which the password of a role is read. Its only capture is the name of the role.
    const PATH: &'static str = "static-creds/{name}";
    /// The path at which the password of a role is rotated now. Its only capture is the name of the
    /// role.
    const ROTATE_PATH: &'static str = "rotate-role/{name}";

    /// The document of a role, at a path with one capture: [`StaticRole`], or one of the engine's own.
    type Role: StaticAccount;

    /// Sets the password of the account of a role. The default is
    /// [`set_password`](SetPassword::set_password); an engine whose roles say more about the account,
    /// such as that it sets its own password, does what they say.
    ///
    /// # Errors
    ///
    /// As of [`set_password`](SetPassword::set_password).
    ///
    /// # Cancel safety
    ///
    /// As of [`set_password`](SetPassword::set_password).
    fn set_role_password(
        &self,
        change: &PasswordChange<'_, Self::Config, Self::Role>,
    ) -> impl Future<Output = Result<(), Error>> + Send {
        self.set_password(change)
    }
}

impl crate::Blueprint {
    /// Adds accounts whose passwords are rotated: the documents of their roles, and the paths that
    /// read and rotate a password. A task with the name of [`StaticCredential::PATH`] rotates
    /// passwords when they are due.
    #[must_use]
    pub fn static_credential<S: StaticCredential>(self, credential: S) -> Self {
        const {
            let paths = [S::PATH, S::ROTATE_PATH, <S::Role as Document>::PATH];
            assert!(
                are_named_only(&paths),
                "the paths of a static credential have one capture, {{name}} or {{name@}}, at the end"
            );
        }
        let rotator = Arc::new(Rotator::new(credential));
        let (reader, on_demand, queue) = (rotator.clone(), rotator.clone(), rotator.clone());
        let read = move |context: Context, input: responses::RoleName| {
            let rotator = reader.clone();
            async move { rotator.read_credential(&context, &input.name).await }
        };
        let rotate = move |context: Context, input: responses::RoleName| {
            let rotator = on_demand.clone();
            async move { rotator.rotate_now(&context, &input.name).await }
        };
        let run_queue = move |context: Context| {
            let rotator = queue.clone();
            async move { rotator.rotate_due(&context).await }
        };
        let read = RouteActions {
            read: Some(Arc::new(ActionHandler::new(read))),
            ..RouteActions::default()
        };
        let rotate = RouteActions {
            write: Some(Arc::new(ActionHandler::new(rotate))),
            ..RouteActions::default()
        };
        let roles = RouteTarget::Document(Arc::new(FollowedDocument::new(RoleFollower(rotator))));
        // The paths of an account take the same names as its role.
        let follow_case = |engine: Self| match S::Role::FOLDS_CASE {
            true => engine.folds_case(),
            false => engine,
        };
        let engine = self.push_document_route::<S::Role>(roles);
        let read = RouteTarget::Actions(Box::new(read));
        let engine = follow_case(engine.push_route(S::PATH, READ_HELP, false, read));
        let rotate = RouteTarget::Actions(Box::new(rotate));
        let engine = follow_case(engine.push_route(S::ROTATE_PATH, ROTATE_HELP, false, rotate));
        engine.stores_sealed_records(ACCOUNT_BUCKET).completion_task(S::PATH, run_queue)
    }
}

/// Whether each path has one capture, `{name}` or `{name@}`, at its end.
const fn are_named_only(paths: &[&str]) -> bool {
    let mut rest = paths;
    while let [path, after @ ..] = rest {
        let mut bytes = path.as_bytes();
        while let [byte, after @ ..] = bytes {
            if *byte == b'{' {
                break;
            }
            bytes = after;
        }
        if !matches!(bytes, b"{name}" | b"{name@}") {
            return false;
        }
        rest = after;
    }
    true
}

const READ_HELP: &str = "Returns the present password of the account, and when it is rotated next.";
const ROTATE_HELP: &str = "Rotates the password of the account now.";
