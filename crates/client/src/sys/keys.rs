//! The key that encrypts new entries, and stepping down.
//!
//! <https://developer.hashicorp.com/vault/api-docs/system/key-status>

use reqwest::Method;
use serde::{Deserialize, Serialize};

use crate::client::Client;
use crate::error::Error;

/// The key that encrypts new entries.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct KeyStatus {
    /// Its number.
    pub term: u64,
    /// Since when it is used, RFC 3339.
    pub install_time: String,
    /// How often it was used.
    #[serde(default)]
    pub encryptions: u64,
}

impl Client {
    /// What is known of the key that encrypts new entries.
    pub async fn key_status(&self) -> Result<KeyStatus, Error> {
        // The fields stand at the top as well as in `data`.
        self.get_document("sys/key-status").await
    }

    /// Asks the node that leads to let another one lead.
    pub async fn step_down(&self) -> Result<(), Error> {
        self.send(Method::PUT, "sys/step-down", &[], None).await.map(drop)
    }
}
