//! [`Token`]: the record of a token. It doesn't contain the token's id.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use strongroom_types::{Accessor, Cidr, PolicyName, Timestamp, TokenType, Ttl};

use crate::accessor_hash::AccessorHash;

/// The keyed hash of a token's id, in hex. Identifies the token in storage, in leases and in
/// references to its parent and children.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TokenKey(pub(crate) String);

impl TokenKey {
    /// The key as 64 hex digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Accepts a key as [`TokenKey::as_str`] returns it; `None` for any other text. A key has 64
    /// hexadecimal digits.
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

/// Maximum depth of the token tree. While any revocation is in progress, a look-up checks all
/// ancestors of a token.
pub const MAX_DEPTH: usize = 128;

/// A token as stored, in JSON. The field names are the format; `v` is its version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    pub(crate) v: u8,
    /// The type of the token. Not serialised, because only service tokens are stored.
    #[serde(skip)]
    pub token_type: TokenType,
    /// Refers to the token without granting its permissions; empty for a batch token.
    pub accessor: Accessor,
    #[serde(skip)]
    pub(crate) accessor_hash: AccessorHash,
    /// The token it was created with; `None` for an orphan.
    pub parent: Option<TokenKey>,
    /// Names of the policies that determine what it may do; sorted, without duplicates.
    #[serde(deserialize_with = "PolicyName::deserialize_stored")]
    pub policies: Vec<PolicyName>,
    /// The API path it was created at, such as `auth/token/create`.
    pub path: String,
    /// A name for people, shown by look-ups and passed to engines.
    pub display_name: String,
    /// Metadata that the creator attached to it.
    pub meta: Option<BTreeMap<String, String>>,
    /// When it was created, by the server's clock.
    pub created: Timestamp,
    /// The lifetime it was created with; zero if it doesn't expire.
    pub creation_ttl: Ttl,
    /// When it expires; `None` if it doesn't.
    pub expires: Option<Timestamp>,
    /// Whether it can be renewed.
    pub renewable: bool,
    /// When it was last renewed; `None` if never.
    pub last_renewal: Option<Timestamp>,
    /// The lifetime that each renewal gives a periodic token; zero for others.
    pub period: Ttl,
    /// The maximum age, which no renewal can extend; zero for none.
    pub explicit_max_ttl: Ttl,
    /// Number of requests left; `None` for no limit. At zero the token is refused and being
    /// revoked.
    pub uses_left: Option<u32>,
    /// Name of the token role it was created through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Networks it may be used from; empty for no restriction.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bound_cidrs: Vec<Cidr>,
}

impl Token {
    /// Whether this is a batch token, about which nothing can be stored. Such a token is itself
    /// encrypted data that the client keeps.
    pub fn is_batch(&self) -> bool {
        self.token_type == TokenType::Batch
    }

    /// The accessor as the log shows it: the first 16 hexadecimal digits of its SHA-256. `None` for a
    /// batch token, which has no accessor.
    pub fn accessor_hash(&self) -> Option<&str> {
        (!self.is_batch()).then(|| self.accessor_hash.of(&self.accessor))
    }

    /// Whether a client at this address may use the token. A token bound to networks can't be used
    /// without an address, as on a Unix socket.
    pub fn may_be_used_from(&self, address: Option<IpAddr>) -> bool {
        let inside = |address| self.bound_cidrs.iter().any(|cidr| cidr.contains(address));
        self.bound_cidrs.is_empty() || address.is_some_and(inside)
    }

    /// Whether the token expired at or before `now`. A token without an expiry time never does.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|end| end <= now)
    }

    /// The remaining lifetime; zero if it doesn't expire or has expired. It is counted from `now`
    /// to the expiry time.
    pub fn ttl_left(&self, now: Timestamp) -> Ttl {
        self.expires.map_or(Ttl::ZERO, |end| Ttl::from_duration(end.since(now)))
    }

    /// A copy that was renewed at `now` and expires at `expires`. Nothing is stored, and limits
    /// such as the maximum age are not checked.
    #[must_use]
    pub fn after_renewal(&self, now: Timestamp, expires: Timestamp) -> Self {
        Self { expires: Some(expires), last_renewal: Some(now), ..self.clone() }
    }

    /// Whether its policies include `root`, which allows every operation. Only the token's own
    /// policies count, not those of its identity.
    pub fn is_root(&self) -> bool {
        self.policies.iter().any(PolicyName::is_root)
    }

    /// Whether this is a wrapping token, which can only unwrap its response. Recognised by its
    /// policy, which no other token can have.
    pub fn is_wrapping(&self) -> bool {
        matches!(self.policies.as_slice(), [only] if only.is_response_wrapping())
    }

    /// The id of the lease that revokes the token when it expires. A trailing slash of the path is
    /// dropped, because lease ids contain no empty segment.
    pub fn lease_id(&self, key: &TokenKey) -> String {
        format!("{}/h{}", self.path.trim_end_matches('/'), key.as_str())
    }
}
