//! [`SecretIdEntry`]: what is stored of a secret id. The secret id itself is not: its digest is part
//! of the storage key.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use strongroom_sdk::{Cidr, CidrList, Error, Timestamp, Ttl};

/// A stored secret id.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SecretIdEntry {
    /// The accessor, under which it is listed.
    pub(crate) accessor: String,
    /// How many logins are left; 0 for any number.
    pub(crate) num_uses: u64,
    /// The lifetime it was issued with, in seconds; 0 for no limit.
    pub(crate) ttl_secs: u64,
    /// The times as nanoseconds since 1970.
    created: i64,
    updated: i64,
    /// `None` for a secret id that doesn't expire.
    expires: Option<i64>,
    pub(crate) metadata: BTreeMap<String, String>,
    /// The networks from which clients may log in with it; empty for those of the role.
    cidrs: Vec<Cidr>,
    /// The networks from which the tokens may be used; empty for those of the role.
    token_cidrs: Vec<Cidr>,
}

/// What an operator asks for when a secret id is issued, with the defaults of the role.
#[derive(Clone, Debug)]
pub(crate) struct SecretIdTerms {
    /// How many logins; 0 for any number.
    pub(crate) num_uses: u64,
    /// The lifetime; 0 for no limit.
    pub(crate) ttl: Ttl,
    /// The lifetime that the mount allows; 0 for no limit.
    pub(crate) capped_ttl: Ttl,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) cidrs: CidrList,
    pub(crate) token_cidrs: CidrList,
}

impl SecretIdEntry {
    pub(crate) fn new(accessor: String, terms: SecretIdTerms, now: Timestamp) -> Self {
        let SecretIdTerms { num_uses, ttl, capped_ttl, metadata, cidrs, token_cidrs } = terms;
        let lifetime = Duration::from_secs(capped_ttl.as_secs());
        let expires = (!capped_ttl.is_zero()).then(|| now.plus(lifetime).as_nanos());
        Self {
            accessor,
            num_uses,
            ttl_secs: ttl.as_secs(),
            created: now.as_nanos(),
            updated: now.as_nanos(),
            expires,
            metadata,
            cidrs: cidrs.0,
            token_cidrs: token_cidrs.0,
        }
    }

    /// The entry after a login used one of several uses up.
    pub(crate) fn after_use(self, now: Timestamp) -> Self {
        Self { num_uses: self.num_uses.saturating_sub(1), updated: now.as_nanos(), ..self }
    }

    pub(crate) fn is_expired(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|expires| expires <= now.as_nanos())
    }

    pub(crate) fn created(&self) -> Timestamp {
        Timestamp::from_nanos(self.created)
    }

    pub(crate) fn updated(&self) -> Timestamp {
        Timestamp::from_nanos(self.updated)
    }

    pub(crate) fn expires(&self) -> Option<Timestamp> {
        self.expires.map(Timestamp::from_nanos)
    }

    pub(crate) fn cidrs(&self) -> CidrList {
        CidrList(self.cidrs.clone())
    }

    pub(crate) fn token_cidrs(&self) -> CidrList {
        CidrList(self.token_cidrs.clone())
    }
}

/// What is stored under an accessor.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct AccessorEntry {
    /// The digest of the secret id.
    pub(crate) digest: String,
    /// When it expires, in nanoseconds since 1970.
    pub(crate) expires: Option<i64>,
}

impl AccessorEntry {
    pub(crate) fn new(digest: &str, entry: &SecretIdEntry) -> Self {
        Self { digest: digest.to_owned(), expires: entry.expires }
    }

    pub(crate) fn expires(&self) -> Option<Timestamp> {
        self.expires.map(Timestamp::from_nanos)
    }
}

/// What is stored under an expiry time.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ExpiryEntry {
    pub(crate) accessor: String,
}

/// The stored form of an entry.
///
/// # Errors
///
/// An internal error if it can't be encoded, which doesn't happen.
pub(crate) fn encode_entry(entry: &impl Serialize) -> Result<Bytes, Error> {
    let encoded = serde_json::to_vec(entry);
    let failed = |cause| Error::internal_caused_by("an entry could not be encoded", cause);
    encoded.map(Bytes::from).map_err(failed)
}

/// Reads an entry.
///
/// # Errors
///
/// An internal error if this version can't read it.
pub(crate) fn decode_entry<T: DeserializeOwned>(stored: &[u8]) -> Result<T, Error> {
    let failed =
        |cause| Error::internal_caused_by("a stored entry can't be read by this version", cause);
    serde_json::from_slice(stored).map_err(failed)
}
