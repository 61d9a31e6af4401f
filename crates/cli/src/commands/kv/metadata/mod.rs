//! `kv metadata`: what is known of a key beside its data.

mod delete;
mod get;
mod settings;

use clap::Subcommand;
use strongroom_client::Client;

use super::target::{MountFlag, Target};
use crate::context::Context;
use crate::failure::{Failure, Outcome};

/// Manage the metadata of a secret
#[derive(Subcommand)]
#[command(defer = true)]
pub(crate) enum Metadata {
    Delete(Box<delete::Delete>),
    Get(Box<get::Get>),
    Patch(Box<settings::Patch>),
    Put(Box<settings::Put>),
}

impl Metadata {
    pub(super) async fn run(self, context: &mut Context) -> Outcome {
        match self {
            Self::Delete(command) => command.run(context).await,
            Self::Get(command) => command.run(context).await,
            Self::Patch(command) => command.run(context).await,
            Self::Put(command) => command.run(context).await,
        }
    }
}

/// The API's path of a key's metadata. Only the engine that keeps versions has it.
async fn path(client: &Client, flag: &MountFlag, key: &str) -> Outcome<String> {
    let target = Target::find(client, flag, key).await?;
    let no_versions = Failure::local("this mount is version 1 of KV, which has no metadata");
    Ok(target.with_versions(no_versions)?.path("metadata"))
}
