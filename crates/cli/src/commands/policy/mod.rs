//! `policy`

mod delete;
mod fmt;
mod list;
mod read;
mod write;

use clap::Subcommand;

use crate::context::CommandContext;
use crate::error::CliResult;

/// Manage policies
#[derive(Subcommand)]
#[command(defer = true)]
pub(crate) enum PolicyCommand {
    Delete(Box<delete::PolicyDelete>),
    Fmt(Box<fmt::PolicyFmt>),
    List(Box<list::PolicyList>),
    Read(Box<read::PolicyRead>),
    Write(Box<write::PolicyWrite>),
}

impl PolicyCommand {
    pub(super) async fn run(self, context: &mut CommandContext) -> CliResult {
        match self {
            Self::Delete(command) => command.run(context).await,
            Self::Fmt(command) => command.run(context),
            Self::List(command) => command.run(context).await,
            Self::Read(command) => command.run(context).await,
            Self::Write(command) => command.run(context).await,
        }
    }
}

/// A policy's name as the server stores it.
fn policy_name(name: &str) -> String {
    name.to_lowercase()
}
