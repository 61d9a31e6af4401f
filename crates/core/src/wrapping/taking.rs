//! Which wrapping token a request names, and what it gives: once, whoever asks how often.

use std::sync::Arc;

use strongroom_barrier::Batch;
use strongroom_token::{Error as TokenError, Found};
use strongroom_types::{ErrorKind, Fields, RequestId, Secret};

use super::kept::{Info, Kept};
use super::{NewWrapping, wrapped_answer};
use crate::endpoint::{not_found, with_warnings};
use crate::error::Error;
use crate::pipeline::Caller;
use crate::pipeline::route::Routed;
use crate::refusals::Refusal;
use crate::request::{Answer, Verb};
use crate::unsealed::Unsealed;

/// Paths, below `sys/`, of requests about a wrapping token.
const ABOUT_ONE: [&str; 3] = ["wrapping/lookup", "wrapping/unwrap", "wrapping/rewrap"];

/// For a token that is none, isn't a wrapping token, is used or has expired: which of these it was
/// is nobody's business, but that it isn't valid must be heard.
fn not_valid() -> Error {
    Error::invalid("wrapping token is not valid or does not exist")
}

/// Refuses a request about a wrapping token that isn't one, before anything is spent for it. The
/// other steps judge again: this is what clients hear first, and no guard.
pub(crate) async fn check_named(open: &Unsealed, routed: &Routed) -> Result<(), Error> {
    let below = routed.below.trim_end_matches('/');
    let is_system = routed.mounted.as_ref().is_some_and(|mounted| mounted.is_system());
    if !is_system || !ABOUT_ONE.contains(&below) || routed.request.verb == Verb::Help {
        return Ok(());
    }
    let looked_up = async {
        let named = named(&routed.request.fields, routed.request.token.as_ref())?;
        look_up(open, &named).await
    };
    let Err(error) = Box::pin(looked_up).await else { return Ok(()) };
    if matches!(error.kind(), ErrorKind::Invalid | ErrorKind::Denied) {
        // A wrapping token that was used by somebody else is found out here.
        let origin = routed.request.origin(None);
        open.refusals.note(Refusal::InvalidToken, &origin, &error.to_string());
    }
    Err(error)
}

/// Whether a request is spent on the wrapping token it is made with: then that token's being used
/// up meanwhile is heard as of any wrapping token.
pub(crate) fn spent_meanwhile(routed: &Routed, error: Error) -> Error {
    let is_system = routed.mounted.as_ref().is_some_and(|mounted| mounted.is_system());
    let own = !routed.request.fields.contains("token");
    if is_system && own && routed.below == "wrapping/unwrap" && error.kind() == ErrorKind::Denied {
        return not_valid();
    }
    error
}

/// The token in the body, else the one the request is made with.
pub(crate) fn named(
    fields: &Fields,
    own: Option<&Secret<String>>,
) -> Result<Secret<String>, Error> {
    let refused = |what: &str| {
        let text = format!("error validating wrapping token: {what}");
        Error::plain(ErrorKind::Denied, text)
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
pub(crate) async fn look_up(open: &Unsealed, id: &Secret<String>) -> Result<(Found, Info), Error> {
    let found = open.stores.tokens.look_up(id.expose_secret(), open.clock().now()).await?;
    let found = found.filter(|found| found.token.is_wrapping()).ok_or_else(not_valid)?;
    let info = Info::read(&open.stores.cubbyholes, &found.key).await?;
    Ok((found, info.ok_or_else(not_valid)?))
}

/// What a wrapping token wraps, for its one use.
pub(crate) async fn unwrap(
    open: &Arc<Unsealed>,
    id: &Secret<String>,
    caller: &Caller,
) -> Result<Answer, Error> {
    if open.stores.tokens.key_of(id.expose_secret()) == caller.found.key {
        return take_own(open, caller).await?.into_answer();
    }
    let (found, _) = look_up(open, id).await?;
    let kept = Kept::read(&open.stores.cubbyholes, &found.key).await?.ok_or_else(not_valid)?;
    use_up(open, found, Batch::new()).await?;
    kept.into_answer()
}

/// The same wrapped answer under another wrapping token. In one batch: either token works, and
/// never both.
pub(crate) async fn rewrap(
    open: &Arc<Unsealed>,
    id: &Secret<String>,
    caller: &Caller,
) -> Result<Answer, Error> {
    let (found, info) = look_up(open, id).await?;
    let kept = Kept::read(&open.stores.cubbyholes, &found.key).await?.ok_or_else(not_valid)?;
    let new = NewWrapping {
        ttl: info.creation_ttl,
        made_at: "sys/wrapping/rewrap",
        creation_path: &info.creation_path,
        display_name: &caller.found.token.display_name,
    };
    let mut batch = Batch::new();
    let made = new.add(open, &mut batch, &kept)?;
    let expires = made.expires();
    use_up(open, found, batch).await?;
    open.keeper.expect(expires);
    Ok(wrapped_answer(made.info(), Vec::new()))
}

/// `cubbyhole/response`, from where old clients read what their token wraps. The answer is one text.
pub(crate) async fn read_response(
    open: &Unsealed,
    caller: &Caller,
    path: &str,
    id: &RequestId,
) -> Result<Answer, Error> {
    if path != "response" {
        return Err(not_found());
    }
    let kept = take_own(open, caller).await?;
    let mut fields = Fields::new();
    fields.set("response", &kept.to_json(id)?);
    let warning = "Reading cubbyhole/response is deprecated: use sys/wrapping/unwrap instead";
    Ok(with_warnings(fields.to_object(), vec![warning.to_owned()]))
}

/// What the caller's own token wraps. Its use was counted when the request came in, and of all who
/// came with it one was told that it was the last.
async fn take_own(open: &Unsealed, caller: &Caller) -> Result<Kept, Error> {
    if !caller.last_use || !caller.found.token.is_wrapping() {
        return Err(not_valid());
    }
    let kept = Kept::read(&open.stores.cubbyholes, &caller.found.key).await?;
    kept.ok_or_else(not_valid)
}

/// Counts the use of a wrapping token that isn't the caller's, and orders its end.
async fn use_up(open: &Arc<Unsealed>, found: Found, batch: Batch) -> Result<(), Error> {
    let work = open.clone();
    open.to_the_end(async move {
        match work.stores.tokens.use_up(&found, batch).await {
            Ok(()) => {
                work.trees.enqueue(&found.key);
                Ok(())
            }
            // Whoever was faster may still be reading what the walk deletes.
            Err(TokenError::Revoked) => Err(not_valid()),
            // In doubt: a mark without a walk is found by the rounds.
            Err(other) => Err(other.into()),
        }
    })
    .await
}
