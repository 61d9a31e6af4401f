//! [`ConnectionConfig`]: how to connect to RabbitMQ, and the passwords of new users.

use strongroom_sdk::document_hooks::{DocumentWrite, WriteHook};
use strongroom_sdk::http::{HttpClient, HttpService};
use strongroom_sdk::{BaseUrl, Context, Document, Error, Input, Secret};

use crate::SYSTEM;
use crate::api::finds_user;

/// The address of RabbitMQ, and the administrator that creates users. A write replaces all fields:
/// nobody can direct the stored password to another address.
#[derive(Document)]
#[document(path = "config/connection", seal_wrap, replace, WriteHook, validate = validate_connection)]
pub(crate) struct ConnectionConfig {
    /// Base URL of RabbitMQ's management API, such as https://rabbitmq.example.com:15671.
    #[field(required)]
    pub(crate) connection_uri: BaseUrl,
    /// Name of a user with the tag administrator.
    #[field(required)]
    pub(crate) username: String,
    /// Password of that user. Never returned.
    #[field(required)]
    pub(crate) password: Secret<String>,
    /// Password policy for the passwords that the engine generates; if empty, they have 32 letters
    /// and digits.
    pub(crate) password_policy: String,
}

/// Fields of a write that aren't stored.
#[derive(Input)]
pub(crate) struct ConnectionInput {
    /// Whether to log in to RabbitMQ with these settings before they are stored.
    #[field(default = "true")]
    verify_connection: bool,
    /// Not supported: the engine chooses the names, so that it finds the users after a crash.
    username_template: String,
}

/// The length of generated passwords without a policy, in characters.
const PASSWORD_CHARS: usize = 32;

impl ConnectionConfig {
    /// RabbitMQ, with a password of the administrator: the stored one, or the next one.
    pub(crate) fn service<'a>(
        &self,
        http: &'a HttpClient,
        context: &Context,
        password: &Secret<String>,
    ) -> HttpService<'a> {
        http.service(context, &self.connection_uri).basic_auth(&self.username, password)
    }

    /// Generates a password as the configured policy demands.
    pub(crate) async fn new_password(&self, context: &Context) -> Result<Secret<String>, Error> {
        match self.password_policy.as_str() {
            "" => Ok(Secret::new(context.entropy().base62(PASSWORD_CHARS))),
            policy => Ok(context.system().generate_password(policy).await?),
        }
    }

    /// Reads a user, which only an administrator may do. The administrator itself isn't in
    /// RabbitMQ's own database if another system, such as LDAP, authenticates it.
    async fn verify(&self, context: &Context) -> Result<(), Error> {
        let http = HttpClient::new(SYSTEM);
        let request = self.service(&http, context, &self.password).get("/api/users/:user");
        finds_user(request.path_value("user", &self.username)).await.map(drop)
    }
}

impl WriteHook for ConnectionConfig {
    type Input = ConnectionInput;

    async fn before_write(
        &mut self,
        write: &mut DocumentWrite<'_, Self>,
        input: ConnectionInput,
    ) -> Result<(), Error> {
        if !input.username_template.is_empty() {
            return Err(Error::user("username_template is not supported: leave it out"));
        }
        let password = self.new_password(write.context()).await;
        password.map_err(|error| Error::user(format!("password_policy can't be used: {error}")))?;
        if input.verify_connection {
            let refused = |error| {
                format!(
                    "the connection can't be verified: {error}. Check the address, the password and \
                     the user's tag \"administrator\", or set verify_connection=false"
                )
            };
            let verified = self.verify(write.context()).await;
            verified.map_err(|error| Error::user(refused(error)))?;
        }
        Ok(())
    }
}

fn validate_connection(connection: &ConnectionConfig) -> Result<(), String> {
    check_user_name(&connection.username)
}

/// Checks that requests can name a user, and that it can log in.
pub(crate) fn check_user_name(name: &str) -> Result<(), String> {
    match name {
        "" | "." | ".." => Err("username must be the name of a RabbitMQ user".to_owned()),
        name if name.contains(':') => Err("username must not contain a colon".to_owned()),
        _ => Ok(()),
    }
}
