//! `kv metadata`: the metadata of a key.

mod delete;
mod get;
mod settings;

use clap::Subcommand;
use strongroom_client::Client;

use super::super::group::run_given_command;
use super::target::{KvTarget, MountFlag};
use crate::error::{CliError, CliResult};

/// Manage the metadata of a secret
#[derive(Subcommand)]
#[command(defer = true)]
pub(crate) enum KvMetadataCommand {
    Delete(Box<delete::KvMetadataDelete>),
    Get(Box<get::KvMetadataGet>),
    Patch(Box<settings::KvMetadataPatch>),
    Put(Box<settings::KvMetadataPut>),
}

run_given_command!(KvMetadataCommand: Delete, Get, Patch, Put);

/// The API path of a key's metadata, which only version 2 of the engine has.
async fn metadata_path(client: &Client, flag: &MountFlag, key: &str) -> CliResult<String> {
    let target = KvTarget::resolve(client, flag, key).await?;
    let no_versions = CliError::local("this mount is version 1 of KV, which has no metadata");
    Ok(target.require_versioned(no_versions)?.api_path("metadata"))
}
