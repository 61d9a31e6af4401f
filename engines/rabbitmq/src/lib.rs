//! Creates users of RabbitMQ. Each user exists as long as its lease.
//!
//! Paths, as in Vault's engine of this name: `config/connection` (the address of RabbitMQ's
//! management API and an administrator), `config/lease` (default lifetimes), `roles/:name` (tags,
//! permissions and limits of a user), `creds/:name` (a new user). In addition, `static-roles/:name`
//! and `static-creds/:name` (users that exist already, with a password that is rotated), and
//! `config/rotate-root`, which replaces the administrator's password. Guide and API reference:
//! `docs/src/engines/rabbitmq.md`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use strongroom_sdk::document_hooks::{DocumentWrite, WriteHook};
use strongroom_sdk::dynamic_account::{DynamicAccount, ExistingAccount, NewAccount};
use strongroom_sdk::http::{HttpRequest, HttpService};
use strongroom_sdk::root_password::{RootAccount, RootPassword};
use strongroom_sdk::static_credential::{StaticCredential, StaticRole};
use strongroom_sdk::*;

/// The blueprint of the engine, which a server or a plug-in process is started with.
pub fn blueprint() -> Blueprint {
    Blueprint::new("rabbitmq", env!("CARGO_PKG_VERSION"))
        .help("Creates users of RabbitMQ and deletes them when their leases end.")
        .outside_system("RabbitMQ")
        .document::<Connection>()
        .password_policy(|connection: &Connection| &connection.password_policy)
        .root_password(RabbitUser)
        .document::<LeaseConfig>()
        .document::<Role>()
        .dynamic_account(RabbitUser)
        .static_credential(RabbitUser)
}

/// The address of RabbitMQ, and the administrator that creates users. A write replaces all fields:
/// nobody can direct the stored password to another address.
#[derive(Document)]
#[document(path = "config/connection", seal_wrap, replace, WriteHook)]
struct Connection {
    /// Base URL of RabbitMQ's management API, such as https://rabbitmq.example.com:15671.
    #[field(required)]
    connection_uri: BaseUrl,
    /// Name of a user with the tag administrator.
    #[field(required, check = check_user_name)]
    username: String,
    /// Password of that user. Never returned.
    #[field(required)]
    password: Secret<String>,
    /// Password policy for the passwords that the engine generates; if empty, they have 32 letters
    /// and digits.
    password_policy: String,
}

/// Fields of a write that aren't stored.
#[derive(Input)]
struct ConnectionInput {
    /// Whether to log in to RabbitMQ with these settings before they are stored.
    #[field(default = "true")]
    verify_connection: bool,
    /// Not supported: the engine chooses the names, so that it finds the users after a crash.
    username_template: String,
}

impl Connection {
    /// RabbitMQ, which is called as the administrator.
    fn service<'a>(&self, context: &'a Context) -> HttpService<'a> {
        context.http(&self.connection_uri).basic_auth(&self.username, &self.password)
    }
}

/// Sends a request about a user, and returns whether there is one. Only RabbitMQ's own text proves
/// that there is none: a proxy may send the same status.
async fn finds_user(request: HttpRequest<'_>, name: &str) -> Result<bool, Error> {
    let found = request.path_value("user", name).send_lookup(404, "Object Not Found").await?;
    Ok(found.is_some())
}

impl WriteHook for Connection {
    type Input = ConnectionInput;

    /// Verifies by reading a user, which only an administrator may do. The administrator itself isn't
    /// in RabbitMQ's own database if another system, such as LDAP, authenticates it.
    async fn before_write(
        &mut self,
        write: &mut DocumentWrite<'_, Self>,
        input: ConnectionInput,
    ) -> Result<(), Error> {
        if !input.username_template.is_empty() {
            return Err(Error::user("username_template is not supported: leave it out"));
        }
        write.check_password_policy(&self.password_policy).await?;
        let read = self.service(write.context()).get("/api/users/:user");
        write.verify_connection(input.verify_connection, finds_user(read, &self.username)).await
    }
}

/// Tags, permissions, limits and lifetimes of the users of a role. A write replaces all fields.
#[derive(Document)]
#[document(path = "roles/{name}", replace, validate = check_role)]
struct Role {
    /// Tags of the user, separated by commas, such as management.
    tags: String,
    /// Permissions by virtual host: {"/": {"configure": "", "write": ".*", "read": ".*"}}.
    #[field(default = "{}")]
    vhosts: Json<BTreeMap<String, Permissions>>,
    /// Permissions on topics by virtual host and exchange: {"/": {"amq.topic": {"write": ".*",
    /// "read": ".*"}}}.
    #[field(default = "{}")]
    vhost_topics: Json<BTreeMap<String, BTreeMap<String, TopicPermissions>>>,
    /// Limits of the user: {"max-connections": 10, "max-channels": 100}.
    #[field(default = "{}")]
    limits: Json<BTreeMap<String, u32>>,
    #[field(embed)]
    lifetime: LifetimeFields,
}

/// Patterns of the names of queues and exchanges that a user may use. An empty one matches none.
#[derive(Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
struct Permissions {
    configure: String,
    write: String,
    read: String,
}

/// Patterns of the routing keys that a user may use with an exchange. An empty one matches none.
#[derive(Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
struct TopicPermissions {
    write: String,
    read: String,
}

fn check_role(role: &Role) -> Result<(), String> {
    let Role { tags, vhosts, vhost_topics, limits, .. } = role;
    if tags.is_empty() && vhosts.0.is_empty() && vhost_topics.0.is_empty() {
        return Err("tags, vhosts and vhost_topics are all empty: set one of them".to_owned());
    }
    // RabbitMQ's API can't reach such a virtual host, since a URL can't have such a segment.
    let mut vhosts = vhosts.0.keys().chain(vhost_topics.0.keys());
    if vhosts.any(|vhost| matches!(vhost.as_str(), "" | "." | "..")) {
        return Err("the name of a virtual host must not be empty or made of dots".to_owned());
    }
    match limits.0.keys().all(|name| matches!(&**name, "max-connections" | "max-channels")) {
        true => Ok(()),
        false => Err("limits may have max-connections and max-channels".to_owned()),
    }
}

/// The users of RabbitMQ: those that the engine creates, and those whose passwords it rotates.
struct RabbitUser;

/// Sends one part of a user's definition. RabbitMQ answers 400 if the role must be corrected.
async fn send_part(request: HttpRequest<'_>, part: &str) -> Result<(), Error> {
    let refused = format!(
        "RabbitMQ rejects the {part} of the role: check that the virtual host exists and that the \
         patterns are valid"
    );
    request.send_unless_refused(&[400], refused).await.map(drop)
}

impl DynamicAccount for RabbitUser {
    const KIND: &'static str = "user";
    const HELP: &'static str = "Creates a user with the tags, permissions and limits of the role.";
    /// The maximum length of the property `user-id` of messages.
    const MAX_NAME_BYTES: usize = 255;
    /// A role may need more calls, which then share this time: with the timeout of one call it is
    /// just below the 90 seconds that a request may take.
    const CALLS: u32 = 8;
    type Config = Connection;
    type Role = Role;

    fn lifetime(role: &Role) -> Lifetime {
        role.lifetime.to_lifetime()
    }

    async fn create(&self, user: &NewAccount<'_, Connection, Role>) -> Result<(), Error> {
        let Role { tags, vhosts, vhost_topics, limits, .. } = user.role;
        let rabbitmq = user.config.service(user.context);
        let put = |path| rabbitmq.put(path).path_value("user", user.name);
        let request = put("/api/users/:user");
        let request = request.json_with_secret(&json!({ "tags": tags }), "password", user.password);
        send_part(request, "password, or the tags").await?;
        for (vhost, permissions) in &vhosts.0 {
            let request = put("/api/permissions/:vhost/:user").path_value("vhost", vhost);
            send_part(request.json(permissions), &format!("permissions in {vhost:?}")).await?;
        }
        for (vhost, exchanges) in &vhost_topics.0 {
            for (exchange, TopicPermissions { write, read }) in exchanges {
                let body = json!({ "exchange": exchange, "write": write, "read": read });
                let request = put("/api/topic-permissions/:vhost/:user").path_value("vhost", vhost);
                send_part(request.json(&body), &format!("permissions in {vhost:?}")).await?;
            }
        }
        for (limit, value) in &limits.0 {
            // RabbitMQ answers 406 here to a client that accepts only JSON.
            let request = put("/api/user-limits/:user/:limit").header("accept", "*/*");
            let request = request.path_value("limit", limit).json(&json!({ "value": value }));
            send_part(request, "limits").await?;
        }
        Ok(())
    }

    async fn delete(&self, user: &ExistingAccount<'_, Connection>) -> Result<bool, Error> {
        finds_user(user.config.service(user.context).delete("/api/users/:user"), user.name).await
    }

    async fn exists(&self, user: &ExistingAccount<'_, Connection>) -> Result<bool, Error> {
        finds_user(user.config.service(user.context).get("/api/users/:user"), user.name).await
    }
}

impl SetPassword for RabbitUser {
    const CALLS: u32 = 2;
    type Config = Connection;

    /// This sets the tags as well, so they are read first: a list, and a text before RabbitMQ 3.9.
    async fn set_password<R: Sync>(
        &self,
        change: &PasswordChange<'_, Connection, R>,
    ) -> Result<(), Error> {
        let rabbitmq = change.config.service(change.context);
        let request = rabbitmq.get("/api/users/:user").path_value("user", change.account);
        let rest = json!({ "tags": request.send().await?.read_json_field::<Value>("tags")? });
        let request = rabbitmq.put("/api/users/:user").path_value("user", change.account);
        request.json_with_secret(&rest, "password", change.new).send().await.map(drop)?;
        Ok(())
    }
}

impl StaticCredential for RabbitUser {
    type Role = StaticRole;
}

impl RootPassword for RabbitUser {
    fn account(connection: &Connection) -> RootAccount<'_> {
        let Connection { connection_uri, username, password, .. } = connection;
        RootAccount { address: connection_uri.as_str(), name: username, password }
    }

    fn with_password(connection: Connection, password: Secret<String>) -> Connection {
        Connection { password, ..connection }
    }
}
