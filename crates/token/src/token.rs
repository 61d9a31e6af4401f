//! [`Token`]: what the server knows of a token. Its id is not part of that.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use strongroom_types::{Accessor, PolicyName, Timestamp, Ttl};

use crate::cidr::Cidr;

/// The keyed hash of a token's id, in hex: its name in storage, in leases and among its relatives.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TokenKey(pub(crate) String);

impl TokenKey {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// From text that [`TokenKey::as_str`] gave.
    pub fn from_stored(text: &str) -> Option<Self> {
        let is_hash = text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
        is_hash.then(|| Self(text.to_owned()))
    }
}

impl fmt::Display for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How a token is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenKind {
    /// It has a record.
    #[default]
    Service,
    /// It is its own record, sealed.
    Batch,
}

impl TokenKind {
    /// Its name in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Batch => "batch",
        }
    }
}

/// A token as stored. The field names are the format; `v` is its version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    pub(crate) v: u8,
    /// Only service tokens are stored.
    #[serde(skip)]
    pub kind: TokenKind,
    /// Names it without being it; empty for a batch token.
    pub accessor: Accessor,
    /// The token it was made with; none for an orphan.
    pub parent: Option<TokenKey>,
    /// Sorted, each once.
    #[serde(deserialize_with = "PolicyName::deserialize_stored")]
    pub policies: Vec<PolicyName>,
    /// The path it was made at: `auth/token/create`.
    pub path: String,
    /// For logs and engines.
    pub display_name: String,
    /// Whatever its maker wanted kept with it.
    pub meta: Option<BTreeMap<String, String>>,
    /// When it was made.
    pub created: Timestamp,
    /// The lifetime it was made with; zero if it doesn't expire.
    pub creation_ttl: Ttl,
    /// When it ends; none if it doesn't.
    pub expires: Option<Timestamp>,
    /// Whether it can be renewed.
    pub renewable: bool,
    /// When it was renewed last.
    pub last_renewal: Option<Timestamp>,
    /// The lifetime that each renewal gives a periodic token; zero for others.
    pub period: Ttl,
    /// The age beyond which no renewal goes, whatever else holds; zero for none.
    pub explicit_max_ttl: Ttl,
    /// Requests left; none if they aren't counted. Zero: spent, and being revoked.
    pub uses_left: Option<u32>,
    /// The role it was made by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Where it may be used from; anywhere if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bound_cidrs: Vec<Cidr>,
}

impl Token {
    /// Whether it is sealed into its own id: nothing can be stored about it.
    pub fn is_batch(&self) -> bool {
        self.kind == TokenKind::Batch
    }

    /// Whether it may be used by who is at this address. Who has none, on a Unix socket, is nowhere.
    pub fn may_be_used_from(&self, address: Option<IpAddr>) -> bool {
        let inside = |address| self.bound_cidrs.iter().any(|cidr| cidr.contains(address));
        self.bound_cidrs.is_empty() || address.is_some_and(inside)
    }

    /// Whether it is past its end.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|end| end <= now)
    }

    /// What is left of its life; zero if it doesn't expire.
    pub fn ttl_left(&self, now: Timestamp) -> Ttl {
        self.expires.map_or(Ttl::ZERO, |end| Ttl::from_duration(end.since(now)))
    }

    /// As it is after a renewal.
    #[must_use]
    pub fn after_renewal(&self, now: Timestamp, expires: Timestamp) -> Self {
        Self { expires: Some(expires), last_renewal: Some(now), ..self.clone() }
    }

    /// Whether it may do everything.
    pub fn is_root(&self) -> bool {
        self.policies.iter().any(PolicyName::is_root)
    }

    /// Whether it can do nothing but unwrap what was wrapped for it. Its policy alone says so, which
    /// no other token can have.
    pub fn is_wrapping(&self) -> bool {
        matches!(self.policies.as_slice(), [only] if only.is_response_wrapping())
    }

    /// The id of the lease that ends it. The path of a list ends in a slash, and no lease's does.
    pub fn lease_id(&self, key: &TokenKey) -> String {
        format!("{}/h{}", self.path.trim_end_matches('/'), key.as_str())
    }
}
