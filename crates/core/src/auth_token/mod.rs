//! `auth/token/`: creating, looking up, renewing and revoking tokens, and token roles. Documented
//! at <https://developer.hashicorp.com/vault/api-docs/auth/token>.

mod backend;
mod create;
mod lifetime;
mod lookup;
mod policies;
mod renew;
mod revoke;
mod roles;
mod service_token;
mod tidy;

use serde::Serialize;
use strongroom_sdk::Input;
use strongroom_token::{StoredToken, Token};
use strongroom_types::{Accessor, ErrorKind, PolicyName, RawObject, Secret};

use crate::endpoint::{ApiEndpoint, EndpointCall};
use crate::error::Error;
use crate::request::{CoreResponse, ResponseEnvelope};
pub(crate) use backend::TokenBackend;
pub(crate) use service_token::create_login_token;
use service_token::create_service_token;

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

/// The `auth` object of a response.
#[derive(Serialize)]
struct AuthBlock<'a> {
    client_token: &'a str,
    accessor: &'a Accessor,
    policies: &'a [PolicyName],
    /// Omitted if empty, as on existing servers.
    #[serde(skip_serializing_if = "<[PolicyName]>::is_empty")]
    token_policies: &'a [PolicyName],
    metadata: &'a Option<std::collections::BTreeMap<String, String>>,
    lease_duration: u64,
    renewable: bool,
    entity_id: &'static str,
    token_type: &'static str,
    orphan: bool,
    mfa_requirement: Option<()>,
    num_uses: u32,
}

/// A response with an `auth` object for `token`. `id` may be empty where the server doesn't know
/// it; `lease_duration` is in seconds.
pub(crate) fn auth_response(
    id: &str,
    token: &Token,
    lease_duration: u64,
    warnings: Vec<String>,
) -> Result<CoreResponse, Error> {
    let block = AuthBlock {
        client_token: id,
        accessor: &token.accessor,
        policies: &token.policies,
        token_policies: &token.policies,
        metadata: &token.meta,
        lease_duration,
        renewable: token.renewable,
        entity_id: "",
        token_type: token.kind.name(),
        orphan: token.parent.is_none(),
        mfa_requirement: None,
        num_uses: token.uses_left.unwrap_or(0),
    };
    let auth =
        RawObject::from_serialize(&block).map_err(|error| Error::internal(error.to_string()))?;
    let envelope = ResponseEnvelope { auth: Some(auth), warnings, ..ResponseEnvelope::default() };
    Ok(CoreResponse::Envelope(Box::new(envelope)))
}

/// Reads the caller's token again, since its use count has changed since authentication. Batch
/// tokens have no use count and are not stored.
async fn reload_caller_token(call: &EndpointCall) -> Result<StoredToken, Error> {
    let found = &call.require_caller()?.stored_token;
    if found.token.is_batch() {
        return Ok(found.clone());
    }
    call.core.stores.tokens.find_by_key(&found.key).await?.ok_or_else(Error::invalid_token)
}

/// Looks up the token whose accessor is in the body. An unknown accessor is an `Invalid` error.
async fn token_by_accessor(call: &EndpointCall) -> Result<StoredToken, Error> {
    let input: TokenOrAccessorInput = call.parse_input_optional_token()?;
    if input.accessor.is_empty() {
        return Err(Error::with_message_list(ErrorKind::Invalid, "missing accessor"));
    }
    let unknown = || Error::with_message_list(ErrorKind::Invalid, "invalid accessor");
    let accessor = Accessor::parse(&input.accessor).map_err(|_| unknown())?;
    let now = call.core.clock().now();
    call.core.stores.tokens.look_up_by_accessor(&accessor, now).await?.ok_or_else(unknown)
}
