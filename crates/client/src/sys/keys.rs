//! The key that encrypts new entries, and stepping down as the active node.
//!
//! <https://developer.hashicorp.com/vault/api-docs/system/key-status>

use reqwest::Method;
use serde::{Deserialize, Serialize};

use crate::client::Client;
use crate::error::Error;

/// The state of the encryption key that new storage entries are written with.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct KeyStatus {
    /// The number of the key, counted from 1 and raised by each rotation.
    pub term: u64,
    /// When the key was installed, in RFC 3339 format.
    pub install_time: String,
    /// How many times the key has encrypted, as an upper bound.
    #[serde(default)]
    pub encryptions: u64,
}

impl Client {
    /// Reads the state of the current encryption key.
    ///
    /// # Errors
    ///
    /// As for [`Client::read`].
    pub async fn key_status(&self) -> Result<KeyStatus, Error> {
        // The fields are at the top level as well as in `data`.
        self.get_document("sys/key-status").await
    }

    /// Asks the active node to give up leadership, so that a standby can take over.
    ///
    /// # Errors
    ///
    /// As for [`Client::read`].
    pub async fn step_down(&self) -> Result<(), Error> {
        self.send(Method::PUT, "sys/step-down", &[], None).await.map(drop)
    }
}
