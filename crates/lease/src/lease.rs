//! [`Lease`]: one record of the lease table.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use strongroom_types::{LeaseId, Timestamp, Ttl};

/// A lease as stored, in JSON. The field names are the format; `v` is its version.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Lease {
    pub(crate) v: u8,
    /// The path it was issued at, a slash and a random suffix.
    pub id: LeaseId,
    /// What is revoked when the lease ends.
    pub kind: LeaseKind,
    /// Key of the token it was issued to; revoking that token revokes the lease. `None` if it was
    /// issued without a token.
    pub token: Option<String>,
    /// When the lease was created.
    pub issued: Timestamp,
    /// When the lease expires unless it is renewed.
    pub expires: Timestamp,
    /// When it was last renewed; `None` if never.
    pub last_renewal: Option<Timestamp>,
    /// The lifetime granted when it was issued or last renewed.
    pub ttl: Ttl,
    /// The maximum lifetime that the engine set; zero for the mount's.
    pub max_ttl: Ttl,
    /// Whether the lease can be renewed.
    pub renewable: bool,
    /// Renewals don't extend the lease beyond this time: the expiry of a token that can't be
    /// renewed itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<Timestamp>,
    /// Whether the lease is active, being revoked or irrevocable.
    pub state: LeaseState,
}

/// What is revoked when a lease ends. Its debug output leaves the engine's data out, which may
/// contain secrets.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LeaseKind {
    /// A credential or secret that an engine issued.
    Credential {
        /// UUID of the mount that issued it.
        mount: String,
        /// The path below the mount at which it was issued.
        path: String,
        /// Internal data that the engine stored with the lease.
        internal: Box<RawValue>,
        /// The response data, if the engine requested to receive it on renewal and revocation.
        data: Option<Box<RawValue>>,
        /// Whether the record is stored under the seal as well, because `internal` contains a
        /// secret.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        seal_wrap: bool,
    },
    /// A service token, which is revoked with its children and leases.
    Token {
        /// The token's key in the token store.
        key: String,
        /// For a token issued by an auth method: data that is passed back to the method when the
        /// token is renewed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        login: Option<Box<RawValue>>,
    },
}

impl fmt::Debug for LeaseKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Credential { mount, path, seal_wrap, .. } => f
                .debug_struct("Credential")
                .field("mount", mount)
                .field("path", path)
                .field("seal_wrap", seal_wrap)
                .finish_non_exhaustive(),
            Self::Token { key, .. } => {
                f.debug_struct("Token").field("key", key).finish_non_exhaustive()
            }
        }
    }
}

/// The state of a lease, from issue to revocation. It is stored in the lease's record, tagged with
/// its name in lower case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum LeaseState {
    /// Valid until it expires or is revoked.
    Active,
    /// Being revoked: the revocation was requested, or an attempt after expiry failed.
    Revoking {
        /// Number of failed attempts so far.
        attempts: u32,
        /// When the next attempt is due.
        next: Timestamp,
        /// The error of the last attempt.
        error: Option<String>,
    },
    /// Revocation failed permanently and is no longer attempted. The lease is kept for operators to
    /// inspect and revoke again.
    Irrevocable {
        /// The error of the last attempt.
        error: String,
    },
}

impl Lease {
    /// When the expiration manager must handle the lease; `None` for an irrevocable one. An active
    /// lease is due when it expires.
    pub fn due_at(&self) -> Option<Timestamp> {
        match &self.state {
            LeaseState::Active => Some(self.expires),
            LeaseState::Revoking { next, .. } => Some(*next),
            LeaseState::Irrevocable { .. } => None,
        }
    }

    /// Whether the lease is active and not expired at `now`. A lease that is being revoked or
    /// irrevocable is not active.
    pub fn is_alive(&self, now: Timestamp) -> bool {
        self.state == LeaseState::Active && self.expires > now
    }

    /// A copy renewed at `now` for `ttl`, which expires at `expires`: `ttl` later, or earlier by the
    /// part of a second by which `ttl` was rounded up. The caller has to apply the limits and store
    /// the copy; nothing is checked.
    #[must_use]
    pub fn after_renewal(&self, now: Timestamp, ttl: Ttl, expires: Timestamp) -> Self {
        Self { expires, last_renewal: Some(now), ttl, ..self.clone() }
    }

    /// The remaining lifetime at `now`; zero if the lease has expired. The state is ignored, so a
    /// lease being revoked may have some left.
    pub fn ttl_left(&self, now: Timestamp) -> Ttl {
        Ttl::from_duration(self.expires.since(now))
    }

    /// The path of the mount it was issued at, derived from its id: the id without its random
    /// suffix and without the part below the mount.
    pub(crate) fn mount_prefix(&self) -> String {
        let id = self.id.as_str();
        let Some((issued_at, _)) = id.rsplit_once('/') else { return String::new() };
        let below = match &self.kind {
            LeaseKind::Credential { path, .. } => path.trim_end_matches('/'),
            LeaseKind::Token { .. } => "",
        };
        match issued_at.strip_suffix(below).filter(|mount| mount.ends_with('/')) {
            Some(mount) => mount.to_owned(),
            None => format!("{issued_at}/"),
        }
    }

    /// Whether the record is stored under the seal as well.
    pub(crate) fn is_seal_wrapped(&self) -> bool {
        matches!(self.kind, LeaseKind::Credential { seal_wrap: true, .. })
    }

    /// Limits an error text to one printable line of bounded length.
    pub(crate) fn printable_error(error: &str) -> String {
        const MAX_BYTES: usize = 1000;
        strongroom_types::printable(error, MAX_BYTES).into_owned()
    }
}
