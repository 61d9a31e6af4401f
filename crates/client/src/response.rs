//! The envelope of API responses. Data stays raw JSON, so that numbers keep their digits.

mod parse;

use std::collections::BTreeMap;
use std::fmt;

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use strongroom_types::{Fields, Secret};

/// A response of the API: data, optionally with a lease; a token; or a wrapping token.
#[derive(Debug, Default)]
pub struct SecretResponse {
    /// The id of the request, by which it can be found in the server's log.
    pub request_id: String,
    /// The id of the lease; empty if the response has none.
    pub lease_id: String,
    /// The lifetime of the lease in seconds; without a lease, a hint when to read the data again.
    pub lease_duration: i64,
    /// Whether the lease can be renewed before it expires.
    pub renewable: bool,
    /// The fields of the response data, as raw JSON; `None` without data.
    pub data: Option<Fields>,
    /// Warnings of the server about the request, for the user to read.
    pub warnings: Option<Vec<String>>,
    /// The token of a login, or of a token that was created or renewed.
    pub auth: Option<SecretAuth>,
    /// The wrapping token, if the response was wrapped.
    pub wrap_info: Option<SecretWrapInfo>,
}

/// The `auth` part of a response: a token that was created or renewed.
pub struct SecretAuth {
    /// The token; empty if it was renewed by its accessor.
    pub client_token: Secret<String>,
    /// The accessor of the token; empty for a batch token.
    pub accessor: String,
    /// All policies of the token, its own and those of its identity.
    pub policies: Option<Vec<String>>,
    /// The policies attached to the token itself.
    pub token_policies: Option<Vec<String>>,
    /// The policies that come from the token's entity and groups.
    pub identity_policies: Option<Vec<String>>,
    /// What the auth method recorded about the user, such as a user name.
    pub metadata: Option<BTreeMap<String, String>>,
    /// Whether the token has no parent, and so is not revoked together with one.
    pub orphan: bool,
    /// The id of the token's entity; empty if it has none.
    pub entity_id: String,
    /// The lifetime in seconds; zero for a token that does not expire.
    pub lease_duration: i64,
    /// Whether the token can be renewed before it expires.
    pub renewable: bool,
    /// The second factors that must be given before the server issues a token, as raw JSON.
    pub mfa_requirement: Option<Box<RawValue>>,
}

/// The `wrap_info` part of a response: the token that a wrapped response is kept under.
pub struct SecretWrapInfo {
    /// The wrapping token. It unwraps the response once.
    pub token: Secret<String>,
    /// The accessor of the wrapping token.
    pub accessor: String,
    /// The lifetime of the wrapping token in seconds.
    pub ttl: i64,
    /// When the wrapping token was created, in RFC 3339 format.
    pub creation_time: String,
    /// The path of the request whose response was wrapped.
    pub creation_path: String,
    /// The accessor of the token in the wrapped response; empty if there is none.
    pub wrapped_accessor: String,
}

impl SecretResponse {
    /// The strings of `data.keys`, in the server's order; `None` if this isn't a list response.
    pub fn list_keys(&self) -> Option<Vec<String>> {
        serde_json::from_str(self.data.as_ref()?.get("keys")?.get()).ok()
    }

    /// Whether there are data or warnings. A 404 with either is treated as a response, not as
    /// absent.
    pub(crate) fn has_content(&self) -> bool {
        let has_data = self.data.as_ref().is_some_and(|data| !data.is_empty());
        has_data || self.warnings.as_ref().is_some_and(|warnings| !warnings.is_empty())
    }

    /// One field of the data, deserialised; `None` if it is missing or of another type.
    pub fn data_field<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        serde_json::from_str(self.data.as_ref()?.get(name)?.get()).ok()
    }
}

impl fmt::Debug for SecretAuth {
    /// Leaves the token out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let policies = self.policies.as_deref().unwrap_or_default();
        f.debug_struct("SecretAuth").field("policies", &policies).finish_non_exhaustive()
    }
}

impl fmt::Debug for SecretWrapInfo {
    /// Leaves the wrapping token out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = &self.creation_path;
        f.debug_struct("SecretWrapInfo").field("creation_path", path).finish_non_exhaustive()
    }
}
