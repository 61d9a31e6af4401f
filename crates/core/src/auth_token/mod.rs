//! `auth/token/`: creating, looking up, renewing and revoking tokens. Documented at
//! <https://developer.hashicorp.com/vault/api-docs/auth/token>.

mod create;
mod lifetime;
mod look_up;
mod policies;
mod renew;
mod revoke;
mod roles;
mod tidy;
mod write;

use serde::Serialize;
use strongroom_sdk::Input;
use strongroom_token::{Found, Token};
use strongroom_types::{Accessor, ErrorKind, PolicyName, RawObject, Secret};

use crate::endpoint::{Call, Endpoint};
use crate::error::Error;
use crate::request::{Answer, Envelope};
use write::write;
pub(crate) use write::write_login;

/// All groups.
pub(crate) const ENDPOINTS: &[&[Endpoint]] = &[
    create::ENDPOINTS,
    look_up::ENDPOINTS,
    renew::ENDPOINTS,
    revoke::ENDPOINTS,
    roles::ENDPOINTS,
    tidy::ENDPOINTS,
];

/// The body field by which a token or accessor is named.
#[derive(Input)]
struct NamedInput {
    /// The token.
    token: Option<Secret<String>>,
    /// The accessor of the token.
    accessor: String,
}

/// The `auth` part of an answer.
#[derive(Serialize)]
struct AuthBlock<'a> {
    client_token: &'a str,
    accessor: &'a Accessor,
    policies: &'a [PolicyName],
    /// Left out where there are none, as existing servers do.
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

/// An answer with a token in it.
pub(crate) fn auth_answer(
    id: &str,
    token: &Token,
    lease_duration: u64,
    warnings: Vec<String>,
) -> Result<Answer, Error> {
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
    let auth = RawObject::of(&block).map_err(|error| Error::internal(error.to_string()))?;
    let envelope = Envelope { auth: Some(auth), warnings, ..Envelope::default() };
    Ok(Answer::Envelope(Box::new(envelope)))
}

/// The caller's token as it is now: a use was counted since it was looked up. A batch token never
/// changes.
async fn callers_token(call: &Call) -> Result<Found, Error> {
    let found = &call.caller()?.found;
    if found.token.is_batch() {
        return Ok(found.clone());
    }
    call.open.stores.tokens.find(&found.key).await?.ok_or_else(Error::no_token)
}

/// The token an accessor in the body names.
async fn by_accessor(call: &Call) -> Result<Found, Error> {
    let input: NamedInput = call.input_with_token()?;
    if input.accessor.is_empty() {
        return Err(Error::listed(ErrorKind::Invalid, "missing accessor"));
    }
    let unknown = || Error::listed(ErrorKind::Invalid, "invalid accessor");
    let accessor = Accessor::parse(&input.accessor).map_err(|_| unknown())?;
    let now = call.open.clock().now();
    call.open.stores.tokens.by_accessor(&accessor, now).await?.ok_or_else(unknown)
}
