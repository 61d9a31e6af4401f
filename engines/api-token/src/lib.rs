//! Issues API tokens of a token service, for as long as their leases last.
//!
//! Paths: `config` (where the service is, and the key to it), `roles/:name` (what a token may do),
//! `creds/:name` (a token). Guide and API reference: `docs/src/engines/api-token.md`.
#![deny(missing_docs)]

mod service;

use std::time::Duration;

use service::TokenService;
use strongroom_sdk::{
    Answer, BaseUrl, Blueprint, CommaList, Credential, CredentialName, Document, DurationSecs,
    Error, Extension, Identifier, Issued, Lifetime, Order, Outside, Receipt, Renew, Renewable,
    Revoked, Secret, Undone,
};

/// The engine.
pub fn blueprint() -> Blueprint {
    Blueprint::new("api-token", env!("CARGO_PKG_VERSION"))
        .help("Issues API tokens of a token service and revokes them when their leases end.")
        .document::<Config>()
        .document::<Role>()
        .credential(ApiToken::new())
}

/// Where the token service is, and the key to it.
#[derive(Document)]
#[document(path = "config", seal_wrap)]
struct Config {
    /// Base URL of the token service.
    #[field(required)]
    api_endpoint: BaseUrl,
    /// Key the engine presents to the token service. Never returned.
    #[field(required)]
    api_key: Secret<String>,
    /// How long one call to the token service may take.
    #[field(default = "10s")]
    request_timeout: DurationSecs,
}

/// What a token may do, and for how long.
#[derive(Document)]
#[document(path = "roles/{name}", validate = lifetimes_fit)]
struct Role {
    /// Permissions of the token.
    permissions: CommaList,
    /// Lifetime of a token until it is renewed.
    #[field(default = "3600")]
    ttl: DurationSecs,
    /// Lifetime beyond which a token can't be renewed; 0 leaves it to the mount.
    max_ttl: DurationSecs,
}

fn lifetimes_fit(role: &Role) -> Result<(), String> {
    let (ttl, max) = (role.ttl.0, role.max_ttl.0);
    if !max.is_zero() && ttl > max {
        return Err("ttl must not be longer than max_ttl".to_owned());
    }
    Ok(())
}

/// What the client gets.
#[derive(Answer)]
struct Token {
    /// The token.
    token: Secret<String>,
    /// What it may do.
    permissions: CommaList,
}

/// What is kept: the token's id. The token itself is known to the client alone.
#[derive(Receipt)]
struct TokenReceipt {
    id: Identifier,
}

/// Tokens of the token service.
struct ApiToken {
    service: TokenService,
}

impl ApiToken {
    fn new() -> Self {
        Self { service: TokenService::new() }
    }
}

/// The longest name the token service takes.
const MAX_NAME: usize = 128;

impl Credential for ApiToken {
    const KIND: &'static str = "token";
    const PATH: &'static str = "creds/{name}";
    const HELP: &'static str = "A new token with the permissions of the role.";

    type Config = Config;
    type Role = Role;
    type Answer = Token;
    type Receipt = TokenReceipt;
    type Renewal = Renewable;

    fn lifetime(role: &Role) -> Lifetime {
        Lifetime { ttl: role.ttl.0, max_ttl: role.max_ttl.0 }
    }

    fn timeout(config: &Config) -> Duration {
        config.request_timeout.0.as_duration()
    }

    async fn issue(&self, order: &Order<'_, Self>) -> Result<Issued<Self>, Error> {
        let name = order.name.fit(MAX_NAME);
        let permissions = &order.role.permissions;
        let lasts_for = order.lasts_for();
        let made = self.service.create(order.config, &name, permissions, lasts_for).await?;
        let answer = Token { token: made.token, permissions: permissions.clone() };
        Ok(Issued { answer, receipt: TokenReceipt { id: made.id } })
    }

    async fn revoke(
        &self,
        outside: &Outside<'_, Self>,
        receipt: &TokenReceipt,
    ) -> Result<Revoked, Error> {
        let there = self.service.delete(outside.config, receipt.id.as_str()).await?;
        Ok(if there { Revoked::Now } else { Revoked::AlreadyGone })
    }

    async fn undo(
        &self,
        outside: &Outside<'_, Self>,
        name: &CredentialName,
    ) -> Result<Undone, Error> {
        let ids = self.service.find(outside.config, &name.fit(MAX_NAME)).await?;
        for id in &ids {
            self.service.delete(outside.config, id).await?;
        }
        Ok(if ids.is_empty() { Undone::NothingFound } else { Undone::Removed })
    }
}

impl Renew for ApiToken {
    async fn renew(
        &self,
        order: &Extension<'_, Self>,
        receipt: &TokenReceipt,
    ) -> Result<(), Error> {
        self.service.renew(order.config, receipt.id.as_str(), order.lasts_for()).await
    }
}
