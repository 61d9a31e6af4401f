//! Issues API tokens of a token service, for as long as their leases last.
//!
//! Paths: `config` (where the service is, and the key to it), `roles/:name` (what a token may do),
//! `creds/:name` (a token). Guide and API reference: `docs/src/engines/api-token.md`.
#![deny(missing_docs)]

mod service;

use std::time::Duration;

use service::{SYSTEM, TokenService};
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
        .credential(ApiToken::default())
}

/// Where the token service is, and the key to it.
#[derive(Document)]
#[document(path = "config", seal_wrap, validate = patience_fits)]
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
fn patience_fits(config: &Config) -> Result<(), String> {
    if (1..=300).contains(&config.request_timeout.0.as_secs()) {
        Ok(())
    } else {
        Err("request_timeout must be from 1s to 5m".to_owned())
    }
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
#[derive(Default)]
struct ApiToken {
    service: TokenService,
}

/// The longest name the token service takes.
const MAX_NAME: usize = 128;

impl Credential for ApiToken {
    const KIND: &'static str = "token";
    const PATH: &'static str = "creds/{name}";
    const HELP: &'static str = "A new token with the permissions of the role.";
    const SYSTEM: &'static str = SYSTEM;

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
        Ok(Issued::new(answer, TokenReceipt { id: made.id }))
    }

    async fn revoke(
        &self,
        outside: &Outside<'_, Self>,
        receipt: &TokenReceipt,
    ) -> Result<Revoked, Error> {
        let there = self.service.delete(outside.config, &receipt.id).await?;
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
        self.service.renew(order.config, &receipt.id, order.lasts_for()).await
    }
}
