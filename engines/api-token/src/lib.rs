//! Issues API tokens of a token service. Each token is valid as long as its lease.
//!
//! Paths: `config` (where the service is, and the key to it), `roles/:name` (what a token may do),
//! `creds/:name` (a token). Guide and API reference: `docs/src/engines/api-token.md`.
mod service;

use std::time::Duration;

use service::{SYSTEM, TokenService};
use strongroom_sdk::{
    BaseUrl, Blueprint, CommaList, Credential, CredentialName, Document, DurationSecs, Error,
    Identifier, IssueRequest, IssuedCredential, Lifetime, Receipt, Renew, RenewRequest, Renewable,
    ResponseData, RevokeContext, RevokeOutcome, Secret, UndoOutcome,
};

/// The blueprint of the engine, which a server or a plug-in process is started with.
pub fn blueprint() -> Blueprint {
    Blueprint::new("api-token", env!("CARGO_PKG_VERSION"))
        .help("Issues API tokens of a token service and revokes them when their leases end.")
        .document::<Config>()
        .document::<Role>()
        .credential(ApiToken::default())
}

/// Where the token service is, and the key to it.
#[derive(Document)]
#[document(path = "config", seal_wrap, validate = validate_config)]
struct Config {
    /// Base URL of the token service.
    #[field(required)]
    api_endpoint: BaseUrl,
    /// Key the engine presents to the token service. Never returned.
    #[field(required)]
    api_key: Secret<String>,
    /// How long one call to the token service may take, from 1s to 5m.
    #[field(default = "10s")]
    request_timeout: DurationSecs,
}

/// Limits the timeout. With zero every call would fail; a large one delays the clean-up of a token
/// whose creation got no response, which starts only after the timeout.
fn validate_config(config: &Config) -> Result<(), String> {
    if (1..=300).contains(&config.request_timeout.0.as_secs()) {
        Ok(())
    } else {
        Err("request_timeout must be from 1s to 5m".to_owned())
    }
}

/// What a token may do, and for how long.
#[derive(Document)]
#[document(path = "roles/{name}", validate = validate_role)]
struct Role {
    /// Permissions of the token.
    permissions: CommaList,
    /// Lifetime of a token until it is renewed.
    #[field(default = "3600")]
    ttl: DurationSecs,
    /// Lifetime beyond which a token can't be renewed; 0 leaves it to the mount.
    max_ttl: DurationSecs,
}

fn validate_role(role: &Role) -> Result<(), String> {
    let (ttl, max) = (role.ttl.0, role.max_ttl.0);
    if !max.is_zero() && ttl > max {
        return Err("ttl must not be longer than max_ttl".to_owned());
    }
    Ok(())
}

/// The response of `creds/:name`.
#[derive(ResponseData)]
struct ApiTokenResponse {
    /// The token.
    token: Secret<String>,
    /// What it may do.
    permissions: CommaList,
}

/// What is stored with the lease: the token's id. Only the client has the token itself.
#[derive(Receipt)]
struct ApiTokenReceipt {
    id: Identifier,
}

/// The credential type: tokens of the token service.
#[derive(Default)]
struct ApiToken {
    service: TokenService,
}

/// The maximum length of a token's name in the token service, in bytes.
const MAX_NAME_BYTES: usize = 128;

impl Credential for ApiToken {
    const KIND: &'static str = "token";
    const PATH: &'static str = "creds/{name}";
    const HELP: &'static str = "A new token with the permissions of the role.";
    const SYSTEM: &'static str = SYSTEM;

    type Config = Config;
    type Role = Role;
    type Response = ApiTokenResponse;
    type Receipt = ApiTokenReceipt;
    type Renewal = Renewable;

    fn lifetime(role: &Role) -> Lifetime {
        Lifetime { ttl: role.ttl.0, max_ttl: role.max_ttl.0 }
    }

    fn timeout(config: &Config) -> Duration {
        config.request_timeout.0.as_duration()
    }

    async fn issue(&self, order: &IssueRequest<'_, Self>) -> Result<IssuedCredential<Self>, Error> {
        let name = order.name.fit(MAX_NAME_BYTES);
        let permissions = &order.role.permissions;
        let lasts_for = order.lasts_for();
        let made = self.service.create_token(order.config, &name, permissions, lasts_for).await?;
        let answer = ApiTokenResponse { token: made.token, permissions: permissions.clone() };
        Ok(IssuedCredential::new(answer, ApiTokenReceipt { id: made.id }))
    }

    async fn revoke(
        &self,
        outside: &RevokeContext<'_, Self>,
        receipt: &ApiTokenReceipt,
    ) -> Result<RevokeOutcome, Error> {
        let there = self.service.delete_token(outside.config, &receipt.id).await?;
        Ok(if there { RevokeOutcome::Now } else { RevokeOutcome::AlreadyGone })
    }

    async fn undo(
        &self,
        outside: &RevokeContext<'_, Self>,
        name: &CredentialName,
    ) -> Result<UndoOutcome, Error> {
        let ids = self.service.find_by_name(outside.config, &name.fit(MAX_NAME_BYTES)).await?;
        for id in &ids {
            self.service.delete_token(outside.config, id).await?;
        }
        Ok(if ids.is_empty() { UndoOutcome::NotFound } else { UndoOutcome::Removed })
    }
}

impl Renew for ApiToken {
    async fn renew(
        &self,
        order: &RenewRequest<'_, Self>,
        receipt: &ApiTokenReceipt,
    ) -> Result<(), Error> {
        self.service.renew_token(order.config, &receipt.id, order.lasts_for()).await
    }
}
