//! `cubbyhole/`: what a token keeps for itself. Nobody else reaches it, whatever their policies say,
//! and it ends with its token. Documented at
//! <https://developer.hashicorp.com/vault/api-docs/secret/cubbyhole>.
//!
//! - [`store`]: [`CubbyholeStore`], the storage
//! - this file: the requests

pub mod store;

use std::sync::Arc;

use strongroom_barrier::Batch;
use strongroom_sdk::engine::Operation;
use strongroom_token::TokenKey;
use strongroom_types::{ErrorKind, Fields};

pub use self::store::CubbyholeStore;
use crate::endpoint::{
    ApiEndpoint, EndpointAccess, VerbHandlers, data_response, keys_response, not_found,
};
use crate::error::Error;
use crate::pipeline::AuthenticatedCaller;
use crate::pipeline::authorize::AuthorizedRequest;
use crate::request::CoreResponse;
use crate::unsealed::UnsealedCore;
use crate::{sys, wrapping};

/// For help alone: a body may have a field `path`, which no capture may take away.
pub(crate) const HELP_ENDPOINTS: &[ApiEndpoint] = &[ApiEndpoint {
    pattern: "{path..}",
    help: "Any JSON object. It is the token's own, and ends with it.",
    fields: &[],
    handlers: VerbHandlers::NONE,
    access: EndpointAccess::Policy,
}];

/// The most names one list gives.
const MAX_LISTED_KEYS: usize = 1_000_000;

/// Whether a write creates or updates.
pub(crate) async fn create_or_update(
    open: &UnsealedCore,
    caller: &AuthenticatedCaller,
    path: &str,
) -> Result<Operation, Error> {
    // What is wrapped is there, and stays as it is.
    let exists = caller.stored_token.token.is_wrapping()
        || open.stores.cubbyholes.read(owner_key(caller)?, path).await?.is_some();
    Ok(if exists { Operation::Update } else { Operation::Create })
}

/// Answers a request that may be done.
pub(crate) async fn handle(
    open: &Arc<UnsealedCore>,
    allowed: &AuthorizedRequest,
) -> Result<CoreResponse, Error> {
    let path = allowed.routed.relative_path.as_str();
    if allowed.operation == Operation::Help {
        return sys::help::help_response(&[HELP_ENDPOINTS], "secrets", path);
    }
    let caller = allowed.caller.as_ref().ok_or_else(Error::invalid_token)?;
    let fields = &allowed.routed.request.fields;
    let owner = owner_key(caller)?;
    let holes = &open.stores.cubbyholes;
    // Only a list may name a folder.
    let is_folder = path.is_empty() || path.ends_with('/');
    match allowed.operation {
        Operation::Create | Operation::Update if is_folder => {
            Err(Error::invalid("cannot write to a path ending in '/'"))
        }
        Operation::Create | Operation::Update => {
            write_object(open, caller, path, fields, allowed.operation).await
        }
        Operation::Read if caller.stored_token.token.is_wrapping() => {
            let id = &allowed.routed.request.id;
            wrapping::read_cubbyhole_response(open, caller, path, id).await
        }
        Operation::Read if is_folder => Err(not_found()),
        Operation::Read => holes.read(owner, path).await?.map(data_response).ok_or_else(not_found),
        Operation::List => {
            let after = fields.text("after");
            let limit =
                fields.get("limit").and_then(|raw| raw.get().trim_matches('"').parse().ok());
            let limit = limit.filter(|limit| *limit > 0).unwrap_or(MAX_LISTED_KEYS);
            keys_response(&holes.list(owner, path, after.as_deref(), limit).await?)
        }
        Operation::Delete => {
            if !is_folder {
                holes.delete(owner, path).await?;
            }
            Ok(CoreResponse::Nothing)
        }
        _ => Err(Error::unsupported_operation()),
    }
}

/// Whose cubbyhole a request is about. A token that isn't stored has none: it has no end at which
/// its cubbyhole would be emptied.
fn owner_key(caller: &AuthenticatedCaller) -> Result<&TokenKey, Error> {
    if caller.stored_token.token.is_batch() {
        let text = "cubbyhole operations are only supported by 'service' type tokens";
        return Err(Error::invalid(text));
    }
    Ok(&caller.stored_token.key)
}

/// On condition that the token isn't being revoked: what is put there before its mark is found by
/// the walk that ends it, and after its mark there is nothing put.
async fn write_object(
    open: &UnsealedCore,
    caller: &AuthenticatedCaller,
    path: &str,
    fields: &Fields,
    operation: Operation,
) -> Result<CoreResponse, Error> {
    if fields.is_empty() {
        return Err(Error::invalid("missing data fields"));
    }
    if caller.last_use {
        let text = "this was the last use of the token: its cubbyhole ends with this request";
        return Err(Error::invalid(text));
    }
    let (owner, holes) = (owner_key(caller)?, &open.stores.cubbyholes);
    let mut batch = Batch::new();
    open.stores.tokens.require_not_revoking(&mut batch, owner);
    if operation == Operation::Create {
        // Who may create only must not write twice, not even at the same time.
        holes.require_absent(&mut batch, owner, path);
    }
    holes.put(&mut batch, owner, path, &fields.to_object());
    match open.barrier.commit(batch).await {
        Ok(_) => Ok(CoreResponse::Nothing),
        Err(error) if open.stores.tokens.is_gone_or_revoking(owner, &error) => {
            Err(Error::invalid_token())
        }
        Err(error) if error.is_precondition() => {
            let text = "the path was written at the same time; try again";
            Err(Error::with_message(ErrorKind::Unavailable, text))
        }
        Err(error) => Err(error.into()),
    }
}
