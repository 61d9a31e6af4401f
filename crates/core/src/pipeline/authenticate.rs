//! Looks up the request's token and durably counts one use of it before anything else is done with
//! it.

use std::sync::Arc;

use strongroom_token::UseOutcome;

use crate::error::Error;
use crate::path_access::TokenRequirement;
use crate::refusal_log::RefusalKind;
use crate::stages::{AuthenticatedCaller, RoutedRequest};
use crate::unsealed::UnsealedCore;

/// Returns the caller, or `None` if the path requires no token and none was found valid.
/// Unauthenticated paths of engines ignore a token, so that a login does not consume a use. On the
/// server's own unauthenticated paths a valid token identifies the caller, and an invalid one is
/// ignored.
pub async fn authenticate(
    core: &UnsealedCore,
    routed: &RoutedRequest,
) -> Result<Option<AuthenticatedCaller>, Error> {
    if routed.access.token == TokenRequirement::Ignored {
        return Ok(None);
    }
    let stored_token = match &routed.request.token {
        Some(token) if !token.expose_secret().is_empty() => {
            core.tokens.store.look_up(token.expose_secret(), core.clock().now()).await?
        }
        _ => None,
    };
    // Bound CIDRs are checked before a use is counted: a client outside them must not be able to
    // use up the token.
    let address = routed.request.remote_address();
    let stored_token = stored_token.filter(|found| found.token.may_be_used_from(address));
    let Some(stored_token) = stored_token else {
        return if routed.is_unauthenticated() {
            Ok(None)
        } else {
            Err(log_invalid_token(core, routed))
        };
    };
    // Unauthenticated paths never consume a use, for example that of a wrapping token at
    // `sys/wrapping/lookup`.
    let use_outcome = if routed.is_unauthenticated() {
        UseOutcome::Remaining
    } else {
        core.tokens.store.count_use(&stored_token).await?
    };
    let acl = Arc::new(core.policies.acl_for(&stored_token.token.policies));
    Ok(Some(AuthenticatedCaller {
        stored_token,
        acl,
        last_use: use_outcome == UseOutcome::LastUse,
    }))
}

/// Logs the reason of the refusal, and returns an error that does not contain it.
fn log_invalid_token(core: &UnsealedCore, routed: &RoutedRequest) -> Error {
    let sent = routed.request.token.as_ref().is_some_and(|token| !token.expose_secret().is_empty());
    routed.record_in_span(None);
    let reason = if sent { "the token isn't valid here" } else { "no token was sent" };
    core.refusal_log.log_refusal(
        RefusalKind::InvalidToken,
        &routed.request.request_origin(None),
        reason,
    );
    Error::invalid_token()
}
