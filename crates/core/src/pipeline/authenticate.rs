//! The token: looked up, and one use of it counted durably, before anything is done with it.

use std::sync::Arc;

use strongroom_policy::Acl;
use strongroom_token::{StoredToken, UseOutcome};

use super::route::RoutedRequest;
use crate::error::Error;
use crate::refusal_log::RefusalKind;
use crate::unsealed::UnsealedCore;

/// Who asks.
#[derive(Clone, Debug)]
pub(crate) struct AuthenticatedCaller {
    pub(crate) stored_token: StoredToken,
    /// What the token's policies allow, as they are now.
    pub(crate) acl: Arc<Acl>,
    /// This request was the token's last.
    pub(crate) last_use: bool,
}

/// The caller; none where no token is needed. An open path of an engine takes no notice of a token:
/// a login must not use one up. One of the server's own still gets its caller if a valid token was
/// sent, and an invalid one doesn't hurt there.
pub(crate) async fn authenticate(
    open: &UnsealedCore,
    routed: &RoutedRequest,
) -> Result<Option<AuthenticatedCaller>, Error> {
    let engines = routed.mounted.as_ref().is_some_and(|mounted| mounted.engine_handle().is_some());
    if routed.unauthenticated && engines {
        return Ok(None);
    }
    let found = match &routed.request.token {
        Some(token) if !token.expose_secret().is_empty() => {
            open.stores.tokens.look_up(token.expose_secret(), open.clock().now()).await?
        }
        _ => None,
    };
    // Before a use is counted: who has a token and is elsewhere must not use it up.
    let address = routed.request.connection.map(|connection| connection.address);
    let found = found.filter(|found| found.token.may_be_used_from(address));
    let Some(found) = found else {
        return if routed.unauthenticated {
            Ok(None)
        } else {
            Err(log_invalid_token(open, routed))
        };
    };
    // Where no token is needed none is used up: least of all the wrapping token that is looked up.
    let spent = if routed.unauthenticated {
        UseOutcome::Remaining
    } else {
        open.stores.tokens.count_use(&found).await?
    };
    let acl = Arc::new(open.stores.policies.acl_for(&found.token.policies));
    Ok(Some(AuthenticatedCaller {
        stored_token: found,
        acl,
        last_use: spent == UseOutcome::LastUse,
    }))
}

/// Logged, and answered with as much as clients may know.
fn log_invalid_token(open: &UnsealedCore, routed: &RoutedRequest) -> Error {
    let sent = routed.request.token.as_ref().is_some_and(|token| !token.expose_secret().is_empty());
    let reason = if sent { "the token isn't valid here" } else { "no token was sent" };
    open.refusal_log.log_refusal(
        RefusalKind::InvalidToken,
        &routed.request.request_origin(None),
        reason,
    );
    Error::invalid_token()
}
