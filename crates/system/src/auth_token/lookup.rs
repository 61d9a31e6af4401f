//! `lookup`, `lookup-self` and `lookup-accessor`, and the list of accessors.

use serde::Serialize;
use strongroom_core::error::Error;
use strongroom_core::request::CoreResponse;
use strongroom_core::tokens::TokenService;
use strongroom_schema::Input;
use strongroom_token::Token;
use strongroom_types::{Cidr, ErrorKind, RawObject, Timestamp};

use super::{TokenOrAccessorInput, reload_caller_token, token_by_accessor};
use crate::endpoint::{
    ApiEndpoint, EndpointAccess, EndpointCall, VerbHandlers, data_response, handler, keys_response,
};

pub(super) const ENDPOINTS: &[ApiEndpoint] = &[
    ApiEndpoint {
        pattern: "lookup",
        help: "Returns the properties of a token.",
        fields: &[TokenOrAccessorInput::FIELDS],
        handlers: VerbHandlers {
            read: handler!(lookup_self, tokens),
            write: handler!(lookup_token, tokens),
            ..VerbHandlers::NONE
        },
        access: EndpointAccess::Policy,
    },
    ApiEndpoint {
        pattern: "lookup-self",
        help: "Returns the properties of the caller's token.",
        fields: &[TokenOrAccessorInput::FIELDS],
        handlers: VerbHandlers {
            read: handler!(lookup_self, tokens),
            write: handler!(lookup_self, tokens),
            ..VerbHandlers::NONE
        },
        access: EndpointAccess::Policy,
    },
    ApiEndpoint {
        pattern: "lookup-accessor",
        help: "Returns the properties of the token with an accessor.",
        fields: &[TokenOrAccessorInput::FIELDS],
        handlers: VerbHandlers { write: handler!(lookup_accessor, tokens), ..VerbHandlers::NONE },
        access: EndpointAccess::Policy,
    },
    ApiEndpoint {
        pattern: "accessors",
        help: "Lists the accessors of all tokens.",
        fields: &[],
        handlers: VerbHandlers { list: handler!(list_accessors, tokens), ..VerbHandlers::NONE },
        access: EndpointAccess::Policy,
    },
];

#[derive(Serialize)]
struct TokenLookupResponse<'a> {
    accessor: &'a str,
    #[serde(skip_serializing_if = "<[Cidr]>::is_empty")]
    bound_cidrs: &'a [Cidr],
    creation_time: i64,
    creation_ttl: u64,
    display_name: &'a str,
    entity_id: &'static str,
    expire_time: Option<String>,
    explicit_max_ttl: u64,
    id: &'a str,
    issue_time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_renewal: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_renewal_time: Option<i64>,
    meta: &'a Option<std::collections::BTreeMap<String, String>>,
    num_uses: u32,
    orphan: bool,
    path: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    period: Option<u64>,
    policies: &'a [strongroom_types::PolicyName],
    renewable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'a str>,
    ttl: u64,
    #[serde(rename = "type")]
    token_type: &'static str,
}

fn lookup_response(id: &str, token: &Token, now: Timestamp) -> Result<CoreResponse, Error> {
    let shown = TokenLookupResponse {
        accessor: token.accessor.as_str(),
        bound_cidrs: &token.bound_cidrs,
        creation_time: token.created.as_secs(),
        creation_ttl: token.creation_ttl.as_secs(),
        display_name: &token.display_name,
        entity_id: "",
        expire_time: token.expires.map(Timestamp::to_rfc3339),
        explicit_max_ttl: token.explicit_max_ttl.as_secs(),
        id,
        issue_time: token.created.to_rfc3339(),
        last_renewal: token.last_renewal.map(Timestamp::to_rfc3339),
        last_renewal_time: token.last_renewal.map(Timestamp::as_secs),
        meta: &token.meta,
        num_uses: token.uses_left.unwrap_or(0),
        orphan: token.parent.is_none(),
        path: &token.path,
        period: (!token.period.is_zero()).then(|| token.period.as_secs()),
        policies: &token.policies,
        renewable: token.renewable,
        role: token.role.as_deref(),
        ttl: token.ttl_left(now).as_secs(),
        token_type: token.token_type.as_str(),
    };
    Ok(data_response(RawObject::from_serialize(&shown).map_err(Error::unencodable)?))
}

async fn lookup_token(call: &EndpointCall, tokens: &TokenService) -> Result<CoreResponse, Error> {
    let input: TokenOrAccessorInput = call.parse_input_optional_token()?;
    let Some(id) = input.token else { return lookup_self(call, tokens).await };
    let now = call.clock.now();
    let found = tokens.store.look_up(id.expose_secret(), now).await?;
    let found = found.ok_or_else(|| Error::with_message(ErrorKind::Denied, "bad token"))?;
    lookup_response(id.expose_secret(), &found.token, now)
}

/// Looks up the caller's token. The server doesn't store token ids, so the response repeats the one
/// that was sent.
async fn lookup_self(call: &EndpointCall, tokens: &TokenService) -> Result<CoreResponse, Error> {
    let found = reload_caller_token(call, tokens).await?;
    lookup_response(call.token_id(), &found.token, call.clock.now())
}

async fn lookup_accessor(
    call: &EndpointCall,
    tokens: &TokenService,
) -> Result<CoreResponse, Error> {
    let found = token_by_accessor(call, tokens).await?;
    lookup_response("", &found.token, call.clock.now())
}

async fn list_accessors(_: &EndpointCall, tokens: &TokenService) -> Result<CoreResponse, Error> {
    let mut all = Vec::new();
    let mut pages = tokens.store.accessor_pages();
    while let Some(page) = pages.next_page().await? {
        all.extend(page.iter().map(ToString::to_string));
    }
    all.sort_unstable();
    keys_response(&all)
}
