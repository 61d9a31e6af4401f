//! Parses the bodies of API responses.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use strongroom_types::{Fields, Secret};

use super::{SecretAuth, SecretResponse, SecretWrapInfo};
use crate::error::Error;

impl SecretResponse {
    /// Parses a body. A bare document (`sys/health` and similar) becomes `data`; an empty body, and
    /// one that only has `errors`, is `None`.
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

/// Whether a field of the envelope has a value other than its zero value: `false`, `0` and the
/// like mean the same as a missing field.
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

/// Takes and deserialises a field, `null` if it is missing. serde's error text may quote the value,
/// so it is dropped.
fn take_field<T: DeserializeOwned>(fields: &mut Fields, name: &str) -> Result<T, Error> {
    let raw = fields.remove(name);
    serde_json::from_str(raw.as_ref().map_or("null", |raw| raw.get()))
        .map_err(|_| Error::InvalidResponse("a field of the envelope is of another type"))
}

/// The wire format of [`SecretAuth`].
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

/// The wire format of [`SecretWrapInfo`].
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
