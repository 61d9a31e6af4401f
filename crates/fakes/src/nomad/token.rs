//! A token as Nomad stores and shows it, and its validation.

use serde::{Deserialize, Serialize};
use strongroom_types::duration::parse_nanos;
use strongroom_types::{Timestamp, Ttl};

use super::TokenInfo;

/// A stored token.
#[derive(Clone)]
pub(super) struct AclToken {
    pub(super) accessor: String,
    pub(super) secret: String,
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) policies: Vec<String>,
    pub(super) global: bool,
    pub(super) hash: String,
    pub(super) created: Timestamp,
    /// When it expires, in nanoseconds; zero for never.
    pub(super) expiration_nanos: i64,
    pub(super) expires: Option<Timestamp>,
    pub(super) index: u64,
}

/// The body of a request to create a token. Unknown fields are ignored, as in Nomad.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct AclTokenRequest {
    #[serde(rename = "AccessorID")]
    pub(super) accessor: String,
    #[serde(rename = "Name")]
    pub(super) name: String,
    #[serde(rename = "Type")]
    pub(super) kind: String,
    #[serde(rename = "Policies")]
    pub(super) policies: Option<Vec<String>>,
    #[serde(rename = "Global")]
    pub(super) global: bool,
    #[serde(rename = "ExpirationTTL")]
    pub(super) expiration_ttl: Option<serde_json::Value>,
}

/// Nomad limits the name's length in bytes.
const MAX_NAME_BYTES: usize = 256;

impl AclTokenRequest {
    /// The requested lifetime in nanoseconds, zero for none; or Go's error for an invalid duration.
    pub(super) fn expiration_nanos(&self) -> Result<i64, String> {
        match &self.expiration_ttl {
            Some(serde_json::Value::String(text)) if !text.is_empty() => parse_go_duration(text),
            Some(serde_json::Value::Number(nanos)) => Ok(nanos.as_i64().unwrap_or_default()),
            _ => Ok(0),
        }
    }

    /// All validation errors, in Nomad's order.
    pub(super) fn validation_errors(
        &self,
        expiration_nanos: i64,
        min: Ttl,
        max: Ttl,
    ) -> Vec<String> {
        let mut faults = Vec::new();
        let mut wrong = |fault: &str| faults.push(fault.to_owned());
        if self.name.len() > MAX_NAME_BYTES {
            wrong("token name too long");
        }
        let has_policies = self.policies.as_ref().is_some_and(|policies| !policies.is_empty());
        match (self.kind.as_str(), has_policies) {
            ("client", true) | ("management", false) => {}
            ("client", false) => wrong("client token missing policies or roles"),
            ("management", true) => {
                wrong("management token cannot be associated with policies or roles");
            }
            _ => wrong("token type must be client or management"),
        }
        if expiration_nanos == 0 {
            return faults;
        }
        let asked = format_go_duration(expiration_nanos);
        if expiration_nanos < 0 {
            wrong(&format!("token expiration TTL '{asked}' should not be negative"));
            wrong("expiration time cannot be before create time");
        }
        if expiration_nanos > ttl_nanos(max) {
            wrong(&format!(
                "expiration time cannot be more than {max} in the future (was {asked})"
            ));
        } else if expiration_nanos < ttl_nanos(min) {
            wrong(&format!(
                "expiration time cannot be less than {min} in the future (was {asked})"
            ));
        }
        faults
    }
}

/// Parses a duration like Go: no number without a unit except 0, and no unit for days.
fn parse_go_duration(text: &str) -> Result<i64, String> {
    let bare = text.trim_start_matches(['-', '+']).bytes().all(|b| b.is_ascii_digit() || b == b'.');
    if bare && text != "0" {
        return Err(format!("time: missing unit in duration {text:?}"));
    }
    let invalid = || format!("time: invalid duration {text:?}");
    if text.ends_with('d') {
        return Err(invalid());
    }
    parse_nanos(text).map_err(|_| invalid())
}

fn ttl_nanos(ttl: Ttl) -> i64 {
    i64::try_from(ttl.as_duration().as_nanos()).unwrap_or(i64::MAX)
}

/// Formats a duration like Go, in whole seconds.
fn format_go_duration(nanos: i64) -> String {
    let secs = Ttl::from_secs(nanos.unsigned_abs() / 1_000_000_000);
    if nanos < 0 { format!("-{secs}") } else { secs.to_string() }
}

/// A token as its creator and its readers see it, with the secret.
#[derive(Serialize)]
pub(super) struct AclTokenResponse<'a> {
    #[serde(rename = "ExpirationTTL")]
    expiration_ttl: String,
    #[serde(rename = "AccessorID")]
    accessor: &'a str,
    #[serde(rename = "SecretID")]
    secret: &'a str,
    #[serde(rename = "Name")]
    name: &'a str,
    #[serde(rename = "Type")]
    kind: &'a str,
    #[serde(rename = "Policies")]
    policies: Option<&'a [String]>,
    #[serde(rename = "Roles")]
    roles: Option<()>,
    #[serde(rename = "Global")]
    global: bool,
    #[serde(rename = "Hash")]
    hash: &'a str,
    #[serde(rename = "CreateTime")]
    created: String,
    #[serde(rename = "ExpirationTime")]
    expires: Option<String>,
    #[serde(rename = "CreateIndex")]
    create_index: u64,
    #[serde(rename = "ModifyIndex")]
    modify_index: u64,
}

/// A token as lists show it: without its secret.
#[derive(Serialize)]
pub(super) struct AclTokenListStub<'a> {
    #[serde(rename = "AccessorID")]
    accessor: &'a str,
    #[serde(rename = "CreateIndex")]
    create_index: u64,
    #[serde(rename = "CreateTime")]
    created: String,
    #[serde(rename = "ExpirationTime")]
    expires: Option<String>,
    #[serde(rename = "Global")]
    global: bool,
    #[serde(rename = "Hash")]
    hash: &'a str,
    #[serde(rename = "ModifyIndex")]
    modify_index: u64,
    #[serde(rename = "Name")]
    name: &'a str,
    #[serde(rename = "Policies")]
    policies: Option<&'a [String]>,
    #[serde(rename = "Roles")]
    roles: Option<()>,
    #[serde(rename = "Type")]
    kind: &'a str,
}

impl AclToken {
    pub(super) fn is_management(&self) -> bool {
        self.kind == "management"
    }

    pub(super) fn has_expired(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|at| at < now)
    }

    fn policies_or_null(&self) -> Option<&[String]> {
        (!self.policies.is_empty()).then_some(self.policies.as_slice())
    }

    pub(super) fn to_response(&self) -> AclTokenResponse<'_> {
        let expiration_ttl = match self.expiration_nanos {
            0 => String::new(),
            nanos => format_go_duration(nanos),
        };
        AclTokenResponse {
            expiration_ttl,
            accessor: &self.accessor,
            secret: &self.secret,
            name: &self.name,
            kind: &self.kind,
            policies: self.policies_or_null(),
            roles: None,
            global: self.global,
            hash: &self.hash,
            created: self.created.to_rfc3339(),
            expires: self.expires.map(Timestamp::to_rfc3339),
            create_index: self.index,
            modify_index: self.index,
        }
    }

    pub(super) fn to_list_stub(&self) -> AclTokenListStub<'_> {
        AclTokenListStub {
            accessor: &self.accessor,
            create_index: self.index,
            created: self.created.to_rfc3339(),
            expires: self.expires.map(Timestamp::to_rfc3339),
            global: self.global,
            hash: &self.hash,
            modify_index: self.index,
            name: &self.name,
            policies: self.policies_or_null(),
            roles: None,
            kind: &self.kind,
        }
    }

    pub(super) fn to_info(&self) -> TokenInfo {
        let secs = u64::try_from(self.expiration_nanos).unwrap_or_default() / 1_000_000_000;
        TokenInfo {
            accessor: self.accessor.clone(),
            name: self.name.clone(),
            kind: self.kind.clone(),
            policies: self.policies.clone(),
            global: self.global,
            expires: self.expires.map(Timestamp::to_rfc3339),
            expiration_ttl: Ttl::from_secs(secs),
        }
    }
}
