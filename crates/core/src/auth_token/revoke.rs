//! `revoke` in all its forms.

use strongroom_sdk::Input;
use strongroom_token::{Mark, TokenKey, TokenStore};

use super::{NamedInput, by_accessor};
use crate::endpoint::{Access, Call, Endpoint, Handlers, handler, nothing_or};
use crate::error::Error;
use crate::request::Answer;
use crate::sys::PATIENCE;

pub(super) const ENDPOINTS: &[Endpoint] = &[
    endpoint("revoke", "Ends a token and all below it.", handler!(revoke), Access::Policy),
    endpoint(
        "revoke-self",
        "Ends the caller's token and all below it.",
        handler!(revoke_self),
        Access::Policy,
    ),
    endpoint(
        "revoke-accessor",
        "Ends the token of an accessor and all below it.",
        handler!(revoke_accessor),
        Access::Policy,
    ),
    endpoint(
        "revoke-orphan",
        "Ends a token; its children live on without parent.",
        handler!(revoke_orphan),
        Access::Policy,
    ),
];

const fn endpoint(
    pattern: &'static str,
    help: &'static str,
    write: Option<crate::endpoint::Handler>,
    access: Access,
) -> Endpoint {
    let handlers = Handlers { read: None, list: None, write, delete: None };
    Endpoint { pattern, help, fields: &[NamedInput::FIELDS], handlers, access }
}

async fn revoke(call: &Call) -> Result<Answer, Error> {
    let input: NamedInput = call.input_with_token()?;
    let Some(id) = input.token else { return Err(Error::invalid("missing token ID")) };
    refuse_batch(call, id.expose_secret()).await?;
    let key = call.open.stores.tokens.key_of(id.expose_secret());
    end(call, &key, Mark::Tree).await?;
    Ok(Answer::Nothing)
}

/// A batch token that works can't be ended; one that doesn't is as good as none.
async fn refuse_batch(call: &Call, id: &str) -> Result<(), Error> {
    let now = call.open.clock().now();
    if TokenStore::is_batch_id(id) && call.open.stores.tokens.look_up(id, now).await?.is_some() {
        return Err(Error::invalid(BATCH));
    }
    Ok(())
}

const BATCH: &str = "batch tokens cannot be revoked";

async fn revoke_self(call: &Call) -> Result<Answer, Error> {
    let found = &call.caller()?.found;
    if found.token.is_batch() {
        return Err(Error::invalid(BATCH));
    }
    let key = found.key.clone();
    end(call, &key, Mark::Tree).await?;
    Ok(Answer::Nothing)
}

async fn revoke_accessor(call: &Call) -> Result<Answer, Error> {
    let found = match by_accessor(call).await {
        Ok(found) => found,
        Err(error) if error.to_string() == "invalid accessor" => {
            return Ok(nothing_or(vec!["No token found with this accessor".to_owned()]));
        }
        Err(error) => return Err(error),
    };
    end(call, &found.key, Mark::Tree).await?;
    Ok(Answer::Nothing)
}

/// Needs `sudo`, and says so with a 400 rather than a plain denial.
async fn revoke_orphan(call: &Call) -> Result<Answer, Error> {
    let path = "auth/token/revoke-orphan";
    if !call.caller()?.acl.allows(path, strongroom_policy::Capability::Update, true) {
        return Err(Error::invalid("root or sudo privileges required to revoke and orphan"));
    }
    let input: NamedInput = call.input_with_token()?;
    let Some(id) = input.token else { return Err(Error::invalid("missing token ID")) };
    refuse_batch(call, id.expose_secret()).await?;
    // One that is refused already goes with its tree: its children must not be cut loose.
    let now = call.open.clock().now();
    let found = call.open.stores.tokens.look_up(id.expose_secret(), now).await?;
    let missing = || Error::invalid("token to revoke not found");
    let key = found.ok_or_else(missing)?.key;
    if !end(call, &key, Mark::Orphan).await? {
        return Err(missing());
    }
    Ok(Answer::Nothing)
}

/// Marks the token, which refuses it and all below it at once, and waits a while for the walk that
/// ends leases and children. `false` if there is no such token.
async fn end(call: &Call, key: &TokenKey, mark: Mark) -> Result<bool, Error> {
    let Some(mut done) = call.open.trees.mark(key, mark).await? else { return Ok(false) };
    let clock = call.open.clock();
    tokio::select! {
        _ = done.wait_for(|done| *done) => {}
        () = clock.sleep(PATIENCE) => {
            tracing::info!("a token's revocation goes on in the background");
        }
    }
    Ok(true)
}
