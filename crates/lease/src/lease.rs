//! [`Lease`]: one record of the table.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use strongroom_types::{LeaseId, Timestamp, Ttl};

/// A lease as stored. The field names are the format; `v` is its version.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Lease {
    pub(crate) v: u8,
    /// The path it was issued at, a slash and an unguessable tail.
    pub id: LeaseId,
    /// What ends with it.
    pub kind: LeaseKind,
    /// The name in storage of the token it was issued to; its end is the lease's end. None where
    /// it was issued without a token.
    pub token: Option<String>,
    /// When it was issued.
    pub issued: Timestamp,
    /// When it ends.
    pub expires: Timestamp,
    /// When it was renewed last.
    pub last_renewal: Option<Timestamp>,
    /// The lifetime it was given last.
    pub ttl: Ttl,
    /// The longest lifetime the engine gave it; zero for the mount's.
    pub max_ttl: Ttl,
    /// Whether it can be renewed.
    pub renewable: bool,
    /// The moment beyond which no renewal goes: the end of a token that isn't renewed itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<Timestamp>,
    /// Where it stands.
    pub state: LeaseState,
}

/// What a lease ends.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LeaseKind {
    /// A credential of an engine.
    Credential {
        /// The mount's UUID.
        mount: String,
        /// The path below the mount at which it was issued.
        path: String,
        /// What the engine asked to be kept.
        internal: Box<RawValue>,
        /// The client's data, for engines that need it back.
        data: Option<Box<RawValue>>,
    },
    /// A token.
    Token {
        /// Its name in storage.
        key: String,
        /// Of a token that an auth method stands behind: what the method is given back when the
        /// token is renewed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        login: Option<Box<RawValue>>,
    },
}

/// Where a lease stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum LeaseState {
    /// It lives until it expires.
    Active,
    /// It is being revoked: somebody asked for it, or an attempt at its end failed.
    Revoking {
        /// Attempts that failed.
        attempts: u32,
        /// When the next one is due.
        next: Timestamp,
        /// What the last one failed with.
        error: Option<String>,
    },
    /// It could not be revoked, and nobody tries any more. It is kept and shown.
    Irrevocable {
        /// What the last attempt failed with.
        error: String,
    },
}

impl Lease {
    /// When the keeper has to look at it; never for an irrevocable one.
    pub fn due_at(&self) -> Option<Timestamp> {
        match &self.state {
            LeaseState::Active => Some(self.expires),
            LeaseState::Revoking { next, .. } => Some(*next),
            LeaseState::Irrevocable { .. } => None,
        }
    }

    /// Whether it is alive at this moment.
    pub fn is_alive(&self, now: Timestamp) -> bool {
        self.state == LeaseState::Active && self.expires > now
    }

    /// As it is after a renewal.
    #[must_use]
    pub fn after_renewal(&self, now: Timestamp, ttl: Ttl) -> Self {
        let expires = now.plus(ttl.as_duration());
        Self { expires, last_renewal: Some(now), ttl, ..self.clone() }
    }

    /// What is left of its life.
    pub fn ttl_left(&self, now: Timestamp) -> Ttl {
        Ttl::from_duration(self.expires.since(now))
    }

    /// The path of the mount it was issued at, as its id tells: the id without what the mount knows
    /// of it.
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

    /// What is shown of an error: one line of bounded length.
    pub(crate) fn printable_error(error: &str) -> String {
        const MAX_BYTES: usize = 1000;
        strongroom_types::printable(error, MAX_BYTES).into_owned()
    }
}
