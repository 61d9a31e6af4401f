//! [`RabbitUser`]: creating and deleting users, and cleaning up after a crash.

use serde::Serialize;
use serde_json::json;
use strongroom_sdk::http::{HttpClient, HttpService};
use strongroom_sdk::*;

use crate::SYSTEM;
use crate::api::{UserBody, finds_user, send_part};
use crate::connection::ConnectionConfig;
use crate::role::{LeaseConfig, Role, TopicPermissions};

/// The response of `creds/:name`.
#[derive(ResponseData)]
pub(crate) struct UserResponse {
    /// The name of the user.
    username: Identifier,
    /// The password of the user.
    password: Secret<String>,
}

/// What is stored with the lease: the name, which is enough to delete the user.
#[derive(Receipt)]
pub(crate) struct UserReceipt {
    username: Identifier,
}

#[derive(Serialize)]
struct TopicBody<'a> {
    exchange: &'a str,
    #[serde(flatten)]
    permissions: &'a TopicPermissions,
}

/// The credential type: users of RabbitMQ.
pub(crate) struct RabbitUser(pub(crate) HttpClient);

/// The maximum length of a name in bytes: that of the property `user-id` of messages.
const MAX_NAME_BYTES: usize = 255;

impl RabbitUser {
    fn service(&self, connection: &ConnectionConfig, context: &Context) -> HttpService<'_> {
        connection.service(&self.0, context, &connection.password)
    }

    /// Deletes a user, with its permissions and limits. Returns whether there was one.
    async fn delete(&self, to: &RevokeContext<'_, Self>, name: &str) -> Result<bool, Error> {
        let service = self.service(to.config, to.context);
        finds_user(service.delete("/api/users/:user").path_value("user", name)).await
    }
}

impl Credential for RabbitUser {
    const KIND: &'static str = "user";
    const PATH: &'static str = "creds/{name}";
    const HELP: &'static str = "Creates a user with the tags, permissions and limits of the role.";
    const SYSTEM: &'static str = SYSTEM;
    /// A role may need more calls, which then share this time: with the timeout of one call it is
    /// just below the 90 seconds that a request may take.
    const CALLS: u32 = 8;

    type Config = ConnectionConfig;
    type Role = Role;
    type Input = ();
    type Response = UserResponse;
    type Receipt = UserReceipt;
    type Renewal = Renewable;
    type Undo = ByName;

    fn lifetime(role: &Role) -> Lifetime {
        role.lifetime.to_lifetime()
    }

    async fn usual_lifetime(context: &Context) -> Result<Lifetime, Error> {
        let lease = context.documents().get::<LeaseConfig>(&[]).await?;
        Ok(lease.map(|lease| lease.lifetime.to_lifetime()).unwrap_or_default())
    }

    async fn issue(&self, order: &IssueRequest<'_, Self>) -> Result<IssuedCredential<Self>, Error> {
        let (service, role) = (self.service(order.config, order.context), order.role);
        let name = &*order.name.fit(MAX_NAME_BYTES);
        let password = order.config.new_password(order.context).await?;
        let put = |path| service.put(path).path_value("user", name);
        let user = UserBody { password: &password, tags: role.tags.as_str() };
        send_part(put("/api/users/:user").json(&user), "password, or the tags").await?;
        for (vhost, permissions) in &role.vhosts.0 {
            let request = put("/api/permissions/:vhost/:user").path_value("vhost", vhost);
            send_part(request.json(permissions), &format!("permissions in {vhost:?}")).await?;
        }
        for (vhost, exchanges) in &role.vhost_topics.0 {
            for (exchange, permissions) in exchanges {
                let body = TopicBody { exchange, permissions };
                let request = put("/api/topic-permissions/:vhost/:user").path_value("vhost", vhost);
                send_part(request.json(&body), &format!("permissions in {vhost:?}")).await?;
            }
        }
        for (limit, value) in &role.limits.0 {
            // RabbitMQ answers 406 here to a client that accepts only JSON.
            let request = put("/api/user-limits/:user/:limit").header("accept", "*/*");
            let request = request.path_value("limit", limit).json(&json!({ "value": value }));
            send_part(request, "limits").await?;
        }
        let unusable = || Error::internal("the generated name can't be used");
        let username = Identifier::parse(name).ok_or_else(unusable)?;
        let receipt = UserReceipt { username: username.clone() };
        Ok(IssuedCredential::new(UserResponse { username, password }, receipt))
    }

    async fn revoke(
        &self,
        outside: &RevokeContext<'_, Self>,
        receipt: &UserReceipt,
    ) -> Result<RevokeOutcome, Error> {
        let found = self.delete(outside, receipt.username.as_str()).await?;
        Ok(if found { RevokeOutcome::Now } else { RevokeOutcome::AlreadyGone })
    }
}

impl UndoByName for RabbitUser {
    async fn undo(
        &self,
        outside: &RevokeContext<'_, Self>,
        name: &CredentialName,
    ) -> Result<UndoOutcome, Error> {
        let found = self.delete(outside, &name.fit(MAX_NAME_BYTES)).await?;
        Ok(if found { UndoOutcome::Removed } else { UndoOutcome::NotFound })
    }
}

impl Renew for RabbitUser {
    /// A user has no expiry in RabbitMQ. But renewing fails if the user was deleted, since the
    /// lease would then be useless.
    async fn renew(
        &self,
        order: &RenewRequest<'_, Self>,
        receipt: &UserReceipt,
    ) -> Result<RenewedCredential<Self>, Error> {
        let request = self.service(order.config, order.context).get("/api/users/:user");
        match finds_user(request.path_value("user", receipt.username.as_str())).await? {
            true => Ok(RenewedCredential::unchanged()),
            false => Err(Error::user("the user no longer exists in RabbitMQ; revoke the lease")),
        }
    }
}
