//! Moving mounts to another path.
//!
//! <https://developer.hashicorp.com/vault/api-docs/system/remount>

use reqwest::Method;
use serde::{Deserialize, Serialize};

use crate::client::{Client, to_json};
use crate::error::Error;
use crate::response::SecretResponse;

/// The progress of a remount, which the server does in the background.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MigrationStatus {
    /// The remount is in progress.
    Running,
    /// The remount has finished successfully.
    Done,
    /// The remount was given up.
    Failed,
}

impl Client {
    /// Starts to move a mount and returns the migration's id. Paths of auth methods begin with
    /// `auth/`.
    ///
    /// # Errors
    ///
    /// As for [`Client::read`].
    pub async fn start_remount(&self, from: &str, to: &str) -> Result<String, Error> {
        #[derive(Serialize)]
        struct RemountBody<'a> {
            from: &'a str,
            to: &'a str,
        }
        let body = to_json(&RemountBody { from, to })?;
        let reply = self.send(Method::POST, "sys/remount", &[], Some(body)).await?;
        let answer = SecretResponse::parse(&reply.body)?;
        let id = answer.and_then(|answer| answer.data_field("migration_id"));
        id.ok_or(Error::InvalidResponse("it doesn't name the move"))
    }

    /// Reads the progress of the remount with this migration id.
    ///
    /// # Errors
    ///
    /// As for [`Client::read`].
    pub async fn remount_status(&self, id: &str) -> Result<MigrationStatus, Error> {
        #[derive(Deserialize)]
        struct MigrationInfo {
            status: String,
        }
        let answer = self.read(&format!("sys/remount/status/{id}"), &[]).await?;
        let info: Option<MigrationInfo> =
            answer.and_then(|answer| answer.data_field("migration_info"));
        match info.as_ref().map(|info| info.status.as_str()) {
            Some("success") => Ok(MigrationStatus::Done),
            Some("failure") => Ok(MigrationStatus::Failed),
            Some(_) => Ok(MigrationStatus::Running),
            None => Err(Error::InvalidResponse("it doesn't say how far the move is")),
        }
    }
}
