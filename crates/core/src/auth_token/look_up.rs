//! `lookup` in all its forms, and the list of accessors.

use serde::Serialize;
use strongroom_sdk::Input;
use strongroom_token::{Cidr, Token};
use strongroom_types::{ErrorKind, RawObject, Timestamp};

use super::{NamedInput, by_accessor, callers_token};
use crate::endpoint::{Access, Call, Endpoint, Handlers, data, handler, keys};
use crate::error::Error;
use crate::request::Answer;

pub(super) const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        pattern: "lookup",
        help: "What a token is and may do.",
        fields: &[NamedInput::FIELDS],
        handlers: Handlers {
            read: handler!(look_up_self),
            write: handler!(look_up),
            ..Handlers::NONE
        },
        access: Access::Policy,
    },
    Endpoint {
        pattern: "lookup-self",
        help: "What the caller's token is and may do.",
        fields: &[NamedInput::FIELDS],
        handlers: Handlers {
            read: handler!(look_up_self),
            write: handler!(look_up_self),
            ..Handlers::NONE
        },
        access: Access::Policy,
    },
    Endpoint {
        pattern: "lookup-accessor",
        help: "What the token of an accessor is and may do.",
        fields: &[NamedInput::FIELDS],
        handlers: Handlers { write: handler!(look_up_accessor), ..Handlers::NONE },
        access: Access::Policy,
    },
    Endpoint {
        pattern: "accessors",
        help: "The accessors of all tokens.",
        fields: &[],
        handlers: Handlers { list: handler!(accessors), ..Handlers::NONE },
        access: Access::Policy,
    },
];

#[derive(Serialize)]
struct Shown<'a> {
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

fn shown(id: &str, token: &Token, now: Timestamp) -> Result<Answer, Error> {
    let shown = Shown {
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
        token_type: token.kind.name(),
    };
    Ok(data(RawObject::of(&shown).map_err(|error| Error::internal(error.to_string()))?))
}

async fn look_up(call: &Call) -> Result<Answer, Error> {
    let input: NamedInput = call.input_with_token()?;
    let Some(id) = input.token else { return look_up_self(call).await };
    let now = call.open.clock().now();
    let found = call.open.stores.tokens.look_up(id.expose_secret(), now).await?;
    let found = found.ok_or_else(|| Error::plain(ErrorKind::Denied, "bad token"))?;
    shown(id.expose_secret(), &found.token, now)
}

/// The caller knows its id; the server doesn't keep it, and gives back the one that was sent.
async fn look_up_self(call: &Call) -> Result<Answer, Error> {
    let found = callers_token(call).await?;
    shown(call.token_id(), &found.token, call.open.clock().now())
}

async fn look_up_accessor(call: &Call) -> Result<Answer, Error> {
    let found = by_accessor(call).await?;
    shown("", &found.token, call.open.clock().now())
}

async fn accessors(call: &Call) -> Result<Answer, Error> {
    const PAGE: usize = 500;
    let mut all = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let (page, next) = call.open.stores.tokens.accessors(after.as_deref(), PAGE).await?;
        all.extend(page.iter().map(ToString::to_string));
        after = next;
        if after.is_none() {
            break;
        }
    }
    all.sort_unstable();
    keys(&all)
}
