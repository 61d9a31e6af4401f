//! [`RotateRoot`]: replacing the administrator's password.

use std::time::Duration;

use strongroom_sdk::durable_action::{ActionCall, ActionPreparation, DurableAction};
use strongroom_sdk::http::HttpClient;
use strongroom_sdk::{Error, FieldGroup, Secret};

use crate::SYSTEM;
use crate::api::set_password;
use crate::connection::ConnectionConfig;

/// What is stored before the password is changed.
#[derive(FieldGroup)]
pub(crate) struct NewPassword {
    /// The new password of the administrator.
    #[field(required)]
    password: Secret<String>,
}

/// Replaces the administrator's password by one that only the engine knows.
pub(crate) struct RotateRoot(pub(crate) HttpClient);

impl DurableAction for RotateRoot {
    const PATH: &'static str = "config/rotate-root";
    const HELP: &'static str = "Replaces the administrator's password by one that nobody knows.";
    const SYSTEM: &'static str = SYSTEM;

    type Target = ConnectionConfig;
    type Input = ();
    type Plan = NewPassword;
    type Outcome = ();

    fn account(connection: &ConnectionConfig) -> String {
        format!("{} at {}", connection.username, connection.connection_uri.as_str())
    }

    /// Three calls of 10 seconds.
    fn timeout(_: &ConnectionConfig) -> Duration {
        Duration::from_secs(30)
    }

    async fn prepare(&self, action: &ActionPreparation<'_, Self>) -> Result<NewPassword, Error> {
        Ok(NewPassword { password: action.target.new_password(action.context).await? })
    }

    async fn call(&self, action: &ActionCall<'_, Self>) -> Result<(), Error> {
        let (connection, password) = (action.target, &action.plan.password);
        let service = |password| connection.service(&self.0, action.context, password);
        if action.is_repeated {
            // An earlier call without an answer may have set the new password.
            let request = service(password).get("/api/whoami").handle_statuses(&[401]);
            if request.send().await?.status() != 401 {
                return Ok(());
            }
        }
        set_password(&service(&connection.password), &connection.username, password).await
    }

    fn is_settled(&self, plan: &NewPassword, connection: &ConnectionConfig) -> bool {
        connection.password.ct_eq(plan.password.expose_secret().as_bytes())
    }

    fn settle(
        &self,
        plan: &NewPassword,
        (): &(),
        connection: ConnectionConfig,
    ) -> ConnectionConfig {
        let password = Secret::from_text(plan.password.expose_secret());
        ConnectionConfig { password, ..connection }
    }
}
