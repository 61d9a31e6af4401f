//! `policy`

mod delete;
mod fmt;
mod list;
mod read;
mod write;

use clap::Subcommand;

use crate::context::Context;
use crate::failure::Outcome;

/// Manage policies
#[derive(Subcommand)]
#[command(defer = true)]
pub(crate) enum Policy {
    Delete(Box<delete::Delete>),
    Fmt(Box<fmt::Fmt>),
    List(Box<list::List>),
    Read(Box<read::Read>),
    Write(Box<write::Write>),
}

impl Policy {
    pub(super) async fn run(self, context: &mut Context) -> Outcome {
        match self {
            Self::Delete(command) => command.run(context).await,
            Self::Fmt(command) => command.run(context),
            Self::List(command) => command.run(context).await,
            Self::Read(command) => command.run(context).await,
            Self::Write(command) => command.run(context).await,
        }
    }
}

/// A policy's name as the server keeps it.
fn policy_name(name: &str) -> String {
    name.to_lowercase()
}
