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

use super::group::run_given_command;

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

run_given_command!(
    KvCommand: Delete, Destroy, EnableVersioning, Get, List, Metadata, Patch, Put, Rollback, Undelete
);
