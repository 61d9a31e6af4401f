//! `auth/token/`: creating, looking up, renewing and revoking tokens, and token roles. Documented
//! at <https://developer.hashicorp.com/vault/api-docs/auth/token>.

mod backend;
mod create;
mod lookup;
mod policies;
mod renew;
mod revoke;
mod roles;
mod tidy;

pub(crate) use backend::TokenBackend;
use strongroom_core::error::Error;
use strongroom_core::tokens::TokenService;
use strongroom_schema::Input;
use strongroom_token::StoredToken;
use strongroom_types::{Accessor, ErrorKind, Secret};

use crate::endpoint::{ApiEndpoint, EndpointCall};

/// All endpoints below `auth/token/`.
pub(crate) const ENDPOINTS: &[&[ApiEndpoint]] = &[
    create::ENDPOINTS,
    lookup::ENDPOINTS,
    renew::ENDPOINTS,
    revoke::ENDPOINTS,
    roles::ENDPOINTS,
    tidy::ENDPOINTS,
];

/// Input of endpoints that name a token by its id or accessor.
#[derive(Input)]
struct TokenOrAccessorInput {
    /// The token.
    token: Option<Secret<String>>,
    /// The accessor of the token.
    accessor: String,
}

/// Reads the caller's token again, since its use count has changed since authentication. Batch
/// tokens have no use count and are not stored.
async fn reload_caller_token(
    call: &EndpointCall,
    tokens: &TokenService,
) -> Result<StoredToken, Error> {
    let found = &call.require_caller()?.stored_token;
    if found.token.is_batch() {
        return Ok(found.clone());
    }
    tokens.store.find_by_key(&found.key).await?.ok_or_else(Error::invalid_token)
}

/// Looks up the token whose accessor is in the body. An unknown accessor is an `Invalid` error.
async fn token_by_accessor(
    call: &EndpointCall,
    tokens: &TokenService,
) -> Result<StoredToken, Error> {
    let input: TokenOrAccessorInput = call.parse_input_optional_token()?;
    if input.accessor.is_empty() {
        return Err(Error::collected(ErrorKind::Invalid, "missing accessor"));
    }
    let unknown = || Error::collected(ErrorKind::Invalid, "invalid accessor");
    let accessor = Accessor::parse(&input.accessor).map_err(|_| unknown())?;
    let now = call.clock.now();
    tokens.store.look_up_by_accessor(&accessor, now).await?.ok_or_else(unknown)
}
