//! [`SetPassword`]: what an engine implements to have passwords of accounts changed.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use crate::credential::RequiredDocument;
use crate::{Context, Error, Secret};

/// An outside system in which the engine sets the passwords of accounts that exist already. The SDK
/// chooses the passwords, stores them before they are set, and decides when:
///
/// - [`StaticCredential`](crate::static_credential::StaticCredential): by period or schedule
/// - [`AccountLibrary`](crate::account_library::AccountLibrary): when an account is returned
/// - [`RootPassword`](crate::root_password::RootPassword): when an operator asks for it
pub trait SetPassword: Sized + Send + Sync + 'static {
    /// How many consecutive calls [`set_password`](Self::set_password) makes.
    const CALLS: u32 = 1;

    /// The document with the address of the outside system and the credentials for it, or `()` for
    /// none.
    type Config: RequiredDocument;

    /// How long one call to the outside system may take. The default is 10 seconds.
    fn timeout(_config: &Self::Config) -> Duration {
        DEFAULT_CALL_TIME
    }

    /// Sets the password of an account in the outside system, with the rights that
    /// [`PasswordChange::config`] gives. It may be called several times with the same new password,
    /// and must succeed if that is in effect already.
    ///
    /// # Errors
    ///
    /// If the error is certain (not [`Error::is_uncertain`]) and the change isn't
    /// [repeated](PasswordChange::is_repeated), the new password is discarded. Otherwise the call is
    /// repeated later.
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped at any await. The call is then repeated later.
    fn set_password<R: Sync>(
        &self,
        change: &PasswordChange<'_, Self::Config, R>,
    ) -> impl Future<Output = Result<(), Error>> + Send;
}

/// An account of the outside system and its two passwords: the argument of
/// [`SetPassword::set_password`].
pub struct PasswordChange<'a, C, R = ()> {
    /// The engine's configuration document, as it is stored now. For the engine's own account it may
    /// have the new password, see [`RootPassword`](crate::root_password::RootPassword).
    pub config: &'a C,
    /// The document of the static role; `()` for accounts without one.
    pub role: &'a R,
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
    /// The instance's services; there is a caller only if a client requested the change.
    pub context: &'a Context,
}

impl<C, R> fmt::Debug for PasswordChange<'_, C, R> {
    /// Leaves the passwords and the documents out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PasswordChange")
            .field("account", &self.account)
            .field("is_repeated", &self.is_repeated)
            .finish_non_exhaustive()
    }
}

/// How long one call may take that sets a password, unless an engine says otherwise.
pub(crate) const DEFAULT_CALL_TIME: Duration = Duration::from_secs(10);

/// The time for `calls` consecutive calls.
pub(crate) fn time_for_calls(timeout: Duration, calls: u32) -> Duration {
    timeout.saturating_mul(calls.max(1))
}

/// Turns the error of a password policy that a client names in a document into the client's.
pub(crate) async fn check_password_policy(context: &Context, policy: &str) -> Result<(), Error> {
    match context.generate_password(policy).await {
        Ok(_) => Ok(()),
        Err(error) => Err(Error::user(format!("password_policy can't be used: {error}"))),
    }
}
