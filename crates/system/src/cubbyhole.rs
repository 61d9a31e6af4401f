//! `cubbyhole/`: storage private to one token. No policy grants access to another token's
//! cubbyhole, and it is deleted with its token. Documented at
//! <https://developer.hashicorp.com/vault/api-docs/secret/cubbyhole>.
//!
//! The storage is [`strongroom_core::cubbyhole_store`].

use std::sync::Arc;

use serde_json::Value;
use strongroom_barrier::Batch;
use strongroom_core::error::Error;
use strongroom_core::path_access::{PathAccess, PolicyPath, TokenRequirement};
use strongroom_core::request::CoreResponse;
use strongroom_core::stages::{AuthenticatedCaller, AuthorizedRequest, RoutedRequest};
use strongroom_core::unsealed::UnsealedCore;
use strongroom_core::unsealed::backend::{Backend, BackendResponse, WriteOperation};
use strongroom_engine::Operation;
use strongroom_mounts::ActiveMount;
use strongroom_policy::FieldReadings;
use strongroom_token::TokenKey;
use strongroom_types::clock::BoxFuture;
use strongroom_types::{Clock, ErrorKind, Fields, RequestId};

use crate::endpoint::{
    ApiEndpoint, EndpointAccess, VerbHandlers, data_response, keys_response, not_found,
};
use crate::endpoint_docs::{document_of_endpoints, help_response};

/// Used for help only. Requests bypass endpoint matching, whose capture `path` would override a
/// body field of that name.
pub(crate) const HELP_ENDPOINTS: &[ApiEndpoint] = &[ApiEndpoint {
    pattern: "{path..}",
    help: "Stores any JSON object for the caller's token. It is deleted with the token.",
    fields: &[],
    handlers: VerbHandlers::NONE,
    access: EndpointAccess::Policy,
}];

/// The maximum number of names in a list response if the request gives no `limit`.
const MAX_LISTED_KEYS: usize = 1_000_000;

/// The group's tag in the OpenAPI document.
const TAG: &str = "secrets";

/// Handles the requests below `cubbyhole/`.
#[derive(Debug)]
pub(crate) struct CubbyholeBackend;

impl Backend for CubbyholeBackend {
    fn token_requirement(&self, _: &ActiveMount, _relative_path: &str) -> TokenRequirement {
        TokenRequirement::Required
    }

    fn path_access(&self, _: &ActiveMount, _path: &str, _relative_path: &str) -> PathAccess {
        PathAccess { policy_path: PolicyPath::AS_GIVEN, ..PathAccess::UNKNOWN }
    }

    fn field_readings(&self, _: &ActiveMount, _relative_path: &str) -> FieldReadings {
        FieldReadings::as_sent()
    }

    fn write_operation<'a>(
        &'a self,
        core: &'a UnsealedCore,
        routed: &'a RoutedRequest,
        caller: Option<&'a AuthenticatedCaller>,
    ) -> BoxFuture<'a, Result<WriteOperation, Error>> {
        Box::pin(async move {
            let caller = caller.ok_or_else(Error::invalid_token)?;
            // A wrapping token's cubbyhole holds the wrapped response, which can't be overwritten.
            let (owner, path) = (owner_key(caller), routed.relative_path.as_str());
            let exists = caller.stored_token.token.is_wrapping()
                || core.cubbyholes.read(owner?, path).await?.is_some();
            let operation = if exists { Operation::Update } else { Operation::Create };
            Ok(WriteOperation { operation, in_flight: None })
        })
    }

    fn handle<'a>(
        &'a self,
        core: &'a Arc<UnsealedCore>,
        request: &'a mut AuthorizedRequest,
    ) -> BoxFuture<'a, Result<BackendResponse, Error>> {
        Box::pin(async move { Ok(BackendResponse::Complete(handle(core, request).await?)) })
    }

    fn openapi<'a>(
        &'a self,
        _: &'a ActiveMount,
        _: &'a RequestId,
        _: &'a dyn Clock,
    ) -> BoxFuture<'a, Option<Value>> {
        Box::pin(async { Some(document_of_endpoints(&[HELP_ENDPOINTS], TAG)) })
    }
}

async fn handle(core: &UnsealedCore, allowed: &AuthorizedRequest) -> Result<CoreResponse, Error> {
    let path = allowed.routed.relative_path.as_str();
    if allowed.operation == Operation::Help {
        return help_response(&[HELP_ENDPOINTS], TAG, path);
    }
    let caller = allowed.caller.as_ref().ok_or_else(Error::invalid_token)?;
    let fields = &allowed.routed.request.fields;
    let owner = owner_key(caller)?;
    let holes = &core.cubbyholes;
    // A path that ends in a slash can only be listed.
    let is_folder = path.is_empty() || path.ends_with('/');
    match allowed.operation {
        Operation::Create | Operation::Update if is_folder => {
            Err(Error::invalid("cannot write to a path ending in '/'"))
        }
        Operation::Create | Operation::Update => {
            write_object(core, caller, path, fields, allowed.operation).await
        }
        Operation::Read if caller.stored_token.token.is_wrapping() => {
            let id = allowed.routed.request.span.id();
            core.wrapping.read_cubbyhole_response(caller, path, id).await
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

/// The key of the token that owns the cubbyhole. Batch tokens have none: they aren't stored, so
/// nothing would delete it when they expire.
fn owner_key(caller: &AuthenticatedCaller) -> Result<&TokenKey, Error> {
    if caller.stored_token.token.is_batch() {
        let text = "cubbyhole operations are only supported by 'service' type tokens";
        return Err(Error::invalid(text));
    }
    Ok(&caller.stored_token.key)
}

/// Writes an entry, on condition that the token isn't being revoked. An entry written before the
/// token is marked is deleted by the revocation; after that, the write fails.
async fn write_object(
    core: &UnsealedCore,
    caller: &AuthenticatedCaller,
    path: &str,
    fields: &Fields,
    operation: Operation,
) -> Result<CoreResponse, Error> {
    if fields.is_empty() {
        return Err(Error::invalid("missing data fields"));
    }
    if caller.last_use {
        let text =
            "this was the last use of the token: its cubbyhole is deleted after this request";
        return Err(Error::invalid(text));
    }
    let (owner, holes) = (owner_key(caller)?, &core.cubbyholes);
    let mut batch = Batch::new();
    core.tokens.store.require_not_revoking(&mut batch, owner);
    if operation == Operation::Create {
        // With `create` only, concurrent writes must not overwrite each other either.
        holes.require_absent(&mut batch, owner, path);
    }
    holes.put(&mut batch, owner, path, &fields.to_object());
    match core.barrier.commit(batch).await {
        Ok(_) => Ok(CoreResponse::Nothing),
        Err(error) if core.tokens.store.is_gone_or_revoking(owner, &error) => {
            Err(Error::invalid_token())
        }
        Err(error) if error.is_precondition() => {
            let text = "the path was written at the same time; try again";
            Err(Error::with_message(ErrorKind::Unavailable, text))
        }
        Err(error) => Err(error.into()),
    }
}
