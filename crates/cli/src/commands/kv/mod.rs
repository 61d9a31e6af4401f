//! `kv`: the key-value engine, in either version.

mod delete;
mod documents;
mod enable_versioning;
mod get;
mod list;
mod metadata;
mod outcome;
mod patch;
mod put;
mod rollback;
mod show;
mod target;
mod versions;

use clap::Subcommand;

use crate::context::CommandContext;
use crate::error::CliResult;

/// Read and write secrets of the key/value engine
#[derive(Subcommand)]
#[command(defer = true)]
pub(crate) enum KvCommand {
    Delete(Box<delete::KvDelete>),
    Destroy(Box<versions::KvDestroy>),
    EnableVersioning(Box<enable_versioning::KvEnableVersioning>),
    Get(Box<get::KvGet>),
    List(Box<list::KvList>),
    /// Manage the metadata of a secret
    #[command(subcommand)]
    Metadata(Box<metadata::KvMetadataCommand>),
    Patch(Box<patch::KvPatch>),
    Put(Box<put::KvPut>),
    Rollback(Box<rollback::KvRollback>),
    Undelete(Box<versions::KvUndelete>),
}

impl KvCommand {
    pub(super) async fn run(self, context: &mut CommandContext) -> CliResult {
        match self {
            Self::Delete(command) => command.run(context).await,
            Self::Destroy(command) => command.run(context).await,
            Self::EnableVersioning(command) => command.run(context).await,
            Self::Get(command) => command.run(context).await,
            Self::List(command) => command.run(context).await,
            Self::Metadata(command) => command.run(context).await,
            Self::Patch(command) => command.run(context).await,
            Self::Put(command) => command.run(context).await,
            Self::Rollback(command) => command.run(context).await,
            Self::Undelete(command) => command.run(context).await,
        }
    }
}
