//! The token: looked up, and one use of it counted durably, before anything is done with it.

use std::sync::Arc;

use strongroom_policy::Acl;
use strongroom_token::{Found, Spent};

use super::route::Routed;
use crate::error::Error;
use crate::refusals::Refusal;
use crate::unsealed::Unsealed;

/// Who asks.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) found: Found,
    /// What the token's policies allow, as they are now.
    pub(crate) acl: Arc<Acl>,
    /// This request was the token's last.
    pub(crate) last_use: bool,
}

/// The caller; none where no token is needed. An open path of an engine takes no notice of a token:
/// a login must not use one up. One of the server's own still gets its caller if a valid token was
/// sent, and an invalid one doesn't hurt there.
pub(crate) async fn authenticate(
    open: &Unsealed,
    routed: &Routed,
) -> Result<Option<Caller>, Error> {
    let engines = routed.mounted.as_ref().is_some_and(|mounted| mounted.engine().is_some());
    if routed.open_to_all && engines {
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
        return if routed.open_to_all { Ok(None) } else { Err(refused(open, routed)) };
    };
    // Where no token is needed none is used up: least of all the wrapping token that is looked up.
    let spent =
        if routed.open_to_all { Spent::More } else { open.stores.tokens.spend(&found).await? };
    let acl = Arc::new(open.stores.policies.acl(&found.token.policies));
    Ok(Some(Caller { found, acl, last_use: spent == Spent::Last }))
}

/// Logged, and answered with as much as clients may know.
fn refused(open: &Unsealed, routed: &Routed) -> Error {
    let sent = routed.request.token.as_ref().is_some_and(|token| !token.expose_secret().is_empty());
    let reason = if sent { "the token isn't valid here" } else { "no token was sent" };
    open.refusals.note(Refusal::InvalidToken, &routed.request.origin(None), reason);
    Error::no_token()
}
