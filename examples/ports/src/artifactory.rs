//! Issues access tokens of Artifactory's users.
//!
//! Paths: `config/admin` (the server and an administrator's token), `config/rotate` (replaces that
//! token), `config/user_token` (scope and lifetimes of the tokens of all users),
//! `config/user_token/:username` (the same for one user) and `user_token/:username` (a token).
//!
//! The administrator's token is verified when the configuration is written, and revoked when it is
//! deleted. Artifactory chooses the token that replaces it, so the plan of the rotation contains only
//! the description under which the new token is created.

use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use strongroom_sdk::document_hooks::{DeleteHook, DocumentDelete, DocumentWrite, WriteHook};
use strongroom_sdk::durable_action::{ActionCall, ActionPreparation, DurableAction};
use strongroom_sdk::http::{HttpService, plain_identifier};
use strongroom_sdk::*;

/// The blueprint of the engine.
pub fn blueprint() -> Blueprint {
    Blueprint::new("artifactory", env!("CARGO_PKG_VERSION"))
        .help("Issues access tokens of Artifactory's users, and revokes them.")
        .outside_system("Artifactory")
        .document::<AdminConfig>()
        .durable_action(RotateAdminToken)
        .periodic("revoke-retired-tokens", Duration::from_secs(60), revoke_retired_tokens)
        .document::<UsualUserToken>()
        .document::<UserToken>()
        .credential(AccessToken)
}

/// Artifactory, and the administrator's token with which the engine calls it.
#[derive(Document)]
#[document(path = "config/admin", seal_wrap, WriteHook, DeleteHook)]
struct AdminConfig {
    /// Base URL of Artifactory.
    #[field(required)]
    url: BaseUrl,
    /// Access token of an administrator. Never shown. It is revoked when the configuration is deleted.
    #[field(required)]
    access_token: Secret<String>,
    /// Id of the access token.
    #[field(internal, public)]
    admin_token_id: String,
    /// Description of the access token, which a rotation chooses.
    #[field(internal, hidden)]
    description: String,
    /// Ids of earlier access tokens that are still to be revoked.
    #[field(internal)]
    retired_ids: CommaList,
}

impl WriteHook for AdminConfig {
    type Input = ();

    async fn before_write(
        &mut self,
        write: &mut DocumentWrite<'_, Self>,
        (): (),
    ) -> Result<(), Error> {
        let request = self.service(write.context()).get("/access/api/v1/tokens/me");
        let refused = "Artifactory rejects the access token";
        let response = request.send_unless_refused(&[401, 403], refused).await?;
        let token: ListedToken = response.read_json()?;
        self.admin_token_id = token.token_id.to_string();
        self.description = token.description;
        Ok(())
    }
}

impl DeleteHook for AdminConfig {
    async fn before_delete(&self, delete: &mut DocumentDelete<'_>) -> Result<(), Error> {
        let service = self.service(delete.context());
        for id in self.retired_ids.0.iter().chain([&self.admin_token_id]) {
            // If an earlier delete was interrupted, the token can't authenticate any more.
            let request = service.delete("/access/api/v1/tokens/:id").path_value("id", id);
            request.send_revocation(&[401, 404]).await?;
        }
        Ok(())
    }
}

/// The tokens of users without settings of their own.
#[derive(Document)]
#[document(path = "config/user_token")]
struct UsualUserToken {
    #[field(embed)]
    settings: TokenSettings,
}

/// The tokens of one user. Upper and lower case are the same in the name.
#[derive(Document)]
#[document(path = "config/user_token/{username@}", folds_case)]
struct UserToken {
    #[field(embed)]
    settings: TokenSettings,
}

/// What tokens may do, and for how long.
#[derive(FieldGroup)]
#[document(validate = TokenSettings::check)]
struct TokenSettings {
    /// Scope of the tokens, words with spaces between them. A request can choose some of them.
    #[field(default = "applied-permissions/user")]
    scope: String,
    /// Lifetime of a token.
    default_ttl: DurationSecs,
    /// Longest lifetime that a request can choose.
    max_ttl: DurationSecs,
}

impl TokenSettings {
    fn lifetime(&self) -> Lifetime {
        Lifetime { ttl: self.default_ttl.0, max_ttl: self.max_ttl.0 }
    }

    fn check(&self) -> Result<(), String> {
        self.lifetime().check()
    }

    /// The scope for a request: the whole one, or the words that the client chose.
    fn scope_for(&self, chosen: Option<&str>) -> Result<String, Error> {
        let Some(chosen) = chosen.filter(|chosen| !chosen.trim().is_empty()) else {
            return Ok(self.scope.clone());
        };
        let allowed: Vec<&str> = self.scope.split_whitespace().collect();
        match chosen.split_whitespace().find(|word| !allowed.contains(word)) {
            Some(other) => Err(Error::denied(format!("{other:?} is not in the scope of the user"))),
            None => Ok(chosen.split_whitespace().collect::<Vec<_>>().join(" ")),
        }
    }
}

/// What the client chooses.
#[derive(Input)]
struct TokenParameters {
    /// Part of the user's scope; without it the whole.
    scope: Option<String>,
}

/// The response to a client.
#[derive(ResponseData)]
struct TokenResponse {
    access_token: Secret<String>,
    #[field(public)]
    token_id: Identifier,
    username: String,
    scope: String,
}

/// What is stored with the lease.
#[derive(Receipt)]
struct TokenReceipt {
    id: Identifier,
}

/// What Artifactory responds when it creates a token.
#[derive(Deserialize)]
struct CreatedToken {
    access_token: Secret<String>,
    #[serde(deserialize_with = "plain_identifier")]
    token_id: Identifier,
}

/// A token in Artifactory's list.
#[derive(Deserialize)]
struct ListedToken {
    #[serde(deserialize_with = "plain_identifier")]
    token_id: Identifier,
    #[serde(default)]
    description: String,
}

impl AdminConfig {
    /// Artifactory, for one operation.
    fn service<'a>(&self, context: &'a Context) -> HttpService<'a> {
        context.http(&self.url).bearer_token(&self.access_token)
    }
}

/// Revokes the tokens with this description, which Artifactory's users can't set. Returns whether
/// there were any.
async fn revoke_described(service: &HttpService<'_>, description: &str) -> Result<bool, Error> {
    let list = service.get("/access/api/v1/tokens").send().await?;
    let tokens: Vec<ListedToken> = list.read_json_field("tokens")?;
    let mut found = false;
    for token in tokens.iter().filter(|token| token.description == description) {
        revoke_token(service, &token.token_id).await?;
        found = true;
    }
    Ok(found)
}

async fn revoke_token(service: &HttpService<'_>, id: &Identifier) -> Result<RevokeOutcome, Error> {
    let request = service.delete("/access/api/v1/tokens/:id").path_value("id", id.as_str());
    Ok(request.send_revocation(&[404]).await?)
}

/// Revokes the administrator's tokens that rotations have replaced, and forgets them.
async fn revoke_retired_tokens(context: Context) -> Result<(), Error> {
    let Some(config) = context.documents().get::<AdminConfig>(&[]).await? else {
        return Ok(());
    };
    let retired = &config.retired_ids.0;
    if retired.is_empty() {
        return Ok(());
    }
    let service = config.service(&context);
    for id in retired {
        let request = service.delete("/access/api/v1/tokens/:id").path_value("id", id);
        request.send_revocation(&[404]).await?;
    }
    let forget = |config: Option<AdminConfig>| {
        let mut config = config.ok_or_else(|| Error::user("config/admin was deleted"))?;
        config.retired_ids.0.retain(|id| !retired.contains(id));
        Ok(config)
    };
    context.documents().change::<AdminConfig>(&[], forget).await
}

/// Access tokens of users.
struct AccessToken;

type UserRole = EitherDocument<UserToken, UsualUserToken>;

fn settings(role: &UserRole) -> &TokenSettings {
    match role {
        EitherDocument::First(user) => &user.settings,
        EitherDocument::Second(usual) => &usual.settings,
    }
}

impl Credential for AccessToken {
    const KIND: &'static str = "user-token";
    const PATH: &'static str = "user_token/{username@}";
    const HELP: &'static str = "Issues an access token of a user.";
    const ISSUED_BY: IssueOperation = IssueOperation::ReadOrWrite;
    const CLIENT_SETS_LIFETIME: bool = true;
    type Config = AdminConfig;
    type Role = UserRole;
    type Input = TokenParameters;
    type Response = TokenResponse;
    type Receipt = TokenReceipt;
    type Renewal = NotRenewable;
    type Undo = ByName;

    fn lifetime(role: &UserRole) -> Lifetime {
        settings(role).lifetime()
    }

    async fn issue(&self, order: &IssueRequest<'_, Self>) -> Result<IssuedCredential<Self>, Error> {
        let scope = settings(order.role).scope_for(order.input.scope.as_deref())?;
        let body = json!({
            "username": order.role_name,
            "scope": scope,
            "expires_in": order.lasts_for().as_secs().max(1),
            "description": order.name.to_string(),
        });
        let service = order.config.service(order.context);
        let created = service.post("/access/api/v1/tokens").json(&body).send().await?;
        let CreatedToken { access_token, token_id } = created.read_json()?;
        let receipt = TokenReceipt { id: token_id.clone() };
        let username = order.role_name.to_owned();
        let response = TokenResponse { access_token, token_id, username, scope };
        Ok(IssuedCredential::new(response, receipt))
    }

    async fn revoke(
        &self,
        outside: &RevokeContext<'_, Self>,
        receipt: &TokenReceipt,
    ) -> Result<RevokeOutcome, Error> {
        let service = outside.config.service(outside.context);
        revoke_token(&service, &receipt.id).await
    }
}

impl UndoByName for AccessToken {
    async fn undo(
        &self,
        outside: &RevokeContext<'_, Self>,
        name: &CredentialName,
    ) -> Result<UndoOutcome, Error> {
        let service = outside.config.service(outside.context);
        match revoke_described(&service, &name.to_string()).await? {
            true => Ok(UndoOutcome::Removed),
            false => Ok(UndoOutcome::NotFound),
        }
    }
}

/// Replaces the administrator's token.
struct RotateAdminToken;

/// What is stored before the new token is created.
#[derive(FieldGroup)]
struct RotationPlan {
    /// Description of the new token, which no other token has.
    #[field(required)]
    description: String,
}

impl DurableAction for RotateAdminToken {
    const PATH: &'static str = "config/rotate";
    const HELP: &'static str = "Replaces the administrator's token by a new one.";
    type Target = AdminConfig;
    type Input = ();
    type Plan = RotationPlan;
    type Outcome = CreatedToken;

    fn account(config: &AdminConfig) -> String {
        config.url.as_str().to_owned()
    }

    /// A repeated call lists tokens, revokes one and creates one.
    fn timeout(_: &AdminConfig) -> Duration {
        Duration::from_secs(30)
    }

    async fn prepare(&self, action: &ActionPreparation<'_, Self>) -> Result<RotationPlan, Error> {
        let unique = action.context.entropy().base62(26);
        Ok(RotationPlan { description: format!("strongroom-admin-{unique}") })
    }

    async fn call(&self, action: &ActionCall<'_, Self>) -> Result<CreatedToken, Error> {
        let service = action.target.service(action.context);
        let description = &action.plan.description;
        if action.is_repeated {
            // An earlier call may have created a token that the engine never received.
            revoke_described(&service, description).await?;
        }
        let body = json!({
            "scope": "applied-permissions/admin",
            "expires_in": 0,
            "description": description,
        });
        let created = service.post("/access/api/v1/tokens").json(&body).send().await?;
        Ok(created.read_json()?)
    }

    /// The earlier token is revoked only when the new one is stored: by the periodic task.
    fn settle(
        &self,
        plan: &RotationPlan,
        created: &CreatedToken,
        mut config: AdminConfig,
    ) -> AdminConfig {
        config.description.clone_from(&plan.description);
        let earlier = std::mem::replace(&mut config.admin_token_id, created.token_id.to_string());
        config.retired_ids.0.push(earlier);
        config.access_token = Secret::from_text(created.access_token.expose_secret());
        config
    }

    fn is_settled(&self, plan: &RotationPlan, config: &AdminConfig) -> bool {
        config.description == plan.description
    }
}
