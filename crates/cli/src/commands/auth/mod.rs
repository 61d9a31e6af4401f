//! `auth`

mod enable;
mod help;
mod tune;

use clap::{Args, Subcommand};
use strongroom_client::sys::mounts::MountTableKind;

use super::group::run_given_command;
use super::mounting::disable::disable_mount;
use super::mounting::listing::MountListFlags;
use super::mounting::remount::RemountFlags;
use crate::context::CommandContext;
use crate::error::CliResult;
use crate::flags::HttpFlags;

/// Manage auth methods
#[derive(Subcommand)]
#[command(defer = true)]
pub(crate) enum AuthCommand {
    Disable(Box<AuthDisable>),
    Enable(Box<enable::AuthEnable>),
    Help(Box<help::AuthHelp>),
    List(Box<AuthList>),
    Move(Box<AuthMove>),
    Tune(Box<tune::AuthTune>),
}

run_given_command!(AuthCommand: Disable, Enable, Help, List, Move, Tune);

/// Disable an auth method: its data is deleted, and the tokens it issued are revoked
#[derive(Args)]
pub(crate) struct AuthDisable {
    #[command(flatten)]
    http: HttpFlags,
    #[arg(value_name = "PATH", help = "The mount path, relative to auth/")]
    arguments: Vec<String>,
}

impl AuthDisable {
    async fn run(self, context: &mut CommandContext) -> CliResult {
        disable_mount(context, &self.http, MountTableKind::Auth, &self.arguments).await
    }
}

/// List the mounted auth methods
#[derive(Args)]
pub(crate) struct AuthList {
    #[command(flatten)]
    flags: MountListFlags,
}

impl AuthList {
    async fn run(self, context: &mut CommandContext) -> CliResult {
        self.flags.list(context, MountTableKind::Auth).await
    }
}

/// Move an auth method to another path; its tokens are revoked
#[derive(Args)]
#[command(after_help = "Example:\n  strongroom auth move userpass/ staff/")]
pub(crate) struct AuthMove {
    #[command(flatten)]
    flags: RemountFlags,
}

impl AuthMove {
    async fn run(self, context: &mut CommandContext) -> CliResult {
        self.flags.remount(context, MountTableKind::Auth).await
    }
}
