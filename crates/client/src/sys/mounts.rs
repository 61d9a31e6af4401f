//! Mounts of secrets engines and auth methods, which the API keeps in two tables of one format.
//!
//! <https://developer.hashicorp.com/vault/api-docs/system/mounts>,
//! <https://developer.hashicorp.com/vault/api-docs/system/auth>

use std::collections::BTreeMap;

use reqwest::Method;
use serde::{Deserialize, Serialize};

use crate::client::{Client, to_json};
use crate::error::Error;
use crate::response::SecretResponse;

/// A mounted secrets engine or auth method, as the server reports it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct MountOutput {
    /// The mount's UUID, which stays the same when it is moved.
    pub uuid: String,
    /// The engine's type, or the name of its plug-in.
    #[serde(rename = "type")]
    pub engine: String,
    /// A description for users, as given when it was mounted.
    pub description: String,
    /// The mount's accessor, which identifies it in policies and identity aliases.
    pub accessor: String,
    /// Lifetimes, audit settings and header settings.
    pub config: MountConfigOutput,
    /// Options that the engine defines, such as `version` for the key-value engine.
    pub options: Option<BTreeMap<String, String>>,
    /// Whether the mount is excluded from replication to other clusters.
    pub local: bool,
    /// Whether critical values are additionally encrypted by the seal.
    pub seal_wrap: bool,
    /// Whether the engine may use an external entropy source.
    pub external_entropy_access: bool,
    /// The plug-in version that was requested; empty to use the catalog's choice.
    pub plugin_version: String,
    /// The plug-in version that is running.
    pub running_plugin_version: String,
    /// SHA-256 of the running plug-in binary, hexadecimal; empty for a built-in engine.
    pub running_sha256: String,
    /// Whether the engine is deprecated, and how far its removal has come.
    pub deprecation_status: String,
}

/// A mount's settings, as the server reports them. Lifetimes are in seconds, whatever form they
/// were set in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct MountConfigOutput {
    /// Default lifetime of leases in seconds; zero for the server's default.
    pub default_lease_ttl: i64,
    /// Maximum lifetime of leases in seconds; zero for the server's maximum.
    pub max_lease_ttl: i64,
    /// Whether caching is switched off for this mount.
    pub force_no_cache: bool,
    /// Request fields that the audit log records in plain text instead of hashed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub audit_non_hmac_request_keys: Vec<String>,
    /// Response fields that the audit log records in plain text instead of hashed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub audit_non_hmac_response_keys: Vec<String>,
    /// Whether unauthenticated user interfaces list the mount: `unauth` or `hidden`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub listing_visibility: String,
    /// Request headers that are passed on to the engine.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub passthrough_request_headers: Vec<String>,
    /// Response headers that the engine may set.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allowed_response_headers: Vec<String>,
    /// Which type of token an auth method issues.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub token_type: String,
}

/// How to mount a secrets engine or auth method. `engine` and `config` are always sent; other
/// fields are left out if empty or false.
#[derive(Clone, Debug, Default, Serialize)]
pub struct MountRequest {
    /// The engine's type, or the name of a plug-in in the catalog.
    #[serde(rename = "type")]
    pub engine: String,
    /// A description for users, which lists of mounts show.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Lifetimes, audit settings and header settings.
    pub config: MountConfigInput,
    /// Options that the engine defines, such as `version` for the key-value engine.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
    /// Whether to exclude the mount from replication to other clusters.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub local: bool,
    /// Whether to encrypt critical values additionally with the seal.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub seal_wrap: bool,
    /// Whether the engine may use an external entropy source.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub external_entropy_access: bool,
}

/// A mount's settings, to be changed. Fields that are `None` keep their value.
#[derive(Clone, Debug, Default, Serialize)]
pub struct MountConfigInput {
    /// Default lifetime of leases: a duration, or `system` for the server's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_lease_ttl: Option<String>,
    /// Maximum lifetime of leases: a duration, or `system` for the server's maximum.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_lease_ttl: Option<String>,
    /// Whether to switch caching off for this mount.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub force_no_cache: Option<bool>,
    /// A new description. Only used when tuning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Options that the engine defines. Only used when tuning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub options: Option<BTreeMap<String, String>>,
    /// Request fields that the audit log records in plain text instead of hashed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audit_non_hmac_request_keys: Option<Vec<String>>,
    /// Response fields that the audit log records in plain text instead of hashed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audit_non_hmac_response_keys: Option<Vec<String>>,
    /// Whether unauthenticated user interfaces list the mount: `unauth` or `hidden`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listing_visibility: Option<String>,
    /// Request headers that are passed on to the engine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passthrough_request_headers: Option<Vec<String>>,
    /// Response headers that the engine may set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed_response_headers: Option<Vec<String>>,
    /// The version of the plug-in to run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plugin_version: Option<String>,
    /// Which type of token an auth method issues.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_type: Option<String>,
    /// When an auth method locks out a user. Only used when tuning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_lockout_config: Option<UserLockoutConfigInput>,
}

/// When an auth method locks out a user. Fields that are `None` keep their value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct UserLockoutConfigInput {
    /// Number of failed logins before lockout, as a decimal string.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lockout_threshold: Option<String>,
    /// How long a user is locked out, as a duration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lockout_duration: Option<String>,
    /// After what time failed logins are no longer counted, as a duration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lockout_counter_reset_duration: Option<String>,
    /// Whether to switch user lockout off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lockout_disable: Option<bool>,
}

/// Selects the table of secrets engines or that of auth methods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MountTableKind {
    /// Secrets engines, under `sys/mounts`.
    Secrets,
    /// Auth methods, under `sys/auth`.
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
    /// Lists all mounts of a table, keyed by their path.
    ///
    /// # Errors
    ///
    /// As for [`Client::read`].
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

    /// Mounts a secrets engine or auth method at a path.
    ///
    /// # Errors
    ///
    /// As for [`Client::read`].
    pub async fn mount(
        &self,
        table: MountTableKind,
        path: &str,
        request: &MountRequest,
    ) -> Result<(), Error> {
        let path = format!("{}/{path}", table.api_path());
        self.send(Method::POST, &path, &[], Some(to_json(request)?)).await.map(drop)
    }

    /// Unmounts: revokes the leases or tokens that the mount issued, and deletes its data.
    ///
    /// # Errors
    ///
    /// As for [`Client::read`].
    pub async fn unmount(&self, table: MountTableKind, path: &str) -> Result<(), Error> {
        let path = format!("{}/{path}", table.api_path());
        self.send(Method::DELETE, &path, &[], None).await.map(drop)
    }

    /// Changes a mount's settings. The response is there if the server has warnings.
    ///
    /// # Errors
    ///
    /// As for [`Client::read`].
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
