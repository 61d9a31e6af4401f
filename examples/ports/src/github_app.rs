//! Issues tokens of a GitHub App's installation.
//!
//! Paths: `config` (the app, its private key and the installation), `permissionset/:name` (what tokens
//! may do), `permissionsets` (their list), `token` (a token with the parameters of the request) and
//! `token/:name` (a token with a permission set).
//!
//! GitHub gives a token no name and lists none. So a token whose response is lost can't be found, and
//! is declared with [`EndsAlone`]: GitHub ends it after an hour. It is revoked by a request that
//! authenticates with the token itself, which is why the receipt contains it, [`Sealed`].
//!
//! The app authenticates itself with a token that it signs with its private key.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::json;
use strongroom_sdk::http::{HttpService, check_rs256_key, sign_rs256_jwt};
use strongroom_sdk::*;

/// The blueprint of the engine.
pub fn blueprint() -> Blueprint {
    Blueprint::new("github-app", env!("CARGO_PKG_VERSION"))
        .help("Issues tokens of a GitHub App's installation, and revokes them.")
        .outside_system("GitHub")
        .document::<Config>()
        .document::<PermissionSet>()
        .list("permissionsets/{name}", "Lists the permission sets.", list_permission_sets)
        .credential(InstallationToken)
        .credential(PermissionSetToken)
}

/// The GitHub App and its installation.
#[derive(Document)]
#[document(path = "config", seal_wrap)]
struct Config {
    /// Id of the app.
    #[field(required)]
    app_id: u64,
    /// Id of the installation that tokens are issued for.
    #[field(required)]
    installation_id: u64,
    /// Private key of the app in PEM. Never shown.
    #[field(required, check = check_rs256_key)]
    private_key: Secret<String>,
    /// Base URL of GitHub's API.
    #[field(default = "https://api.github.com")]
    base_url: BaseUrl,
}

/// What tokens may do.
#[derive(Document)]
#[document(path = "permissionset/{name}")]
struct PermissionSet {
    /// Names of repositories; empty for those of `repository_ids`, or all of the installation.
    #[field(listed)]
    repositories: CommaList,
    /// Ids of repositories.
    repository_ids: IntegerList,
    /// Permissions, such as `contents=read`; empty for all of the installation.
    permissions: KeyValues,
}

/// Clients of the engine in Go list the sets at this path.
async fn list_permission_sets(context: Context, listing: Listing) -> Result<Response, Error> {
    context.documents().list_response::<PermissionSet>(&[], &listing).await
}

/// What the client wants a token for.
#[derive(Input)]
struct TokenParameters {
    /// Names of repositories; empty for those of `repository_ids`, or all of the installation.
    repositories: CommaList,
    /// Ids of repositories.
    repository_ids: IntegerList,
    /// Permissions, such as `contents=read`; empty for all of the installation.
    permissions: KeyValues,
}

/// The response to a client.
#[derive(ResponseData)]
struct TokenResponse {
    token: Secret<String>,
    expires_at: Timestamp,
    installation_id: u64,
    permissions: KeyValues,
    repository_selection: String,
}

/// What is stored with the lease. GitHub revokes a token only if it receives the token itself.
#[derive(Receipt)]
struct TokenReceipt {
    token: Sealed,
}

/// What GitHub responds when it issues a token.
#[derive(Deserialize)]
struct IssuedToken {
    token: Secret<String>,
    expires_at: String,
    #[serde(default)]
    permissions: BTreeMap<String, String>,
    #[serde(default)]
    repository_selection: String,
}

/// The scope of a token, as GitHub receives it. What is left out isn't restricted.
#[derive(Serialize)]
struct TokenScope<'a> {
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    repositories: &'a [String],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    repository_ids: &'a [i64],
    #[serde(skip_serializing_if = "Option::is_none")]
    permissions: Option<&'a BTreeMap<String, String>>,
}

impl<'a> TokenScope<'a> {
    fn new(names: &'a CommaList, ids: &'a IntegerList, permissions: &'a KeyValues) -> Self {
        Self {
            repositories: &names.0,
            repository_ids: &ids.0,
            permissions: Some(&permissions.0).filter(|permissions| !permissions.is_empty()),
        }
    }
}

/// How long a JWT is valid; GitHub accepts ten minutes at most. It begins a minute in the past,
/// because GitHub's clock may be behind.
const JWT_LIFE_SECS: i64 = 540;
const JWT_BACKDATED_SECS: i64 = 60;

/// What both kinds of credentials do.
impl Config {
    fn service<'a>(&self, context: &'a Context) -> HttpService<'a> {
        let service = context.http(&self.base_url);
        service.header("accept", "application/vnd.github+json")
    }

    /// The token with which the app authenticates itself.
    fn app_jwt(&self, context: &Context) -> Result<Secret<String>, Error> {
        let now = context.now().as_secs();
        let claims = json!({
            "iat": now - JWT_BACKDATED_SECS,
            "exp": now + JWT_LIFE_SECS,
            "iss": self.app_id.to_string(),
        });
        sign_rs256_jwt(&self.private_key, &claims)
    }

    async fn issue_token<C>(
        &self,
        context: &Context,
        scope: TokenScope<'_>,
    ) -> Result<IssuedCredential<C>, Error>
    where
        C: Credential<Response = TokenResponse, Receipt = TokenReceipt>,
    {
        let begun = context.now();
        let service = self.service(context).bearer_token(&self.app_jwt(context)?);
        let request = service.post("/app/installations/:id/access_tokens");
        let request = request.path_value("id", &self.installation_id.to_string());
        let response = request.json(&scope).send().await?;
        let issued: IssuedToken = response.read_json()?;
        let expires_at = Timestamp::parse_rfc3339(&issued.expires_at);
        let expires_at = expires_at.ok_or_else(|| response.unreadable())?;
        let receipt = TokenReceipt { token: Sealed::copy_of(&issued.token) };
        let answer = TokenResponse {
            token: issued.token,
            expires_at,
            installation_id: self.installation_id,
            permissions: KeyValues(issued.permissions),
            repository_selection: issued.repository_selection,
        };
        let lives = Ttl::from_secs(expires_at.since(begun).as_secs().max(1));
        Ok(IssuedCredential::new(answer, receipt).ends_within(lives))
    }

    async fn revoke_token(
        &self,
        context: &Context,
        receipt: &TokenReceipt,
    ) -> Result<RevokeOutcome, Error> {
        let service = self.service(context).bearer_token(receipt.token.secret());
        // The request authenticates with the token that it ends: 401 says that it ended before.
        Ok(service.delete("/installation/token").send_revocation(&[401]).await?)
    }
}

/// GitHub ends a token after an hour.
const LONGEST_LIFE: Ttl = Ttl::from_secs(3600);

/// Tokens with the parameters of the request.
struct InstallationToken;

impl Credential for InstallationToken {
    const KIND: &'static str = "installation-token";
    const PATH: &'static str = "token";
    const HELP: &'static str = "Issues a token of the installation.";
    const ISSUED_BY: IssueOperation = IssueOperation::ReadOrWrite;
    type Config = Config;
    type Role = ();
    type Input = TokenParameters;
    type Response = TokenResponse;
    type Receipt = TokenReceipt;
    type Renewal = NotRenewable;
    type Undo = EndsAlone;

    fn lifetime((): &()) -> Lifetime {
        Lifetime { ttl: LONGEST_LIFE, ..Lifetime::default() }
    }

    async fn issue(&self, order: &IssueRequest<'_, Self>) -> Result<IssuedCredential<Self>, Error> {
        let TokenParameters { repositories, repository_ids, permissions } = order.input;
        let scope = TokenScope::new(repositories, repository_ids, permissions);
        order.config.issue_token(order.context, scope).await
    }

    async fn revoke(
        &self,
        outside: &RevokeContext<'_, Self>,
        receipt: &TokenReceipt,
    ) -> Result<RevokeOutcome, Error> {
        outside.config.revoke_token(outside.context, receipt).await
    }
}

impl EndsByItself for InstallationToken {
    fn longest_life(_: &Config, (): &()) -> Ttl {
        LONGEST_LIFE
    }
}

/// Tokens with a permission set.
struct PermissionSetToken;

impl Credential for PermissionSetToken {
    const KIND: &'static str = "permission-set-token";
    const PATH: &'static str = "token/{name}";
    const HELP: &'static str = "Issues a token with a permission set.";
    const ISSUED_BY: IssueOperation = IssueOperation::ReadOrWrite;
    type Config = Config;
    type Role = PermissionSet;
    type Input = ();
    type Response = TokenResponse;
    type Receipt = TokenReceipt;
    type Renewal = NotRenewable;
    type Undo = EndsAlone;

    fn lifetime(_: &PermissionSet) -> Lifetime {
        Lifetime { ttl: LONGEST_LIFE, ..Lifetime::default() }
    }

    async fn issue(&self, order: &IssueRequest<'_, Self>) -> Result<IssuedCredential<Self>, Error> {
        let PermissionSet { repositories, repository_ids, permissions } = order.role;
        let scope = TokenScope::new(repositories, repository_ids, permissions);
        order.config.issue_token(order.context, scope).await
    }

    async fn revoke(
        &self,
        outside: &RevokeContext<'_, Self>,
        receipt: &TokenReceipt,
    ) -> Result<RevokeOutcome, Error> {
        outside.config.revoke_token(outside.context, receipt).await
    }
}

impl EndsByItself for PermissionSetToken {
    fn longest_life(_: &Config, _: &PermissionSet) -> Ttl {
        LONGEST_LIFE
    }
}
