//! Moving mounts.
//!
//! <https://developer.hashicorp.com/vault/api-docs/system/remount>

use reqwest::Method;
use serde::{Deserialize, Serialize};

use crate::answer::SecretAnswer;
use crate::client::{Client, json};
use crate::error::Error;

/// How far a move is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// It goes on.
    Running,
    /// It is done.
    Done,
    /// It was given up.
    Failed,
}

impl Client {
    /// Begins to move a mount; auth methods are below `auth/`. Gives the move's id.
    pub async fn start_move(&self, from: &str, to: &str) -> Result<String, Error> {
        #[derive(Serialize)]
        struct Body<'a> {
            from: &'a str,
            to: &'a str,
        }
        let body = json(&Body { from, to })?;
        let reply = self.send(Method::POST, "sys/remount", &[], Some(body)).await?;
        let answer = SecretAnswer::parse(&reply.body)?;
        let id = answer.and_then(|answer| answer.field("migration_id"));
        id.ok_or(Error::Answer("it doesn't name the move"))
    }

    /// How far a move is.
    pub async fn move_status(&self, id: &str) -> Result<Move, Error> {
        #[derive(Deserialize)]
        struct Info {
            status: String,
        }
        let answer = self.read(&format!("sys/remount/status/{id}"), &[]).await?;
        let info: Option<Info> = answer.and_then(|answer| answer.field("migration_info"));
        match info.as_ref().map(|info| info.status.as_str()) {
            Some("success") => Ok(Move::Done),
            Some("failure") => Ok(Move::Failed),
            Some(_) => Ok(Move::Running),
            None => Err(Error::Answer("it doesn't say how far the move is")),
        }
    }
}
