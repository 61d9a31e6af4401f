//! Stores new service tokens with their leases, both for `auth/token/create` and for logins.

use std::sync::Arc;

use serde_json::value::RawValue;
use strongroom_barrier::Batch;
use strongroom_lease::{LeaseKind, NewLease};
use strongroom_telemetry::names;
use strongroom_token::{IssuedToken, NewToken};
use strongroom_types::{LeaseId, Timestamp};

use crate::error::Error;
use crate::unsealed::UnsealedCore;

/// Creates a token and, if it expires, its lease, in one batch.
pub(crate) async fn create_service_token(
    core: &Arc<UnsealedCore>,
    new: NewToken,
) -> Result<IssuedToken, Error> {
    create_login_token(core, new, None).await
}

/// [`create_service_token`] for the token of a login. `login` is the serialized
/// [`LoginRecord`](crate::logins::record::LoginRecord), which is passed back to the auth method
/// when the token is renewed.
pub(crate) async fn create_login_token(
    core: &Arc<UnsealedCore>,
    new: NewToken,
    login: Option<Box<RawValue>>,
) -> Result<IssuedToken, Error> {
    let now = core.clock().now();
    let parent = new.parent.clone();
    if let Some(parent) = &parent {
        core.stores.tokens.check_depth(parent).await?;
    }
    let mut batch = Batch::new();
    let created = core.stores.tokens.create(&mut batch, new, now);
    if created.token.expires.is_some() {
        let id = LeaseId::parse(&created.token.lease_id(&created.key));
        let lease = NewLease {
            id: id.map_err(|error| Error::internal(error.to_string()))?,
            kind: LeaseKind::Token { key: created.key.as_str().to_owned(), login },
            token: None,
            issued: now,
            ttl: created.token.creation_ttl,
            max_ttl: created.token.explicit_max_ttl,
            renewable: created.token.renewable,
        };
        core.stores.leases.create(&mut batch, lease);
    }
    let due = created.token.expires.unwrap_or(Timestamp::FAR_FUTURE);
    match core.commit_and_notify(batch, due).await {
        Ok(()) => {}
        Err(error)
            if parent.is_some_and(|p| core.stores.tokens.is_gone_or_revoking(&p, &error)) =>
        {
            return Err(Error::invalid_token());
        }
        Err(error) if error.is_precondition() => {
            return Err(Error::invalid("cannot create a token with a duplicate ID"));
        }
        Err(error) => return Err(error.into()),
    }
    metrics::counter!(names::TOKEN_CREATED).increment(1);
    Ok(created)
}
