//! The plug-in catalog.
//!
//! <https://developer.hashicorp.com/vault/api-docs/system/plugins-catalog>

use std::collections::BTreeMap;

use reqwest::Method;
use serde::{Deserialize, Serialize};

use crate::client::Client;
use crate::error::Error;
use crate::response::SecretResponse;

/// All plug-ins.
#[derive(Clone, Debug, Default)]
pub struct PluginCatalog {
    /// Names by type: `auth`, `database`, `secret`.
    pub names: BTreeMap<String, Vec<String>>,
    /// One entry a version.
    pub detailed: Vec<PluginDetails>,
}

/// A version of a plug-in in the catalog.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct PluginDetails {
    /// `auth`, `database` or `secret`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its version; empty for an unversioned one.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// Whether it is linked into the server.
    pub builtin: bool,
    /// Whether it will go.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub deprecation_status: String,
}

/// How to register a plug-in. No `Debug`: its environment may hold secrets.
#[derive(Clone, Default, Serialize)]
pub struct RegisterPluginRequest {
    /// `auth`, `database` or `secret`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The file's name in the server's plug-in folder.
    pub command: String,
    /// The file's SHA-256, hexadecimal.
    pub sha256: String,
    /// Arguments.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Variables of its environment, `NAME=value`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// A semantic version; empty for an unversioned one.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub version: String,
}

/// What to reload.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ReloadPluginsRequest {
    /// All mounts of a plug-in; or
    #[serde(skip_serializing_if = "String::is_empty")]
    pub plugin: String,
    /// these mounts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<String>,
    /// `global` for all nodes.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub scope: String,
}

impl Client {
    /// All plug-ins.
    pub async fn list_plugins(&self) -> Result<PluginCatalog, Error> {
        let reply = self.send(Method::GET, "sys/plugins/catalog", &[], None).await?;
        let data = SecretResponse::parse(&reply.body)?.and_then(|answer| answer.data);
        let mut data = data.ok_or(Error::InvalidResponse("data from server response is empty"))?;
        let unclear = |_| Error::InvalidResponse("it isn't a list of plug-ins");
        let detailed = match data.remove("detailed") {
            Some(raw) => serde_json::from_str::<Option<_>>(raw.get()).map_err(unclear)?,
            None => None,
        };
        let mut names = BTreeMap::new();
        for (kind, raw) in data.iter() {
            let of_kind = serde_json::from_str::<Option<_>>(raw.get()).map_err(unclear)?;
            names.insert(kind.to_owned(), of_kind.unwrap_or_default());
        }
        Ok(PluginCatalog { names, detailed: detailed.unwrap_or_default() })
    }

    /// A plug-in, in the version that is asked for or the one that would run. One that isn't there
    /// is an error of status 404.
    pub async fn read_plugin(
        &self,
        kind: &str,
        name: &str,
        version: Option<&str>,
    ) -> Result<Option<SecretResponse>, Error> {
        let query = version_query(version);
        let reply = self.send(Method::GET, &catalog_path(kind, name), &query, None).await?;
        SecretResponse::parse(&reply.body)
    }

    /// Registers a plug-in. The answer has warnings, if any.
    pub async fn register_plugin(
        &self,
        name: &str,
        request: &RegisterPluginRequest,
    ) -> Result<Option<SecretResponse>, Error> {
        let reply = self.put_json(&catalog_path(&request.kind, name), request).await?;
        SecretResponse::parse(&reply.body)
    }

    /// Takes a plug-in out of the catalog; one that isn't there is no error.
    pub async fn deregister_plugin(
        &self,
        kind: &str,
        name: &str,
        version: Option<&str>,
    ) -> Result<(), Error> {
        let query = version_query(version);
        self.send(Method::DELETE, &catalog_path(kind, name), &query, None).await.map(drop)
    }

    /// Starts plug-ins anew.
    pub async fn reload_plugins(
        &self,
        request: &ReloadPluginsRequest,
    ) -> Result<Option<SecretResponse>, Error> {
        let reply = self.put_json("sys/plugins/reload/backend", request).await?;
        SecretResponse::parse(&reply.body)
    }
}

/// Where a plug-in is in the catalog. Without a type, the server finds it by its name.
fn catalog_path(kind: &str, name: &str) -> String {
    match kind {
        "" | "unknown" => format!("sys/plugins/catalog/{name}"),
        kind => format!("sys/plugins/catalog/{kind}/{name}"),
    }
}

fn version_query(version: Option<&str>) -> Vec<(String, String)> {
    version.map(|version| ("version".to_owned(), version.to_owned())).into_iter().collect()
}
