//! The commands, one file each; a group of commands is a folder.
//!
//! # Add a command
//!
//! 1. A file here, or in its group's folder: a struct of flags that derives [`clap::Args`], with
//!    [`HttpFlags`](crate::flags::HttpFlags) flattened, and `async fn run(self, &mut
//! CommandContext)`.
//! 2. Positional arguments are one `Vec<String>`, counted with
//!    [`check_argument_count`](crate::error::check_argument_count), so that messages read as Vault's.
//! 3. A variant in [`CliCommand`] or in the group's enum, and its name where the enum's `run` is.
//! 4. `STRONGROOM_BLESS=1 cargo test -p strongroom-cli` writes it into `docs/src/reference/cli.md`.
//! 5. Cases in `crates/strongroom/tests/cmd/`: what it prints, what it says when something is
//!    missing, its exit codes.

mod auth;
mod completion;
mod delete;
mod group;
mod kv;
mod lease;
mod list;
pub(crate) mod login;
mod mounting;
mod operator;
mod patch;
mod path_help;
mod paths;
mod plugin;
mod policy;
mod print;
mod read;
mod secrets;
pub(crate) mod server;
mod status;
mod token;
mod unwrap;
mod version;
mod write;

use clap::{Parser, Subcommand};

use crate::context::CommandContext;
use crate::error::CliResult;

/// The whole command line. No part of it is `Debug`: arguments may be secrets.
#[derive(Parser)]
#[command(
    name = "strongroom",
    about = "A secrets server, and its command line",
    disable_help_subcommand = true,
    disable_version_flag = true,
    args_override_self = true,
    max_term_width = 100
)]
pub(crate) struct CommandLine {
    #[command(subcommand)]
    pub(crate) command: CliCommand,
}

/// A command, with its flags.
#[derive(Subcommand)]
#[command(defer = true)]
pub(crate) enum CliCommand {
    Read(Box<read::ReadCommand>),
    Write(Box<write::WriteCommand>),
    Patch(Box<patch::PatchCommand>),
    Delete(Box<delete::DeleteCommand>),
    List(Box<list::ListCommand>),
    Login(Box<login::LoginCommand>),
    Unwrap(Box<unwrap::UnwrapCommand>),
    Server(Box<server::ServerCommand>),
    Status(Box<status::StatusCommand>),
    /// Manage auth methods
    #[command(subcommand)]
    Auth(Box<auth::AuthCommand>),
    Completion(Box<completion::CompletionCommand>),
    /// Read and write secrets of the key/value engine
    #[command(subcommand)]
    Kv(Box<kv::KvCommand>),
    /// Look up, renew and revoke leases
    #[command(subcommand)]
    Lease(Box<lease::LeaseCommand>),
    /// Initialise, unseal and seal the server
    #[command(subcommand)]
    Operator(Box<operator::OperatorCommand>),
    PathHelp(Box<path_help::PathHelpCommand>),
    /// Manage the plug-in catalog
    #[command(subcommand)]
    Plugin(Box<plugin::PluginCommand>),
    /// Manage policies
    #[command(subcommand)]
    Policy(Box<policy::PolicyCommand>),
    /// Print the client token
    #[command(subcommand)]
    Print(Box<print::PrintCommand>),
    /// Manage secrets engines
    #[command(subcommand)]
    Secrets(Box<secrets::SecretsCommand>),
    /// Create, look up, renew and revoke tokens
    #[command(subcommand)]
    Token(Box<token::TokenCommand>),
    Version(Box<version::VersionCommand>),
}

impl CliCommand {
    /// Runs the command.
    pub(crate) async fn run(self, context: &mut CommandContext) -> CliResult {
        match self {
            Self::Read(command) => command.run(context).await,
            Self::Write(command) => command.run(context).await,
            Self::Patch(command) => command.run(context).await,
            Self::Delete(command) => command.run(context).await,
            Self::List(command) => command.run(context).await,
            Self::Login(command) => command.run(context).await,
            Self::Unwrap(command) => command.run(context).await,
            Self::Server(command) => command.run(context).await,
            Self::Status(command) => command.run(context).await,
            Self::Auth(command) => command.run(context).await,
            Self::Completion(command) => command.run(context),
            Self::Kv(command) => command.run(context).await,
            Self::Lease(command) => command.run(context).await,
            Self::Operator(command) => command.run(context).await,
            Self::PathHelp(command) => command.run(context).await,
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
