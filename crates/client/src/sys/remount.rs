//! Moving mounts.
//!
//! <https://developer.hashicorp.com/vault/api-docs/system/remount>

use reqwest::Method;
use serde::{Deserialize, Serialize};

use crate::client::{Client, to_json};
use crate::error::Error;
use crate::response::SecretResponse;

/// How far a move is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MigrationStatus {
    /// It goes on.
    Running,
    /// It is done.
    Done,
    /// It was given up.
    Failed,
}

impl Client {
    /// Begins to move a mount; auth methods are below `auth/`. Gives the move's id.
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

    /// How far a move is.
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
