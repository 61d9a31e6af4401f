//! Which wrapping token a request names, and what it gives: once, whoever asks how often.

use std::sync::Arc;

use strongroom_barrier::Batch;
use strongroom_token::{Error as TokenError, StoredToken};
use strongroom_types::{ErrorKind, Fields, RequestId, Secret};

use super::wrapped_response::{WrapMetadata, WrappedResponse};
use super::{NewWrapping, wrap_info_response};
use crate::endpoint::{data_response_with_warnings, not_found};
use crate::error::Error;
use crate::pipeline::AuthenticatedCaller;
use crate::pipeline::route::RoutedRequest;
use crate::refusal_log::RefusalKind;
use crate::request::{CoreResponse, Verb};
use crate::unsealed::UnsealedCore;

/// Paths, below `sys/`, of requests about a wrapping token.
const WRAPPING_TOKEN_PATHS: [&str; 3] = ["wrapping/lookup", "wrapping/unwrap", "wrapping/rewrap"];

/// For a token that is none, isn't a wrapping token, is used or has expired: which of these it was
/// is nobody's business, but that it isn't valid must be heard.
fn invalid_wrapping_token() -> Error {
    Error::invalid("wrapping token is not valid or does not exist")
}

/// Refuses a request about a wrapping token that isn't one, before anything is spent for it. The
/// other steps judge again: this is what clients hear first, and no guard.
pub(crate) async fn validate_wrapping_token(
    open: &UnsealedCore,
    routed: &RoutedRequest,
) -> Result<(), Error> {
    let below = routed.relative_path.trim_end_matches('/');
    let is_system = routed.mounted.as_ref().is_some_and(|mounted| mounted.is_system());
    if !is_system || !WRAPPING_TOKEN_PATHS.contains(&below) || routed.request.verb == Verb::Help {
        return Ok(());
    }
    let looked_up = async {
        let named = token_in_request(&routed.request.fields, routed.request.token.as_ref())?;
        lookup_wrapping_token(open, &named).await
    };
    let Err(error) = Box::pin(looked_up).await else { return Ok(()) };
    if matches!(error.kind(), ErrorKind::Invalid | ErrorKind::Denied) {
        // A wrapping token that was used by somebody else is found out here.
        let origin = routed.request.request_origin(None);
        open.refusal_log.log_refusal(RefusalKind::InvalidToken, &origin, &error.to_string());
    }
    Err(error)
}

/// Whether a request is spent on the wrapping token it is made with: then that token's being used
/// up meanwhile is heard as of any wrapping token.
pub(crate) fn explain_concurrent_use(routed: &RoutedRequest, error: Error) -> Error {
    let is_system = routed.mounted.as_ref().is_some_and(|mounted| mounted.is_system());
    let own = !routed.request.fields.contains("token");
    if is_system
        && own
        && routed.relative_path == "wrapping/unwrap"
        && error.kind() == ErrorKind::Denied
    {
        return invalid_wrapping_token();
    }
    error
}

/// The token in the body, else the one the request is made with.
pub(crate) fn token_in_request(
    fields: &Fields,
    own: Option<&Secret<String>>,
) -> Result<Secret<String>, Error> {
    let refused = |what: &str| {
        let text = format!("error validating wrapping token: {what}");
        Error::with_message(ErrorKind::Denied, text)
    };
    match fields.get("token").filter(|raw| raw.get() != "null") {
        Some(raw) => match serde_json::from_str::<String>(raw.get()) {
            Ok(text) if text.is_empty() => Err(refused("empty token in request body")),
            Ok(text) => Ok(Secret::new(text)),
            Err(_) => Err(refused("could not decode token in request body")),
        },
        None => match own.map(Secret::expose_secret).filter(|text| !text.is_empty()) {
            Some(text) => Ok(Secret::from_text(text)),
            None => Err(refused("token is empty")),
        },
    }
}

/// A wrapping token that can be used, and where what it wraps came from. Costs it nothing.
pub(crate) async fn lookup_wrapping_token(
    open: &UnsealedCore,
    id: &Secret<String>,
) -> Result<(StoredToken, WrapMetadata), Error> {
    let found = open.stores.tokens.look_up(id.expose_secret(), open.clock().now()).await?;
    let found =
        found.filter(|found| found.token.is_wrapping()).ok_or_else(invalid_wrapping_token)?;
    let info = WrapMetadata::read(&open.stores.cubbyholes, &found.key).await?;
    Ok((found, info.ok_or_else(invalid_wrapping_token)?))
}

/// What a wrapping token wraps, for its one use.
pub(crate) async fn unwrap_response(
    open: &Arc<UnsealedCore>,
    id: &Secret<String>,
    caller: &AuthenticatedCaller,
) -> Result<CoreResponse, Error> {
    if open.stores.tokens.key_of(id.expose_secret()) == caller.stored_token.key {
        return consume_own(open, caller).await?.into_response();
    }
    let (found, _) = lookup_wrapping_token(open, id).await?;
    let kept = WrappedResponse::read(&open.stores.cubbyholes, &found.key)
        .await?
        .ok_or_else(invalid_wrapping_token)?;
    consume(open, found, Batch::new()).await?;
    kept.into_response()
}

/// The same wrapped answer under another wrapping token. In one batch: either token works, and
/// never both.
pub(crate) async fn rewrap_response(
    open: &Arc<UnsealedCore>,
    id: &Secret<String>,
    caller: &AuthenticatedCaller,
) -> Result<CoreResponse, Error> {
    let (found, info) = lookup_wrapping_token(open, id).await?;
    let kept = WrappedResponse::read(&open.stores.cubbyholes, &found.key)
        .await?
        .ok_or_else(invalid_wrapping_token)?;
    let new = NewWrapping {
        ttl: info.creation_ttl,
        token_path: "sys/wrapping/rewrap",
        creation_path: &info.creation_path,
        display_name: &caller.stored_token.token.display_name,
    };
    let mut batch = Batch::new();
    let made = new.add_to_batch(open, &mut batch, &kept)?;
    let expires = made.expires_at();
    consume(open, found, batch).await?;
    open.expiration.notify_due(expires);
    Ok(wrap_info_response(made.into_wrap_info(), Vec::new()))
}

/// `cubbyhole/response`, from where old clients read what their token wraps. The answer is one text.
pub(crate) async fn read_cubbyhole_response(
    open: &UnsealedCore,
    caller: &AuthenticatedCaller,
    path: &str,
    id: &RequestId,
) -> Result<CoreResponse, Error> {
    if path != "response" {
        return Err(not_found());
    }
    let kept = consume_own(open, caller).await?;
    let mut fields = Fields::new();
    fields.set("response", &kept.to_json(id)?);
    let warning = "Reading cubbyhole/response is deprecated: use sys/wrapping/unwrap instead";
    Ok(data_response_with_warnings(fields.to_object(), vec![warning.to_owned()]))
}

/// What the caller's own token wraps. Its use was counted when the request came in, and of all who
/// came with it one was told that it was the last.
async fn consume_own(
    open: &UnsealedCore,
    caller: &AuthenticatedCaller,
) -> Result<WrappedResponse, Error> {
    if !caller.last_use || !caller.stored_token.token.is_wrapping() {
        return Err(invalid_wrapping_token());
    }
    let kept = WrappedResponse::read(&open.stores.cubbyholes, &caller.stored_token.key).await?;
    kept.ok_or_else(invalid_wrapping_token)
}

/// Counts the use of a wrapping token that isn't the caller's, and orders its end.
async fn consume(open: &Arc<UnsealedCore>, found: StoredToken, batch: Batch) -> Result<(), Error> {
    let work = open.clone();
    open.run_detached(async move {
        match work.stores.tokens.consume_last_use(&found, batch).await {
            Ok(()) => {
                work.token_revoker.enqueue(&found.key);
                Ok(())
            }
            // Whoever was faster may still be reading what the walk deletes.
            Err(TokenError::Revoked) => Err(invalid_wrapping_token()),
            // In doubt: a mark without a walk is found by the rounds.
            Err(other) => Err(other.into()),
        }
    })
    .await
}
