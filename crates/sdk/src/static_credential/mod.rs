//! [`StaticCredential`]: passwords of existing accounts in an outside system, which the engine
//! rotates by period or schedule.
//!
//! A static role names one account. The engine keeps its present password, hands it out to clients
//! that may read it, and replaces it regularly. There is no lease: the account outlives every client.
//!
//! The engine says how a password is set in the outside system ([`StaticCredential::set_password`]);
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
//! use strongroom_sdk::static_credential::{PasswordChange, RotationFields, StaticCredential};
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
//! /// An account whose password is rotated.
//! #[derive(Document)]
//! #[document(path = "static-roles/{name}")]
//! struct StaticRole {
//!     /// Name of the account in the directory.
//!     #[field(required)]
//!     username: String,
//!     #[field(embed)]
//!     rotation: RotationFields,
//! }
//!
//! struct DirectoryAccount;
//!
//! impl StaticCredential for DirectoryAccount {
//!     const PATH: &'static str = "static-creds/{name}";
//!     const ROTATE_PATH: &'static str = "rotate-role/{name}";
//!     const SYSTEM: &'static str = "directory";
//!     type Config = Config;
//!     type Role = StaticRole;
//!
//!     fn account(role: &StaticRole) -> &str {
//!         &role.username
//!     }
//!
//!     fn rotation(role: &StaticRole) -> &RotationFields {
//!         &role.rotation
//!     }
//!
//!     async fn set_password(&self, change: &PasswordChange<'_, Self>) -> Result<(), Error> {
//!         directory::set_password(change.config, change.account, change.new).await
//!     }
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

mod account_state;
mod account_store;
mod responses;
mod role_document;
mod rotation_fields;
mod rotator;
mod schedule;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

pub use rotation_fields::RotationFields;
pub use schedule::RotationSchedule;

use self::account_store::ACCOUNT_BUCKET;
use self::role_document::RoleFollower;
use self::rotator::Rotator;
use crate::action::ActionHandler;
use crate::blueprint::RouteTarget;
use crate::credential::RequiredDocument;
use crate::document::Document;
use crate::document_hooks::DocumentHooks;
use crate::followed_document::FollowedDocument;
use crate::resource::RouteActions;
use crate::{Context, Error, Secret};

/// Accounts of an outside system whose passwords the engine rotates. See the [module](self).
pub trait StaticCredential: Sized + Send + Sync + 'static {
    /// The path at which the password of a role is read. Its only capture is the name of the role.
    const PATH: &'static str;
    /// The path at which the password of a role is rotated now. Its only capture is the name of the
    /// role.
    const ROTATE_PATH: &'static str;
    /// The name of the outside system in error messages.
    const SYSTEM: &'static str = "outside system";

    /// The document with the address of the outside system and the credentials for it, or `()` for
    /// none.
    type Config: RequiredDocument;
    /// The document of a role, at a path with one capture. It embeds [`RotationFields`].
    type Role: DocumentHooks;

    /// The name of the account in the outside system. It can't be changed while the role exists.
    fn account(role: &Self::Role) -> &str;

    /// When the password of the account is rotated.
    fn rotation(role: &Self::Role) -> &RotationFields;

    /// How long one call of [`set_password`](Self::set_password) may take. The default is 10 seconds.
    fn timeout(_config: &Self::Config) -> Duration {
        Duration::from_secs(10)
    }

    /// Generates a new password. The default is 32 letters and digits; an engine with a password
    /// policy in its configuration asks [`Context::system`] for one.
    ///
    /// # Errors
    ///
    /// Any [`Error`] fails the rotation, which is repeated later.
    fn generate_password(
        &self,
        context: &Context,
        _config: &Self::Config,
        _role: &Self::Role,
    ) -> impl Future<Output = Result<Secret<String>, Error>> + Send {
        const CHARS: usize = 32;
        let password = Secret::new(context.entropy().base62(CHARS));
        async { Ok(password) }
    }

    /// Sets the password of the account in the outside system. It may be called several times with
    /// the same new password, and must succeed if that is in effect already.
    ///
    /// # Errors
    ///
    /// If the error is certain (not [`Error::is_uncertain`]) and the change isn't
    /// [repeated](PasswordChange::is_repeated), the new password is discarded. In any case the
    /// rotation is repeated later.
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped at any await. The call is then repeated later.
    fn set_password(
        &self,
        change: &PasswordChange<'_, Self>,
    ) -> impl Future<Output = Result<(), Error>> + Send;
}

/// The arguments of [`StaticCredential::set_password`]: the account, and its two passwords.
pub struct PasswordChange<'a, S: StaticCredential> {
    /// The engine's configuration document, as it is stored now.
    pub config: &'a S::Config,
    /// The document of the role.
    pub role: &'a S::Role,
    /// The name of the account.
    pub account: &'a str,
    /// The password that the account is given.
    pub new: &'a Secret<String>,
    /// The password that the account had, for systems in which an account sets its own password
    /// (self-managed). `None` if the engine doesn't know it. If the change is
    /// [repeated](Self::is_repeated), the new one may be in effect already.
    pub present: Option<&'a Secret<String>>,
    /// Whether an earlier call with the same new password may have taken effect.
    pub is_repeated: bool,
    /// The instance's services; there is a caller only if the rotation was requested.
    pub context: &'a Context,
}

impl<S: StaticCredential> std::fmt::Debug for PasswordChange<'_, S> {
    /// Leaves the passwords out.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PasswordChange")
            .field("account", &self.account)
            .field("is_repeated", &self.is_repeated)
            .finish_non_exhaustive()
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
