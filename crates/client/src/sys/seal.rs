//! Initialise, unseal, seal, and how the server is. None of these answers has an envelope.
//!
//! <https://developer.hashicorp.com/vault/api-docs/system/seal-status>

use reqwest::Method;
use serde::{Deserialize, Serialize};
use strongroom_types::Secret;

use crate::client::Client;
use crate::error::Error;

/// How far the server is from being unsealed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct SealStatus {
    /// How the root key is protected: `shamir`, or the name of an outside key's service.
    #[serde(rename = "type")]
    pub seal_type: String,
    /// Whether it was ever initialised.
    pub initialized: bool,
    /// Whether it is sealed.
    pub sealed: bool,
    /// Shares that are needed.
    pub t: u32,
    /// Shares there are.
    pub n: u32,
    /// Shares given so far.
    pub progress: u32,
    /// Which attempt at unsealing this is; empty before the first share.
    pub nonce: String,
    /// The server's version.
    pub version: String,
    /// When it was built, as OpenBao says it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub commit_date: String,
    /// When it was built, as Vault says it.
    pub build_date: String,
    /// Whether the seal is being replaced by another.
    pub migration: bool,
    /// The cluster's name, once unsealed.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cluster_name: String,
    /// The cluster's id, once unsealed.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cluster_id: String,
    /// Whether `t` and `n` count recovery shares.
    pub recovery_seal: bool,
    /// What protects the recovery key.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub recovery_seal_type: String,
    /// Where data lies.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub storage_type: String,
}

/// Who leads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct LeaderStatus {
    /// Whether there can be more than one node.
    pub ha_enabled: bool,
    /// Whether the node that was asked leads.
    pub is_self: bool,
    /// Since when it leads, RFC 3339.
    pub active_time: String,
    /// Where the leader's clients connect.
    pub leader_address: String,
    /// Where other nodes connect to it.
    pub leader_cluster_address: String,
    /// The last entry that most nodes have.
    pub raft_committed_index: u64,
    /// The last entry that this node has used.
    pub raft_applied_index: u64,
}

/// How to initialise.
#[derive(Clone, Debug, Default, Serialize)]
pub struct InitRequest {
    /// Key shares to make.
    pub secret_shares: u32,
    /// Key shares that unseal.
    pub secret_threshold: u32,
}

/// What initialising gives, once and never again.
pub struct InitOutput {
    /// Key shares, hexadecimal.
    pub keys: Vec<Secret<String>>,
    /// The same, base64.
    pub keys_base64: Vec<Secret<String>>,
    /// Recovery shares, hexadecimal; of an outside seal.
    pub recovery_keys: Vec<Secret<String>>,
    /// The same, base64.
    pub recovery_keys_base64: Vec<Secret<String>>,
    /// The first root token.
    pub root_token: Secret<String>,
}

/// Whether a server takes requests.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct HealthStatus {
    /// Whether it was ever initialised.
    pub initialized: bool,
    /// Whether it is sealed.
    pub sealed: bool,
    /// Whether another node leads.
    pub standby: bool,
    /// The server's version.
    pub version: String,
    /// The cluster's name, once unsealed.
    pub cluster_name: String,
    /// The cluster's id, once unsealed.
    pub cluster_id: String,
    /// The server's time, seconds since the epoch.
    pub server_time_utc: i64,
}

impl Client {
    /// How far the server is from being unsealed. Needs no token.
    pub async fn seal_status(&self) -> Result<SealStatus, Error> {
        self.without_namespace().get_document("sys/seal-status").await
    }

    /// Who leads. Needs no token.
    pub async fn leader(&self) -> Result<LeaderStatus, Error> {
        self.get_document("sys/leader").await
    }

    /// Whether a server takes requests. Needs no token, and is no error while it doesn't.
    pub async fn health(&self) -> Result<HealthStatus, Error> {
        let as_success = ["uninitcode", "sealedcode", "standbycode", "drsecondarycode"]
            .into_iter()
            .chain(["performancestandbycode", "removedcode", "haunhealthycode"])
            .map(|name| (name.to_owned(), "299".to_owned()));
        let query: Vec<_> = as_success.collect();
        let body = self.read_raw("sys/health", &query).await?;
        serde_json::from_slice(&body)
            .map_err(|_| Error::InvalidResponse("it isn't a health document"))
    }

    /// Whether the server was ever initialised. Needs no token.
    pub async fn is_initialised(&self) -> Result<bool, Error> {
        #[derive(Deserialize)]
        struct InitStatusBody {
            initialized: bool,
        }
        let answer: InitStatusBody = self.get_document("sys/init").await?;
        Ok(answer.initialized)
    }

    /// Initialises the server. Needs no token; works once.
    pub async fn init(&self, request: &InitRequest) -> Result<InitOutput, Error> {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct InitResponseBody {
            keys: Vec<String>,
            keys_base64: Vec<String>,
            recovery_keys: Option<Vec<String>>,
            recovery_keys_base64: Option<Vec<String>>,
            root_token: String,
        }
        let secrets = |texts: Vec<String>| texts.into_iter().map(Secret::new).collect();
        let answer: InitResponseBody = self.put_for_document("sys/init", request).await?;
        Ok(InitOutput {
            keys: secrets(answer.keys),
            keys_base64: secrets(answer.keys_base64),
            recovery_keys: secrets(answer.recovery_keys.unwrap_or_default()),
            recovery_keys_base64: secrets(answer.recovery_keys_base64.unwrap_or_default()),
            root_token: Secret::new(answer.root_token),
        })
    }

    /// Gives a key share. Needs no token.
    pub async fn unseal(&self, share: &Secret<String>, migrate: bool) -> Result<SealStatus, Error> {
        #[derive(Serialize)]
        struct UnsealBody<'a> {
            key: &'a str,
            migrate: bool,
        }
        self.put_for_document("sys/unseal", &UnsealBody { key: share.expose_secret(), migrate })
            .await
    }

    /// Forgets the key shares given so far. Needs no token.
    pub async fn reset_unseal(&self) -> Result<SealStatus, Error> {
        #[derive(Serialize)]
        struct ResetUnsealBody {
            reset: bool,
        }
        self.put_for_document("sys/unseal", &ResetUnsealBody { reset: true }).await
    }

    /// Seals the server.
    pub async fn seal(&self) -> Result<(), Error> {
        self.send(Method::PUT, "sys/seal", &[], None).await.map(drop)
    }
}
