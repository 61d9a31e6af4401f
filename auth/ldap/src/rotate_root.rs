//! [`RotateRoot`]: replacing the password of the bind account.

use std::sync::Arc;
use std::time::Duration;

use strongroom_sdk::durable_action::{ActionCall, ActionPreparation, DurableAction};
use strongroom_sdk::ldap::{LdapClient, LdapSession};
use strongroom_sdk::{Error, FieldGroup, Secret};

use crate::config::LdapConfig;

/// What is stored before the password is changed.
#[derive(FieldGroup)]
pub(crate) struct NewPassword {
    /// The new password of the bind account.
    #[field(required)]
    password: Secret<String>,
}

/// The length of generated passwords, in characters.
const PASSWORD_CHARS: usize = 32;

/// Replaces the password of the bind account by one that only the method knows.
pub(crate) struct RotateRoot(pub(crate) Arc<LdapClient>);

impl DurableAction for RotateRoot {
    const PATH: &'static str = "config/rotate-root";
    const HELP: &'static str =
        "Replaces the password of the bind account by one that nobody knows.";

    type Target = LdapConfig;
    type Input = ();
    type Plan = NewPassword;
    type Outcome = ();

    fn account(config: &LdapConfig) -> String {
        format!("{} at {}", config.binddn, config.url)
    }

    /// Connecting, two binds and the change.
    fn timeout(config: &LdapConfig) -> Duration {
        config.connection_timeout.0.as_duration() + 4 * config.request_timeout.0.as_duration()
    }

    async fn prepare(&self, action: &ActionPreparation<'_, Self>) -> Result<NewPassword, Error> {
        if action.target.bind_account().is_none() {
            return Err(Error::user(
                "there is no bind account: write binddn and bindpass to config",
            ));
        }
        // Active Directory wants several kinds of characters; these are certain to be there.
        let random = action.context.entropy().base62(PASSWORD_CHARS);
        Ok(NewPassword { password: Secret::new(format!("{random}-aA1")) })
    }

    async fn call(&self, action: &ActionCall<'_, Self>) -> Result<(), Error> {
        let (config, password) = (action.target, &action.plan.password);
        let Some((name, stored)) = config.bind_account() else {
            return Err(Error::user(
                "there is no bind account: write binddn and bindpass to config",
            ));
        };
        let mut session = self.0.session(action.context, config.directory()).await?;
        // An earlier call without an answer may have set the new password.
        if action.is_repeated && session.bind(name, password).await.is_ok() {
            return Ok(());
        }
        session.bind(name, stored).await?;
        session.set_password(name, password).await?;
        LdapSession::release(session);
        Ok(())
    }

    fn is_settled(&self, plan: &NewPassword, config: &LdapConfig) -> bool {
        let stored = config.bindpass.as_ref();
        stored.is_some_and(|it| it.ct_eq(plan.password.expose_secret().as_bytes()))
    }

    fn settle(&self, plan: &NewPassword, (): &(), config: LdapConfig) -> LdapConfig {
        let password = Secret::from_text(plan.password.expose_secret());
        LdapConfig { bindpass: Some(password), ..config }
    }
}
