//! Secrets engines and auth methods: two tables of the same kind.
//!
//! <https://developer.hashicorp.com/vault/api-docs/system/mounts>,
//! <https://developer.hashicorp.com/vault/api-docs/system/auth>

use std::collections::BTreeMap;

use reqwest::Method;
use serde::{Deserialize, Serialize};

use crate::client::{Client, to_json};
use crate::error::Error;
use crate::response::SecretResponse;

/// A mounted engine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct MountOutput {
    /// Its id, which it keeps when it is moved.
    pub uuid: String,
    /// The engine.
    #[serde(rename = "type")]
    pub engine: String,
    /// For people.
    pub description: String,
    /// Its accessor.
    pub accessor: String,
    /// Settings.
    pub config: MountConfigOutput,
    /// Settings of the engine's own.
    pub options: Option<BTreeMap<String, String>>,
    /// Whether it stays on this cluster.
    pub local: bool,
    /// Whether its most secret values are wrapped by the seal once more.
    pub seal_wrap: bool,
    /// Whether it may use an outside source of chance.
    pub external_entropy_access: bool,
    /// The version that was asked for; empty to follow the catalog.
    pub plugin_version: String,
    /// The version that runs.
    pub running_plugin_version: String,
    /// SHA-256 of the binary that runs; empty for a built-in engine.
    pub running_sha256: String,
    /// Whether the engine will go.
    pub deprecation_status: String,
}

/// A mount's settings as the server shows them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct MountConfigOutput {
    /// Seconds; zero for the server's.
    pub default_lease_ttl: i64,
    /// Seconds; zero for the server's.
    pub max_lease_ttl: i64,
    /// Whether nothing is cached.
    pub force_no_cache: bool,
    /// Request fields that the audit log shows as they are.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub audit_non_hmac_request_keys: Vec<String>,
    /// Answer fields that the audit log shows as they are.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub audit_non_hmac_response_keys: Vec<String>,
    /// Who sees it in the list that user interfaces show.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub listing_visibility: String,
    /// Headers that are passed on to the engine.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub passthrough_request_headers: Vec<String>,
    /// Headers that the engine may set.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allowed_response_headers: Vec<String>,
    /// Which kind of token an auth method gives.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub token_type: String,
}

/// How to mount an engine.
#[derive(Clone, Debug, Default, Serialize)]
pub struct MountRequest {
    /// The engine, or a plug-in's name.
    #[serde(rename = "type")]
    pub engine: String,
    /// For people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Settings.
    pub config: MountConfigInput,
    /// Settings of the engine's own.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
    /// Whether it stays on this cluster.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub local: bool,
    /// Whether its most secret values are wrapped by the seal once more.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub seal_wrap: bool,
    /// Whether it may use an outside source of chance.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub external_entropy_access: bool,
}

/// A mount's settings as they are given. What is `None` isn't touched.
#[derive(Clone, Debug, Default, Serialize)]
pub struct MountConfigInput {
    /// A duration, or `system` for the server's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_lease_ttl: Option<String>,
    /// A duration, or `system` for the server's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_lease_ttl: Option<String>,
    /// Whether nothing is cached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub force_no_cache: Option<bool>,
    /// For people. Only when tuning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Settings of the engine's own. Only when tuning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub options: Option<BTreeMap<String, String>>,
    /// Request fields that the audit log shows as they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audit_non_hmac_request_keys: Option<Vec<String>>,
    /// Answer fields that the audit log shows as they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audit_non_hmac_response_keys: Option<Vec<String>>,
    /// Who sees it in the list that user interfaces show.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listing_visibility: Option<String>,
    /// Headers that are passed on to the engine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passthrough_request_headers: Option<Vec<String>>,
    /// Headers that the engine may set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed_response_headers: Option<Vec<String>>,
    /// The plug-in's version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plugin_version: Option<String>,
    /// Which kind of token an auth method gives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_type: Option<String>,
    /// When an auth method locks users out. Only when tuning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_lockout_config: Option<UserLockoutConfigInput>,
}

/// When an auth method locks users out. What is `None` isn't touched.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct UserLockoutConfigInput {
    /// Failed logins, as the API takes them: in a string.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lockout_threshold: Option<String>,
    /// How long, a duration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lockout_duration: Option<String>,
    /// After which time failed logins are forgotten, a duration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lockout_counter_reset_duration: Option<String>,
    /// Whether nobody is locked out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lockout_disable: Option<bool>,
}

/// One of the two tables of mounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MountTableKind {
    /// Secrets engines, `sys/mounts`.
    Secrets,
    /// Auth methods, `sys/auth`.
    Auth,
}

impl MountTableKind {
    fn api_path(self) -> &'static str {
        match self {
            Self::Secrets => "sys/mounts",
            Self::Auth => "sys/auth",
        }
    }
}

impl Client {
    /// All mounted engines of a table, by path.
    pub async fn list_mounts(
        &self,
        table: MountTableKind,
    ) -> Result<BTreeMap<String, MountOutput>, Error> {
        let reply = self.send(Method::GET, table.api_path(), &[], None).await?;
        let unclear = Error::InvalidResponse("it isn't a list of mounts");
        let data = SecretResponse::parse(&reply.body)?.and_then(|answer| answer.data);
        let Some(data) = data else { return Err(unclear) };
        let mounts = data.iter().map(|(path, raw)| {
            serde_json::from_str(raw.get()).map(|mount| (path.to_owned(), mount))
        });
        mounts.collect::<Result<_, _>>().map_err(|_| unclear)
    }

    /// Mounts an engine.
    pub async fn mount(
        &self,
        table: MountTableKind,
        path: &str,
        request: &MountRequest,
    ) -> Result<(), Error> {
        let path = format!("{}/{path}", table.api_path());
        self.send(Method::POST, &path, &[], Some(to_json(request)?)).await.map(drop)
    }

    /// Unmounts an engine: its leases or tokens are revoked and its data is gone.
    pub async fn unmount(&self, table: MountTableKind, path: &str) -> Result<(), Error> {
        let path = format!("{}/{path}", table.api_path());
        self.send(Method::DELETE, &path, &[], None).await.map(drop)
    }

    /// Changes a mount's settings. The answer has warnings, if any.
    pub async fn tune_mount(
        &self,
        table: MountTableKind,
        path: &str,
        settings: &MountConfigInput,
    ) -> Result<Option<SecretResponse>, Error> {
        let below = match table {
            MountTableKind::Secrets => "",
            MountTableKind::Auth => "auth/",
        };
        let path = format!("sys/mounts/{below}{path}/tune");
        let reply = self.send(Method::POST, &path, &[], Some(to_json(settings)?)).await?;
        SecretResponse::parse(&reply.body)
    }
}
