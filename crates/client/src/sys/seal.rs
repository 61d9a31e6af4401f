//! Initialise, unseal, seal, and the server's status. None of these responses has an envelope.
//!
//! <https://developer.hashicorp.com/vault/api-docs/system/seal-status>

use reqwest::Method;
use serde::{Deserialize, Serialize};
use strongroom_types::Secret;

use crate::client::Client;
use crate::error::Error;

/// The state of the seal, and how many key shares have been given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct SealStatus {
    /// How the root key is protected: `shamir`, or the name of an external key service.
    #[serde(rename = "type")]
    pub seal_type: String,
    /// Whether the server has been initialised.
    pub initialized: bool,
    /// Whether the server is sealed now.
    pub sealed: bool,
    /// The threshold: how many key shares are needed to unseal.
    pub t: u32,
    /// How many key shares exist.
    pub n: u32,
    /// How many key shares have been given in this attempt.
    pub progress: u32,
    /// Identifies the current unseal attempt; empty before the first share.
    pub nonce: String,
    /// The server's version, as a semantic version.
    pub version: String,
    /// When the server was built, under OpenBao's field name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub commit_date: String,
    /// When the server was built, under Vault's field name.
    pub build_date: String,
    /// Whether a migration to another seal is in progress.
    pub migration: bool,
    /// The cluster's name; empty while sealed.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cluster_name: String,
    /// The cluster's id; empty while sealed.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cluster_id: String,
    /// Whether `t` and `n` count recovery key shares.
    pub recovery_seal: bool,
    /// How the recovery key is protected.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub recovery_seal_type: String,
    /// The type of the storage backend.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub storage_type: String,
}

/// The HA status: which node is active.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct LeaderStatus {
    /// Whether the storage supports more than one node.
    pub ha_enabled: bool,
    /// Whether the node that responded is the active one.
    pub is_self: bool,
    /// When this node became active, in RFC 3339 format.
    pub active_time: String,
    /// The active node's API address, for clients.
    pub leader_address: String,
    /// The active node's address for other nodes of the cluster.
    pub leader_cluster_address: String,
    /// The index of the last Raft entry that is stored on a majority of nodes.
    pub raft_committed_index: u64,
    /// The index of the last Raft entry that this node has applied.
    pub raft_applied_index: u64,
}

/// How to split the root key when a server is initialised.
#[derive(Clone, Debug, Default, Serialize)]
pub struct InitRequest {
    /// How many key shares to create.
    pub secret_shares: u32,
    /// How many key shares are needed to unseal.
    pub secret_threshold: u32,
}

/// Key shares and root token of a new server. They are returned only once.
pub struct InitOutput {
    /// The key shares that unseal the server, hexadecimal.
    pub keys: Vec<Secret<String>>,
    /// The same key shares, in base64.
    pub keys_base64: Vec<Secret<String>>,
    /// The recovery key shares, hexadecimal; empty unless the seal is external.
    pub recovery_keys: Vec<Secret<String>>,
    /// The same recovery key shares, in base64.
    pub recovery_keys_base64: Vec<Secret<String>>,
    /// The initial root token, which is allowed everything.
    pub root_token: Secret<String>,
}

/// Whether the server is ready to serve requests. It reports the state of the seal and the role of
/// this node.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct HealthStatus {
    /// Whether the server has been initialised.
    pub initialized: bool,
    /// Whether the server is sealed now.
    pub sealed: bool,
    /// Whether this node is a standby.
    pub standby: bool,
    /// The server's version, as a semantic version.
    pub version: String,
    /// The cluster's name; empty while sealed.
    pub cluster_name: String,
    /// The cluster's id; empty while sealed.
    pub cluster_id: String,
    /// The server's clock, in seconds since the Unix epoch.
    pub server_time_utc: i64,
}

impl Client {
    /// Reads the state of the seal. Needs no token.
    ///
    /// # Errors
    ///
    /// As for [`Client::read`].
    pub async fn seal_status(&self) -> Result<SealStatus, Error> {
        self.without_namespace().get_document("sys/seal-status").await
    }

    /// Reads which node is active. Needs no token.
    ///
    /// # Errors
    ///
    /// As for [`Client::read`].
    pub async fn leader(&self) -> Result<LeaderStatus, Error> {
        self.get_document("sys/leader").await
    }

    /// Reads the health status. Needs no token; a sealed or standby server is not an error.
    ///
    /// # Errors
    ///
    /// As for [`Client::read`].
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

    /// Whether the server has been initialised. Needs no token.
    ///
    /// # Errors
    ///
    /// As for [`Client::read`].
    pub async fn is_initialised(&self) -> Result<bool, Error> {
        #[derive(Deserialize)]
        struct InitStatusBody {
            initialized: bool,
        }
        let answer: InitStatusBody = self.get_document("sys/init").await?;
        Ok(answer.initialized)
    }

    /// Initialises the server. Needs no token; works once.
    ///
    /// # Errors
    ///
    /// As for [`Client::read`].
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

    /// Gives one key share to a sealed server. Needs no token. `migrate` begins a seal migration.
    ///
    /// # Errors
    ///
    /// As for [`Client::read`].
    pub async fn unseal(&self, share: &Secret<String>, migrate: bool) -> Result<SealStatus, Error> {
        #[derive(Serialize)]
        struct UnsealBody<'a> {
            key: &'a str,
            migrate: bool,
        }
        self.put_for_document("sys/unseal", &UnsealBody { key: share.expose_secret(), migrate })
            .await
    }

    /// Discards the key shares given so far. Needs no token.
    ///
    /// # Errors
    ///
    /// As for [`Client::read`].
    pub async fn reset_unseal(&self) -> Result<SealStatus, Error> {
        #[derive(Serialize)]
        struct ResetUnsealBody {
            reset: bool,
        }
        self.put_for_document("sys/unseal", &ResetUnsealBody { reset: true }).await
    }

    /// Seals the server, which then refuses requests until it is unsealed.
    ///
    /// # Errors
    ///
    /// As for [`Client::read`].
    pub async fn seal(&self) -> Result<(), Error> {
        self.send(Method::PUT, "sys/seal", &[], None).await.map(drop)
    }
}
