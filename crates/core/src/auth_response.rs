//! [`auth_response`]: the response that contains a new token.

use serde::Serialize;
use strongroom_token::Token;
use strongroom_types::{Accessor, PolicyName, RawObject};

use crate::error::Error;
use crate::request::{CoreResponse, ResponseEnvelope};

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
pub fn auth_response(
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
        token_type: token.token_type.as_str(),
        orphan: token.parent.is_none(),
        mfa_requirement: None,
        num_uses: token.uses_left.unwrap_or(0),
    };
    let auth = RawObject::from_serialize(&block).map_err(Error::unencodable)?;
    let envelope = ResponseEnvelope { auth: Some(auth), warnings, ..ResponseEnvelope::default() };
    Ok(CoreResponse::Envelope(Box::new(envelope)))
}
