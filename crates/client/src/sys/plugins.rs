//! The plug-in catalog: listing, reading, registering and reloading plug-ins.
//!
//! <https://developer.hashicorp.com/vault/api-docs/system/plugins-catalog>

use std::collections::BTreeMap;

use reqwest::Method;
use serde::{Deserialize, Serialize};

use crate::client::Client;
use crate::error::Error;
use crate::response::SecretResponse;

/// The contents of the plug-in catalog.
#[derive(Clone, Debug, Default)]
pub struct PluginCatalog {
    /// Plug-in names, by type: `auth`, `database`, `secret`.
    pub names: BTreeMap<String, Vec<String>>,
    /// Details of the plug-ins, one entry for each version.
    pub detailed: Vec<PluginDetails>,
}

/// One version of a plug-in in the catalog.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct PluginDetails {
    /// The type: `auth`, `database` or `secret`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The name under which it is registered and mounted.
    pub name: String,
    /// Its semantic version; empty for an unversioned plug-in.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// Whether it is compiled into the server.
    pub builtin: bool,
    /// Whether the plug-in is deprecated, and how far its removal has come.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub deprecation_status: String,
}

/// How to register a plug-in. No `Debug`: its environment may hold secrets.
#[derive(Clone, Default, Serialize)]
pub struct RegisterPluginRequest {
    /// The type: `auth`, `database` or `secret`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The file name of the binary in the server's plug-in folder.
    pub command: String,
    /// The SHA-256 of the binary, hexadecimal.
    pub sha256: String,
    /// Command line arguments of the plug-in process.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Environment variables of the plug-in process, as `NAME=value`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// The semantic version; empty for an unversioned plug-in.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub version: String,
}

/// Which plug-in processes to restart: set `plugin` or `mounts`. Fields that are empty are left out
/// of the request.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ReloadPluginsRequest {
    /// The name of a plug-in, to reload all of its mounts.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub plugin: String,
    /// The paths of individual mounts to reload.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<String>,
    /// `global` to reload on all nodes; empty for this node only.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub scope: String,
}

impl Client {
    /// Lists all plug-ins of the catalog, built-in ones included.
    ///
    /// # Errors
    ///
    /// As for [`Client::read`].
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

    /// Reads a plug-in, in the given version or in the one that would run. A plug-in that isn't in
    /// the catalog is an [`Error::Api`] with status 404.
    ///
    /// # Errors
    ///
    /// As for [`Client::read`].
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

    /// Registers a plug-in. The response is there if the server has warnings.
    ///
    /// # Errors
    ///
    /// As for [`Client::read`].
    pub async fn register_plugin(
        &self,
        name: &str,
        request: &RegisterPluginRequest,
    ) -> Result<Option<SecretResponse>, Error> {
        let reply = self.put_json(&catalog_path(&request.kind, name), request).await?;
        SecretResponse::parse(&reply.body)
    }

    /// Removes a plug-in from the catalog. Does nothing if it isn't there.
    ///
    /// # Errors
    ///
    /// As for [`Client::read`].
    pub async fn deregister_plugin(
        &self,
        kind: &str,
        name: &str,
        version: Option<&str>,
    ) -> Result<(), Error> {
        let query = version_query(version);
        self.send(Method::DELETE, &catalog_path(kind, name), &query, None).await.map(drop)
    }

    /// Restarts plug-in processes, in the version that the catalog selects.
    ///
    /// # Errors
    ///
    /// As for [`Client::read`].
    pub async fn reload_plugins(
        &self,
        request: &ReloadPluginsRequest,
    ) -> Result<Option<SecretResponse>, Error> {
        let reply = self.put_json("sys/plugins/reload/backend", request).await?;
        SecretResponse::parse(&reply.body)
    }
}

/// The catalog path of a plug-in. Without a type, the server finds it by name.
fn catalog_path(kind: &str, name: &str) -> String {
    match kind {
        "" | "unknown" => format!("sys/plugins/catalog/{name}"),
        kind => format!("sys/plugins/catalog/{kind}/{name}"),
    }
}

fn version_query(version: Option<&str>) -> Vec<(String, String)> {
    version.map(|version| ("version".to_owned(), version.to_owned())).into_iter().collect()
}
