//! `renew` in all its forms.

use strongroom_barrier::Batch;
use strongroom_lease::Kind;
use strongroom_sdk::{DurationSecs, Input};
use strongroom_token::{Found, Token};
use strongroom_types::{ErrorKind, LeaseId, Secret, Ttl};

use super::lifetime::{Life, Terms};
use super::{NamedInput, auth_answer, by_accessor, callers_token};
use crate::endpoint::{Access, Call, Endpoint, Handlers, handler};
use crate::error::Error;
use crate::logins::past_the_max;
use crate::request::Answer;

pub(super) const ENDPOINTS: &[Endpoint] = &[
    endpoint("renew", "Extends a token.", handler!(renew)),
    endpoint("renew-self", "Extends the caller's token.", handler!(renew_self)),
    endpoint("renew-accessor", "Extends the token of an accessor.", handler!(renew_accessor)),
];

const fn endpoint(
    pattern: &'static str,
    help: &'static str,
    write: Option<crate::endpoint::Handler>,
) -> Endpoint {
    let handlers = Handlers { read: None, list: None, write, delete: None };
    let access = Access::Policy;
    Endpoint { pattern, help, fields: &[RenewInput::FIELDS, NamedInput::FIELDS], handlers, access }
}

#[derive(Input)]
struct RenewInput {
    /// The token.
    token: Option<Secret<String>>,
    /// How long it should live from now; what it was given last if not given.
    increment: DurationSecs,
}

async fn renew(call: &Call) -> Result<Answer, Error> {
    let input: RenewInput = call.input_with_token()?;
    let Some(id) = &input.token else { return Err(Error::invalid("missing token ID")) };
    let now = call.open.clock().now();
    let found = call.open.stores.tokens.look_up(id.expose_secret(), now).await?;
    let found = found.ok_or_else(|| Error::invalid("token not found"))?;
    extend(call, &found, id.expose_secret(), input.increment.0).await
}

async fn renew_self(call: &Call) -> Result<Answer, Error> {
    let input: RenewInput = call.input_with_token()?;
    let found = callers_token(call).await?;
    extend(call, &found, call.token_id(), input.increment.0).await
}

async fn renew_accessor(call: &Call) -> Result<Answer, Error> {
    let input: RenewInput = call.input_with_token()?;
    let found = by_accessor(call).await?;
    extend(call, &found, "", input.increment.0).await
}

/// Token and lease move together, on condition that nobody changed either meanwhile.
async fn extend(call: &Call, found: &Found, id: &str, increment: Ttl) -> Result<Answer, Error> {
    let open = &call.open;
    let token = &*found.token;
    if token.is_batch() {
        return Err(Error::invalid("batch tokens cannot be renewed"));
    }
    if !token.renewable || token.expires.is_none() {
        return Err(Error::invalid("lease is not renewable"));
    }
    let lease_id = LeaseId::parse(&token.lease_id(&found.key))
        .map_err(|error| Error::internal(error.to_string()))?;
    let lease = open.stores.leases.get(&lease_id).await?;
    let lease = lease.ok_or_else(|| Error::invalid("lease not found"))?;
    let (Life { granted, expires }, login) = match &lease.lease.kind {
        Kind::Token { login: Some(login), .. } => {
            match open.renew_login(login, &lease.lease, increment).await? {
                Some((granted, renewed)) => {
                    let expires = open.clock().now().plus(granted.ttl.as_duration());
                    (Life { granted, expires }, Some(renewed))
                }
                // The method knows nobody of this name any more, and says no more than that.
                None => return Ok(Answer::Nothing),
            }
        }
        _ => {
            let terms = terms(call, token).await?;
            // Who asks for nothing gets what was given last.
            let now = open.clock().now();
            let life = terms.life(increment, lease.lease.ttl, token.created, now);
            (life.ok_or_else(past_the_max)?, None)
        }
    };
    let now = open.clock().now();
    let mut renewed = token.renewed(now, expires);
    let mut moved = lease.lease.renewed(now, granted.ttl);
    moved.expires = expires;
    if let Some(login) = login {
        login.carry_into(&mut renewed, &mut moved);
    }
    let mut batch = Batch::new();
    open.stores.tokens.replace(&mut batch, found, &renewed);
    open.stores.leases.replace(&mut batch, &lease, &moved);
    match open.commit_due(batch, expires).await {
        Ok(()) => {}
        Err(error) if error.is_precondition() => {
            return Err(Error::plain(
                ErrorKind::Unavailable,
                "the token was changed at the same time; try again",
            ));
        }
        Err(error) => return Err(error.into()),
    }
    auth_answer(id, &renewed, granted.ttl.as_secs(), granted.warnings)
}

/// The bounds that hold now. A role's are those it has today, and what was asked for when the token
/// was made is never exceeded by them.
async fn terms(call: &Call, token: &Token) -> Result<Terms, Error> {
    let (mut period, mut explicit_max) = (token.period, token.explicit_max_ttl);
    if let Some(name) = &token.role {
        let role = call.open.stores.roles.get(name).await?;
        let Some((role, _)) = role else {
            return Err(Error::internal(format!(
                "failed to renew entry: original token role {name:?} could not be found, not renewing"
            )));
        };
        period = period.or(role.period).capped_by(role.period);
        explicit_max = explicit_max.or(role.explicit_max_ttl).capped_by(role.explicit_max_ttl);
    }
    Ok(Terms { mount: call.open.token_lifetimes(), period, explicit_max })
}
