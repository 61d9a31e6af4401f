//! Issues API tokens of a token service, for as long as their leases last.
//!
//! Paths: `config` (where the service is, and the key to it), `roles/:name` (what a token may do),
//! `creds/:name` (a token). Guide and API reference: `docs/src/engines/api-token.md`.
#![deny(missing_docs)]

mod service;

use std::time::Duration;

use service::{SYSTEM, TokenService};
use strongroom_sdk::{
    BaseUrl, Blueprint, CommaList, Credential, CredentialName, Document, DurationSecs, Error,
    Identifier, IssueRequest, IssuedCredential, Lifetime, Receipt, Renew, RenewRequest, Renewable,
    ResponseData, RevokeContext, RevokeOutcome, Secret, UndoOutcome,
};

/// The engine.
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

/// No time at all would let every call fail; a token whose making got no answer waits this long, and
/// longer, until it is looked for and deleted.
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

/// What the client gets.
#[derive(ResponseData)]
struct ApiTokenResponse {
    /// The token.
    token: Secret<String>,
    /// What it may do.
    permissions: CommaList,
}

/// What is kept: the token's id. The token itself is known to the client alone.
#[derive(Receipt)]
struct ApiTokenReceipt {
    id: Identifier,
}

/// Tokens of the token service.
#[derive(Default)]
struct ApiToken {
    service: TokenService,
}

/// The longest name the token service takes.
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
