//! Issues API tokens of a token service. Each token is valid as long as its lease.
//!
//! Paths: `config` (the address of the service and its API key), `roles/:name` (the permissions of
//! a token), `creds/:name` (a token). Guide and API reference: `docs/src/engines/api-token.md`.
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use strongroom_sdk::http::{HttpService, plain_identifier};
use strongroom_sdk::*;

/// The blueprint of the engine, which a server or a plug-in process is started with.
pub fn blueprint() -> Blueprint {
    Blueprint::new("api-token", env!("CARGO_PKG_VERSION"))
        .help("Issues API tokens of a token service and revokes them when their leases end.")
        .outside_system("token service")
        .document::<Config>()
        .document::<Role>()
        .credential(ApiToken)
}

/// The address of the token service, and the key to authenticate with.
#[derive(Document)]
#[document(path = "config", seal_wrap)]
struct Config {
    /// Base URL of the token service.
    #[field(required)]
    api_endpoint: BaseUrl,
    /// Key that authenticates the engine to the token service. Never returned.
    #[field(required)]
    api_key: Secret<String>,
    /// Timeout of one call to the token service, from 1s to 5m.
    #[field(default = "10s", check = check_timeout)]
    request_timeout: DurationSecs,
}

/// With zero every call would fail; a large one delays the clean-up of a token whose creation got no
/// response, which starts only after the timeout.
fn check_timeout(timeout: &DurationSecs) -> Result<(), String> {
    let valid = (1..=300).contains(&timeout.0.as_secs());
    valid.then_some(()).ok_or_else(|| "request_timeout must be from 1s to 5m".to_owned())
}

/// The permissions and lifetimes of a token.
#[derive(Document)]
#[document(path = "roles/{name}", validate = validate_role)]
struct Role {
    /// Permissions of the token.
    permissions: CommaList,
    /// Lifetime of a token until it is renewed.
    #[field(default = "3600")]
    ttl: DurationSecs,
    /// Lifetime beyond which a token can't be renewed; 0 for the mount's maximum.
    max_ttl: DurationSecs,
}

fn validate_role(role: &Role) -> Result<(), String> {
    ApiToken::lifetime(role).check()
}

/// The response of `creds/:name`, read from that of the service.
#[derive(Deserialize, ResponseData)]
struct ApiTokenResponse {
    /// The token.
    token: Secret<String>,
    /// The permissions of the token.
    #[serde(skip)]
    permissions: CommaList,
}

/// What is stored with the lease: the token's id. Only the client has the token itself.
#[derive(Deserialize, Receipt)]
struct ApiTokenReceipt {
    #[serde(deserialize_with = "plain_identifier")]
    id: Identifier,
}

/// A token in the list of the service.
#[derive(Deserialize)]
struct TokenListItem {
    id: String,
    name: String,
}

impl Config {
    /// The token service, for one operation.
    fn service<'a>(&self, context: &'a Context) -> HttpService<'a> {
        let service = context.http(&self.api_endpoint).bearer_token(&self.api_key);
        service.attempt_time(ApiToken::timeout(self))
    }
}

/// The credential type: tokens of the token service.
struct ApiToken;

/// The maximum length of a token's name in the token service, in bytes.
const MAX_NAME_BYTES: usize = 128;

impl Credential for ApiToken {
    const KIND: &'static str = "token";
    const PATH: &'static str = "creds/{name}";
    const HELP: &'static str = "Issues a token with the permissions of the role.";

    type Config = Config;
    type Role = Role;
    type Input = ();
    type Response = ApiTokenResponse;
    type Receipt = ApiTokenReceipt;
    type Renewal = Renewable;
    type Undo = ByName;

    fn lifetime(role: &Role) -> Lifetime {
        Lifetime { ttl: role.ttl.0, max_ttl: role.max_ttl.0 }
    }

    fn timeout(config: &Config) -> Duration {
        config.request_timeout.0.as_duration()
    }

    async fn issue(&self, order: &IssueRequest<'_, Self>) -> Result<IssuedCredential<Self>, Error> {
        let (name, permissions) = (order.name.fit(MAX_NAME_BYTES), &order.role.permissions);
        let ttl = whole_secs(order.lasts_for());
        let body = json!({ "name": name, "permissions": permissions.0, "ttl": ttl });
        let request = order.config.service(order.context).post("/tokens").json(&body);
        let made = request.max_response_bytes(16 << 10).send().await?;
        let token = ApiTokenResponse { permissions: permissions.clone(), ..made.read_json()? };
        Ok(IssuedCredential::new(token, made.read_json()?))
    }

    async fn revoke(
        &self,
        outside: &RevokeContext<'_, Self>,
        receipt: &ApiTokenReceipt,
    ) -> Result<RevokeOutcome, Error> {
        let request = outside.config.service(outside.context).delete("/tokens/:id");
        Ok(request.path_value("id", receipt.id.as_str()).send_revocation(&[404]).await?)
    }
}

impl UndoByName for ApiToken {
    async fn undo(
        &self,
        outside: &RevokeContext<'_, Self>,
        name: &CredentialName,
    ) -> Result<UndoOutcome, Error> {
        let service = outside.config.service(outside.context);
        let name = name.fit(MAX_NAME_BYTES);
        let list = service.get("/tokens").query("name", &name).send().await?;
        let tokens: Vec<TokenListItem> = list.read_json_field("tokens")?;
        let mut outcome = UndoOutcome::NotFound;
        // A service that ignored the filter would return other people's tokens.
        for token in tokens.iter().filter(|token| token.name == name) {
            let request = service.delete("/tokens/:id").path_value("id", &token.id);
            request.send_revocation(&[404]).await?;
            outcome = UndoOutcome::Removed;
        }
        Ok(outcome)
    }
}

impl Renew for ApiToken {
    async fn renew(
        &self,
        order: &RenewRequest<'_, Self>,
        receipt: &ApiTokenReceipt,
    ) -> Result<RenewedCredential<Self>, Error> {
        let request = order.config.service(order.context).post("/tokens/:id/renew");
        let request = request.path_value("id", receipt.id.as_str()).handle_statuses(&[404]);
        match request.json(&json!({ "ttl": whole_secs(order.lasts_for()) })).send().await?.status()
        {
            404 => Err(Error::user(
                "the token no longer exists in the token service; revoke the lease",
            )),
            _ => Ok(RenewedCredential::unchanged()),
        }
    }
}

/// Rounds down to whole seconds for the service, but never to 0, which it treats as one hour.
fn whole_secs(lasts_for: Duration) -> u64 {
    lasts_for.as_secs().max(1)
}
