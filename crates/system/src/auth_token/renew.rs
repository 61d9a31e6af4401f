//! `renew`, `renew-self` and `renew-accessor`: renewing tokens.

use std::sync::Arc;
use strongroom_engine::LifetimeLimits;

use strongroom_barrier::Batch;
use strongroom_core::auth_response::auth_response;
use strongroom_core::error::Error;
use strongroom_core::leases::LeaseService;
use strongroom_core::logins::LoginService;
use strongroom_core::logins::past_max_ttl;
use strongroom_core::request::CoreResponse;
use strongroom_core::tokens::TokenService;
use strongroom_lease::LeaseKind;
use strongroom_schema::{DurationSecs, Input};
use strongroom_token::{StoredToken, Token};
use strongroom_types::{ErrorKind, LeaseId, Secret, Ttl};

use super::create::token_limits;
use super::{TokenOrAccessorInput, reload_caller_token, token_by_accessor};
use crate::endpoint::{ApiEndpoint, EndpointAccess, EndpointCall, VerbHandlers, handler};

pub(super) const ENDPOINTS: &[ApiEndpoint] = &[
    renew_endpoint("renew", "Renews a token.", handler!(renew_token, leases, tokens, logins)),
    renew_endpoint(
        "renew-self",
        "Renews the caller's token.",
        handler!(renew_self, leases, tokens, logins),
    ),
    renew_endpoint(
        "renew-accessor",
        "Renews the token with an accessor.",
        handler!(renew_accessor, leases, tokens, logins),
    ),
];

const fn renew_endpoint(
    pattern: &'static str,
    help: &'static str,
    write: Option<crate::endpoint::EndpointHandler>,
) -> ApiEndpoint {
    let handlers = VerbHandlers { read: None, list: None, write, delete: None };
    let access = EndpointAccess::Policy;
    ApiEndpoint {
        pattern,
        help,
        fields: &[RenewInput::FIELDS, TokenOrAccessorInput::FIELDS],
        handlers,
        access,
    }
}

#[derive(Input)]
struct RenewInput {
    /// The token.
    token: Option<Secret<String>>,
    /// The TTL to request; the last granted TTL if not given.
    increment: DurationSecs,
}

async fn renew_token(
    call: &EndpointCall,
    leases: &Arc<LeaseService>,
    tokens: &TokenService,
    logins: &LoginService,
) -> Result<CoreResponse, Error> {
    let input: RenewInput = call.parse_input_optional_token()?;
    let Some(id) = &input.token else { return Err(Error::invalid("missing token ID")) };
    let now = call.clock.now();
    let found = tokens.store.look_up(id.expose_secret(), now).await?;
    let found = found.ok_or_else(|| Error::invalid("token not found"))?;
    renew_with_increment(
        call,
        leases,
        tokens,
        logins,
        &found,
        id.expose_secret(),
        input.increment.0,
    )
    .await
}

async fn renew_self(
    call: &EndpointCall,
    leases: &Arc<LeaseService>,
    tokens: &TokenService,
    logins: &LoginService,
) -> Result<CoreResponse, Error> {
    let input: RenewInput = call.parse_input_optional_token()?;
    let found = reload_caller_token(call, tokens).await?;
    renew_with_increment(call, leases, tokens, logins, &found, call.token_id(), input.increment.0)
        .await
}

async fn renew_accessor(
    call: &EndpointCall,
    leases: &Arc<LeaseService>,
    tokens: &TokenService,
    logins: &LoginService,
) -> Result<CoreResponse, Error> {
    let input: RenewInput = call.parse_input_optional_token()?;
    let found = token_by_accessor(call, tokens).await?;
    renew_with_increment(call, leases, tokens, logins, &found, "", input.increment.0).await
}

/// Renews a token and its lease in one batch, which applies only if neither was changed
/// concurrently. If the token is from a login, its auth method renews the login first.
async fn renew_with_increment(
    call: &EndpointCall,
    leases: &Arc<LeaseService>,
    tokens: &TokenService,
    logins: &LoginService,
    found: &StoredToken,
    id: &str,
    increment: Ttl,
) -> Result<CoreResponse, Error> {
    let token = &*found.token;
    if token.is_batch() {
        return Err(Error::invalid("batch tokens cannot be renewed"));
    }
    if !token.renewable || token.expires.is_none() {
        return Err(Error::invalid("lease is not renewable"));
    }
    let lease_id = LeaseId::parse(&token.lease_id(&found.key))
        .map_err(|error| Error::internal("a token's lease id is invalid").caused_by(error))?;
    let lease = leases.store.get(&lease_id).await?;
    let lease = lease.ok_or_else(|| Error::invalid("lease not found"))?;
    let (granted, login) = match &lease.lease.kind {
        LeaseKind::Token { login: Some(login), .. } => {
            match logins.renew(login, &lease.lease, increment, call.connection.clone()).await? {
                Some((granted, renewed)) => (granted, Some(renewed)),
                // The auth method returned no auth block, so nothing is renewed.
                None => return Ok(CoreResponse::Nothing),
            }
        }
        _ => {
            let limits = current_limits(tokens, token).await?;
            // Without an increment, the last granted TTL is used again.
            let now = call.clock.now();
            let granted = limits.grant(increment, lease.lease.ttl, token.created, now);
            (granted.ok_or_else(past_max_ttl)?, None)
        }
    };
    let now = call.clock.now();
    let mut renewed = token.after_renewal(now, granted.expires);
    let mut renewed_lease = lease.lease.after_renewal(now, granted.ttl, granted.expires);
    if let Some(login) = login {
        login.apply_to(&mut renewed, &mut renewed_lease);
    }
    let mut batch = Batch::new();
    tokens.store.update(&mut batch, found, &renewed);
    leases.store.update(&mut batch, &lease, &renewed_lease);
    match leases.commit_and_notify(batch, granted.expires).await {
        Ok(()) => {}
        Err(error) if error.is_precondition() => {
            return Err(Error::with_message(
                ErrorKind::Unavailable,
                "the token was changed at the same time; try again",
            ));
        }
        Err(error) => return Err(error.into()),
    }
    auth_response(id, &renewed, granted.ttl.as_secs(), granted.warnings)
}

/// The limits that apply to a renewal. If the token was created by a role, the role's current
/// settings apply, capped by those requested when the token was created.
async fn current_limits(tokens: &TokenService, token: &Token) -> Result<LifetimeLimits, Error> {
    let (mut period, mut explicit_max) = (token.period, token.explicit_max_ttl);
    if let Some(name) = &token.role {
        let role = tokens.roles.get(name).await?;
        let Some((role, _)) = role else {
            return Err(Error::internal(format!(
                "failed to renew entry: original token role {name:?} could not be found, not renewing"
            )));
        };
        period = period.nonzero_or(role.period).capped_by(role.period);
        explicit_max =
            explicit_max.nonzero_or(role.explicit_max_ttl).capped_by(role.explicit_max_ttl);
    }
    Ok(token_limits(tokens.lifetimes(), period, explicit_max))
}
