//! [`StaticUser`]: users that exist already, whose passwords the engine rotates.

use std::time::Duration;

use strongroom_sdk::http::HttpClient;
use strongroom_sdk::static_credential::{PasswordChange, RotationFields, StaticCredential};
use strongroom_sdk::{Context, Document, Error, Secret};

use crate::SYSTEM;
use crate::api::set_password;
use crate::connection::{ConnectionConfig, check_user_name};

/// A user of RabbitMQ whose password is rotated.
#[derive(Document)]
#[document(path = "static-roles/{name}", validate = validate_role)]
pub(crate) struct StaticRole {
    /// Name of the user, which must exist.
    #[field(required)]
    username: String,
    #[field(embed)]
    rotation: RotationFields,
}

fn validate_role(role: &StaticRole) -> Result<(), String> {
    check_user_name(&role.username)
}

/// The static credential: users that exist already.
pub(crate) struct StaticUser(pub(crate) HttpClient);

impl StaticCredential for StaticUser {
    const PATH: &'static str = "static-creds/{name}";
    const ROTATE_PATH: &'static str = "rotate-role/{name}";
    const SYSTEM: &'static str = SYSTEM;

    type Config = ConnectionConfig;
    type Role = StaticRole;

    fn account(role: &StaticRole) -> &str {
        &role.username
    }

    fn rotation(role: &StaticRole) -> &RotationFields {
        &role.rotation
    }

    /// Two calls of 10 seconds.
    fn timeout(_: &ConnectionConfig) -> Duration {
        Duration::from_secs(20)
    }

    async fn generate_password(
        &self,
        context: &Context,
        connection: &ConnectionConfig,
        _: &StaticRole,
    ) -> Result<Secret<String>, Error> {
        connection.new_password(context).await
    }

    async fn set_password(&self, change: &PasswordChange<'_, Self>) -> Result<(), Error> {
        let connection = change.config;
        let service = connection.service(&self.0, change.context, &connection.password);
        set_password(&service, change.account, change.new).await
    }
}
