//! The commands, a file each; groups are folders.
//!
//! # Add a command
//!
//! 1. A file here, or in its group's folder: a struct of flags that derives [`clap::Args`], with
//!    [`Http`](crate::flags::Http) flattened into it, and `async fn run(self, &mut Context)`.
//! 2. Positional arguments are one `Vec<String>`, counted with
//!    [`expect_count`](crate::failure::expect_count), so that messages read as Vault's.
//! 3. A variant and a line in [`Command`] or in the group's enum.
//! 4. Cases in `tests/cmd/`: what it prints, what it says when something is missing, its exit codes.

mod delete;
mod lease;
mod list;
mod login;
mod operator;
mod plugin;
mod policy;
mod print;
mod read;
mod secrets;
pub(crate) mod server;
mod status;
mod token;
mod version;
mod write;

use clap::{Parser, Subcommand};

use crate::context::Context;
use crate::failure::Outcome;

/// The whole command line. No part of it is `Debug`: arguments may be secrets.
#[derive(Parser)]
#[command(
    name = "strongroom",
    about = "Keeps secrets, and hands them out to those who may have them",
    disable_help_subcommand = true,
    disable_version_flag = true,
    args_override_self = true,
    max_term_width = 100
)]
pub(crate) struct CommandLine {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// A command, with its flags.
#[derive(Subcommand)]
pub(crate) enum Command {
    Read(Box<read::Read>),
    Write(Box<write::Write>),
    Delete(Box<delete::Delete>),
    List(Box<list::List>),
    Login(Box<login::Login>),
    Server(Box<server::Server>),
    Status(Box<status::Status>),
    /// Interact with leases
    #[command(subcommand)]
    Lease(Box<lease::Lease>),
    /// Initialise, unseal and seal the server
    #[command(subcommand)]
    Operator(Box<operator::Operator>),
    /// Interact with the plug-in catalog
    #[command(subcommand)]
    Plugin(Box<plugin::Plugin>),
    /// Interact with policies
    #[command(subcommand)]
    Policy(Box<policy::Policy>),
    /// Print what the command line uses
    #[command(subcommand)]
    Print(Box<print::Print>),
    /// Interact with secrets engines
    #[command(subcommand)]
    Secrets(Box<secrets::Secrets>),
    /// Interact with tokens
    #[command(subcommand)]
    Token(Box<token::Token>),
    Version(Box<version::Version>),
}

impl Command {
    /// Runs a command that talks to a server.
    pub(crate) async fn run(self, context: &mut Context) -> Outcome {
        match self {
            Self::Read(command) => command.run(context).await,
            Self::Write(command) => command.run(context).await,
            Self::Delete(command) => command.run(context).await,
            Self::List(command) => command.run(context).await,
            Self::Login(command) => command.run(context).await,
            Self::Server(command) => command.run(context).await,
            Self::Status(command) => command.run(context).await,
            Self::Lease(command) => command.run(context).await,
            Self::Operator(command) => command.run(context).await,
            Self::Plugin(command) => command.run(context).await,
            Self::Policy(command) => command.run(context).await,
            Self::Print(command) => command.run(context),
            Self::Secrets(command) => command.run(context).await,
            Self::Token(command) => command.run(context).await,
            Self::Version(command) => {
                command.run(context);
                Ok(())
            }
        }
    }
}

/// A path without slashes at its ends and white space around it.
fn clean_path(path: &str) -> String {
    path.trim().trim_matches('/').to_owned()
}

/// A mount's path as it is shown: with a slash at its end.
fn mount_path(path: &str) -> String {
    format!("{}/", clean_path(path))
}
