//! Time-limited API tokens of a service: `config`, `roles/:name` and `creds/:name`. A port of a small
//! engine in Go; `docs/src/howto/port-a-go-engine.md` explains it.

use serde::Deserialize;
use serde_json::json;
use strongroom_sdk::http::{HttpService, plain_identifier};
use strongroom_sdk::*;

/// The address of the service, and the key for it.
#[derive(Document)]
#[document(path = "config", seal_wrap)]
struct Config {
    /// API endpoint URL.
    #[field(required)]
    api_endpoint: BaseUrl,
    /// API key for authentication. Never shown.
    #[field(required)]
    api_key: Secret<String>,
}

/// What a token may do, and for how long.
#[derive(Document)]
#[document(path = "roles/{name}")]
struct Role {
    /// List of permissions.
    permissions: CommaList,
    /// Lifetime of a token.
    #[field(default = "1h")]
    ttl: DurationSecs,
}

/// What the client receives.
#[derive(Deserialize, ResponseData)]
struct Token {
    token: Secret<String>,
}

/// What is stored with the lease, and what the service says of a token in its list.
#[derive(Deserialize, Receipt)]
struct TokenInfo {
    #[serde(deserialize_with = "plain_identifier")]
    id: Identifier,
    #[serde(deserialize_with = "plain_identifier")]
    name: Identifier,
}

impl Config {
    fn service<'a>(&self, context: &'a Context) -> HttpService<'a> {
        context.http(&self.api_endpoint).bearer_token(&self.api_key)
    }
}

struct Tokens;

type Outside<'a> = RevokeContext<'a, Tokens>;

impl Credential for Tokens {
    const KIND: &'static str = "token";
    const PATH: &'static str = "creds/{name}";
    const HELP: &'static str = "Issues a token with the permissions of the role.";
    type Config = Config;
    type Role = Role;
    type Input = ();
    type Response = Token;
    type Receipt = TokenInfo;
    type Renewal = NotRenewable;
    type Undo = ByName;

    fn lifetime(role: &Role) -> Lifetime {
        Lifetime { ttl: role.ttl.0, ..Lifetime::default() }
    }

    async fn issue(&self, order: &IssueRequest<'_, Self>) -> Result<IssuedCredential<Self>, Error> {
        let body = json!({ "name": order.name.fit(64), "permissions": order.role.permissions.0 });
        let request = order.config.service(order.context).post("/tokens").json(&body);
        let made = request.send().await?;
        Ok(IssuedCredential::new(made.read_json()?, made.read_json()?))
    }

    async fn revoke(&self, to: &Outside<'_>, kept: &TokenInfo) -> Result<RevokeOutcome, Error> {
        let request = to.config.service(to.context).delete("/tokens/:id");
        Ok(request.path_value("id", kept.id.as_str()).send_revocation(&[404]).await?)
    }
}

impl UndoByName for Tokens {
    async fn undo(&self, to: &Outside<'_>, name: &CredentialName) -> Result<UndoOutcome, Error> {
        let (name, mut outcome) = (name.fit(64), UndoOutcome::NotFound);
        let list = to.config.service(to.context).get("/tokens").query("name", &name);
        let tokens: Vec<TokenInfo> = list.send().await?.read_json_field("tokens")?;
        for token in tokens.iter().filter(|token| token.name.as_str() == name) {
            self.revoke(to, token).await?;
            outcome = UndoOutcome::Removed;
        }
        Ok(outcome)
    }
}

/// The blueprint of the engine.
pub fn blueprint() -> Blueprint {
    let engine = Blueprint::new("tokens", env!("CARGO_PKG_VERSION")).help("Custom API tokens.");
    engine.document::<Config>().document::<Role>().credential(Tokens)
}
