//! The envelope of the API's answers. Data stays raw JSON, so that numbers keep their digits.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use strongroom_types::{Fields, Secret};

use crate::error::Error;

/// What a server answers: data, perhaps with a lease; or a token; or the token of a wrapped answer.
#[derive(Debug, Default)]
pub struct SecretResponse {
    /// The request's id, to find it in the server's log.
    pub request_id: String,
    /// The lease; empty without one.
    pub lease_id: String,
    /// Seconds the lease lasts; for data without a lease, after how many seconds to ask again.
    pub lease_duration: i64,
    /// Whether the lease can be renewed.
    pub renewable: bool,
    /// The data.
    pub data: Option<Fields>,
    /// What the server wants to be known.
    pub warnings: Option<Vec<String>>,
    /// A token.
    pub auth: Option<SecretAuth>,
    /// Where the wrapped answer is.
    pub wrap_info: Option<SecretWrapInfo>,
}

/// A token that was made or renewed.
pub struct SecretAuth {
    /// The token; empty when a token was renewed by its accessor.
    pub client_token: Secret<String>,
    /// Its accessor; empty for a batch token.
    pub accessor: String,
    /// All policies.
    pub policies: Option<Vec<String>>,
    /// The token's own policies.
    pub token_policies: Option<Vec<String>>,
    /// Policies of its identity.
    pub identity_policies: Option<Vec<String>>,
    /// What the auth method says about whom it is for.
    pub metadata: Option<BTreeMap<String, String>>,
    /// Whether it has no parent.
    pub orphan: bool,
    /// Its entity; empty without one.
    pub entity_id: String,
    /// Seconds it lasts; zero for ever.
    pub lease_duration: i64,
    /// Whether it can be renewed.
    pub renewable: bool,
    /// What is still needed before there is a token.
    pub mfa_requirement: Option<Box<RawValue>>,
}

/// Where a wrapped answer is.
pub struct SecretWrapInfo {
    /// The token that unwraps it, once.
    pub token: Secret<String>,
    /// That token's accessor.
    pub accessor: String,
    /// Seconds it lasts.
    pub ttl: i64,
    /// When it was made, RFC 3339.
    pub creation_time: String,
    /// The path that was asked.
    pub creation_path: String,
    /// The accessor of a token in it; empty without one.
    pub wrapped_accessor: String,
}

impl SecretResponse {
    /// Reads a body. An answer without the envelope (`sys/health` and its like) becomes data; a body
    /// that only has `errors`, and an empty one, are no answer.
    pub(crate) fn parse(body: &[u8]) -> Result<Option<Self>, Error> {
        if body.trim_ascii().is_empty() {
            return Ok(None);
        }
        let mut fields =
            Fields::from_trusted(body).map_err(|_| Error::InvalidResponse("it isn't JSON"))?;
        let enveloped = ENVELOPE_FIELDS.iter().any(|name| is_set(&fields, name));
        if !enveloped {
            let only_errors = fields.contains("errors") && fields.len() == 1;
            let bare = (!only_errors && !fields.is_empty())
                .then(|| Self { data: Some(fields), ..Self::default() });
            return Ok(bare);
        }
        let auth = take_field::<Option<SecretAuthJson>>(&mut fields, "auth")?.map(SecretAuth::from);
        let wrap_info = take_field::<Option<SecretWrapInfoJson>>(&mut fields, "wrap_info")?
            .map(SecretWrapInfo::from);
        Ok(Some(Self {
            request_id: take_field::<Option<_>>(&mut fields, "request_id")?.unwrap_or_default(),
            lease_id: take_field::<Option<_>>(&mut fields, "lease_id")?.unwrap_or_default(),
            lease_duration: take_field::<Option<_>>(&mut fields, "lease_duration")?
                .unwrap_or_default(),
            renewable: take_field::<Option<_>>(&mut fields, "renewable")?.unwrap_or_default(),
            data: parse_data(&fields)?,
            warnings: take_field(&mut fields, "warnings")?,
            auth,
            wrap_info,
        }))
    }

    /// The strings of a list answer, in the server's order; none if it isn't one.
    pub fn list_keys(&self) -> Option<Vec<String>> {
        serde_json::from_str(self.data.as_ref()?.get("keys")?.get()).ok()
    }

    /// Whether it says anything: data or warnings. A 404 that does is an answer.
    pub(crate) fn has_content(&self) -> bool {
        let has_data = self.data.as_ref().is_some_and(|data| !data.is_empty());
        has_data || self.warnings.as_ref().is_some_and(|warnings| !warnings.is_empty())
    }

    /// One field of the data, read as a type.
    pub fn data_field<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        serde_json::from_str(self.data.as_ref()?.get(name)?.get()).ok()
    }
}

const ENVELOPE_FIELDS: [&str; 8] = [
    "request_id",
    "lease_id",
    "lease_duration",
    "renewable",
    "data",
    "warnings",
    "auth",
    "wrap_info",
];

/// Whether a field of the envelope says something. `false`, `0` and the like are what a missing one
/// means too.
fn is_set(fields: &Fields, name: &str) -> bool {
    let value = fields.get(name).map(RawValue::get);
    value.is_some_and(|value| !matches!(value, "null" | "\"\"" | "0" | "false"))
}

fn parse_data(fields: &Fields) -> Result<Option<Fields>, Error> {
    match fields.get("data").map(RawValue::get) {
        None | Some("null") => Ok(None),
        Some(object) => Fields::from_trusted(object.as_bytes())
            .map(Some)
            .map_err(|_| Error::InvalidResponse("its data isn't a JSON object")),
    }
}

/// Reads a field, `null` if it isn't there. What serde says may quote the value, so it isn't said.
fn take_field<T: DeserializeOwned>(fields: &mut Fields, name: &str) -> Result<T, Error> {
    let raw = fields.remove(name);
    serde_json::from_str(raw.as_ref().map_or("null", |raw| raw.get()))
        .map_err(|_| Error::InvalidResponse("a field of the envelope is of another type"))
}

/// [`SecretAuth`] as it is on the wire.
#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct SecretAuthJson {
    client_token: String,
    accessor: String,
    policies: Option<Vec<String>>,
    token_policies: Option<Vec<String>>,
    identity_policies: Option<Vec<String>>,
    metadata: Option<BTreeMap<String, String>>,
    orphan: bool,
    entity_id: String,
    lease_duration: i64,
    renewable: bool,
    mfa_requirement: Option<Box<RawValue>>,
}

/// [`SecretWrapInfo`] as it is on the wire.
#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct SecretWrapInfoJson {
    token: String,
    accessor: String,
    ttl: i64,
    creation_time: String,
    creation_path: String,
    wrapped_accessor: String,
}

impl From<SecretAuthJson> for SecretAuth {
    fn from(wire: SecretAuthJson) -> Self {
        Self {
            client_token: Secret::new(wire.client_token),
            accessor: wire.accessor,
            policies: wire.policies,
            token_policies: wire.token_policies,
            identity_policies: wire.identity_policies,
            metadata: wire.metadata,
            orphan: wire.orphan,
            entity_id: wire.entity_id,
            lease_duration: wire.lease_duration,
            renewable: wire.renewable,
            mfa_requirement: wire.mfa_requirement.filter(|raw| raw.get() != "null"),
        }
    }
}

impl From<SecretWrapInfoJson> for SecretWrapInfo {
    fn from(wire: SecretWrapInfoJson) -> Self {
        Self {
            token: Secret::new(wire.token),
            accessor: wire.accessor,
            ttl: wire.ttl,
            creation_time: wire.creation_time,
            creation_path: wire.creation_path,
            wrapped_accessor: wire.wrapped_accessor,
        }
    }
}

impl fmt::Debug for SecretAuth {
    /// Without the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let policies = self.policies.as_deref().unwrap_or_default();
        f.debug_struct("SecretAuth").field("policies", &policies).finish_non_exhaustive()
    }
}

impl fmt::Debug for SecretWrapInfo {
    /// Without the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = &self.creation_path;
        f.debug_struct("SecretWrapInfo").field("creation_path", path).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(body: &str) -> Option<SecretResponse> {
        SecretResponse::parse(body.as_bytes()).unwrap()
    }

    #[test]
    fn reads_the_envelope_and_keeps_digits() {
        let answer = parse(
            r#"{"request_id":"r","lease_id":"l","renewable":true,"lease_duration":60,
            "data":{"n":12345678901234567890,"d":1.10},"wrap_info":null,"warnings":["w"],"auth":null}"#,
        )
        .unwrap();
        assert_eq!((answer.lease_id.as_str(), answer.lease_duration), ("l", 60));
        let data = answer.data.unwrap();
        assert_eq!(data.get("n").unwrap().get(), "12345678901234567890");
        assert_eq!(data.get("d").unwrap().get(), "1.10");
        assert_eq!(answer.warnings.unwrap(), ["w"]);
    }

    #[test]
    fn body_without_envelope_is_data() {
        let answer = parse(r#"{"initialized":true,"sealed":false}"#).unwrap();
        assert_eq!(answer.data.unwrap().len(), 2);
    }

    #[test]
    fn empty_or_error_bodies_are_none() {
        for body in ["", "  ", "{}", r#"{"errors":[]}"#, r#"{"errors":["no handler"]}"#] {
            assert!(parse(body).is_none(), "{body}");
        }
    }

    #[test]
    fn malformed_body_is_not_quoted() {
        for body in [
            "hunter2",
            "[]",
            r#"{"data":"hunter2"}"#,
            r#"{"auth":"hunter2"}"#,
            r#"{"lease_id":{"a":"hunter2"}}"#,
        ] {
            let error = SecretResponse::parse(body.as_bytes()).unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let answer = parse(
            r#"{"data":{"password":"hunter2"},"auth":{"client_token":"hunter2","policies":["p"]},
            "wrap_info":{"token":"hunter2","creation_path":"a/b"}}"#,
        );
        let shown = format!("{answer:?}");
        assert!(shown.contains("a/b") && !shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn keys_of_a_list() {
        let answer = parse(r#"{"request_id":"r","data":{"keys":["b","a/"]}}"#).unwrap();
        assert_eq!(answer.list_keys().unwrap(), ["b", "a/"]);
        assert!(parse(r#"{"request_id":"r","data":{"keys":null}}"#).unwrap().list_keys().is_none());
    }
}
