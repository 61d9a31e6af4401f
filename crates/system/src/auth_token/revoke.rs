//! `revoke`, `revoke-self`, `revoke-accessor` and `revoke-orphan`: revoking tokens.

use strongroom_core::error::Error;
use strongroom_core::request::CoreResponse;
use strongroom_core::tokens::TokenService;
use strongroom_schema::Input;
use strongroom_token::{RevocationMark, TokenKey, TokenStore};

use super::{TokenOrAccessorInput, token_by_accessor};
use crate::endpoint::{
    ApiEndpoint, EndpointAccess, EndpointCall, VerbHandlers, empty_or_warnings_response, handler,
};
use crate::sys::REVOKE_WAIT;

pub(super) const ENDPOINTS: &[ApiEndpoint] = &[
    revoke_endpoint(
        "revoke",
        "Revokes a token and its descendants.",
        handler!(revoke_token, tokens),
        EndpointAccess::Policy,
    ),
    revoke_endpoint(
        "revoke-self",
        "Revokes the caller's token and its descendants.",
        handler!(revoke_self, tokens),
        EndpointAccess::Policy,
    ),
    revoke_endpoint(
        "revoke-accessor",
        "Revokes the token with an accessor, and its descendants.",
        handler!(revoke_accessor, tokens),
        EndpointAccess::Policy,
    ),
    revoke_endpoint(
        "revoke-orphan",
        "Revokes a token but not its children, which become orphans.",
        handler!(revoke_orphan, tokens),
        EndpointAccess::Policy,
    ),
];

const fn revoke_endpoint(
    pattern: &'static str,
    help: &'static str,
    write: Option<crate::endpoint::EndpointHandler>,
    access: EndpointAccess,
) -> ApiEndpoint {
    let handlers = VerbHandlers { read: None, list: None, write, delete: None };
    ApiEndpoint { pattern, help, fields: &[TokenOrAccessorInput::FIELDS], handlers, access }
}

async fn revoke_token(call: &EndpointCall, tokens: &TokenService) -> Result<CoreResponse, Error> {
    let input: TokenOrAccessorInput = call.parse_input_optional_token()?;
    let Some(id) = input.token else { return Err(Error::invalid("missing token ID")) };
    reject_batch_token(call, tokens, id.expose_secret()).await?;
    let key = tokens.store.key_of(id.expose_secret());
    revoke_and_wait(call, tokens, &key, RevocationMark::Tree).await?;
    Ok(CoreResponse::Nothing)
}

/// Refuses a valid batch token, which can't be revoked. An invalid one counts as unknown.
async fn reject_batch_token(
    call: &EndpointCall,
    tokens: &TokenService,
    id: &str,
) -> Result<(), Error> {
    let now = call.clock.now();
    if TokenStore::is_batch_id(id) && tokens.store.look_up(id, now).await?.is_some() {
        return Err(Error::invalid(BATCH_NOT_REVOCABLE));
    }
    Ok(())
}

const BATCH_NOT_REVOCABLE: &str = "batch tokens cannot be revoked";

async fn revoke_self(call: &EndpointCall, tokens: &TokenService) -> Result<CoreResponse, Error> {
    let found = &call.require_caller()?.stored_token;
    if found.token.is_batch() {
        return Err(Error::invalid(BATCH_NOT_REVOCABLE));
    }
    let key = found.key.clone();
    revoke_and_wait(call, tokens, &key, RevocationMark::Tree).await?;
    Ok(CoreResponse::Nothing)
}

async fn revoke_accessor(
    call: &EndpointCall,
    tokens: &TokenService,
) -> Result<CoreResponse, Error> {
    let found = match token_by_accessor(call, tokens).await {
        Ok(found) => found,
        Err(error) if error.to_string() == "invalid accessor" => {
            return Ok(empty_or_warnings_response(vec![
                "No token found with this accessor".to_owned(),
            ]));
        }
        Err(error) => return Err(error),
    };
    revoke_and_wait(call, tokens, &found.key, RevocationMark::Tree).await?;
    Ok(CoreResponse::Nothing)
}

/// Revokes a token but not its children. Requires `sudo`; lacking it is a 400, as on existing
/// servers, rather than a 403.
async fn revoke_orphan(call: &EndpointCall, tokens: &TokenService) -> Result<CoreResponse, Error> {
    let path = "auth/token/revoke-orphan";
    if !call.require_caller()?.acl.allows(path, strongroom_policy::Capability::Update, true) {
        return Err(Error::invalid("root or sudo privileges required to revoke and orphan"));
    }
    let input: TokenOrAccessorInput = call.parse_input_optional_token()?;
    let Some(id) = input.token else { return Err(Error::invalid("missing token ID")) };
    reject_batch_token(call, tokens, id.expose_secret()).await?;
    // A token that is being revoked with its subtree is not found here: orphaning its children now
    // would let them escape.
    let now = call.clock.now();
    let found = tokens.store.look_up(id.expose_secret(), now).await?;
    let missing = || Error::invalid("token to revoke not found");
    let key = found.ok_or_else(missing)?.key;
    if !revoke_and_wait(call, tokens, &key, RevocationMark::Orphan).await? {
        return Err(missing());
    }
    Ok(CoreResponse::Nothing)
}

/// Marks the token for revocation, and waits up to [`REVOKE_WAIT`] for its leases and children to
/// be revoked. With [`RevocationMark::Tree`] the token and its descendants are refused as soon as
/// the mark is written. Returns `false` if there is no such token.
async fn revoke_and_wait(
    call: &EndpointCall,
    tokens: &TokenService,
    key: &TokenKey,
    mark: RevocationMark,
) -> Result<bool, Error> {
    let Some(mut done) = tokens.revoker.begin_revocation(key, mark).await? else {
        return Ok(false);
    };
    let clock = &call.clock;
    tokio::select! {
        _ = done.wait_for(|done| *done) => {}
        () = clock.sleep(REVOKE_WAIT) => {
            tracing::info!("a token revocation continues in the background");
        }
    }
    Ok(true)
}
