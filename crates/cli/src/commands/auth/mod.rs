//! `auth`

mod enable;
mod help;
mod tune;

use clap::{Args, Subcommand};
use strongroom_client::sys::mounts::MountTableKind;

use super::mounting::{listing, remount};
use super::paths::mount_path;
use crate::context::CommandContext;
use crate::error::{CliError, CliResult, check_argument_count};
use crate::flags::{FormatFlag, HttpFlags};

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

impl AuthCommand {
    pub(super) async fn run(self, context: &mut CommandContext) -> CliResult {
        match self {
            Self::Disable(command) => command.run(context).await,
            Self::Enable(command) => command.run(context).await,
            Self::Help(command) => command.run(context).await,
            Self::List(command) => command.run(context).await,
            Self::Move(command) => {
                remount::remount_and_wait(
                    context,
                    &command.http,
                    MountTableKind::Auth,
                    &command.arguments,
                )
                .await
            }
            Self::Tune(command) => command.run(context).await,
        }
    }
}

/// Disable an auth method: its data is deleted, and all tokens it issued are revoked
#[derive(Args)]
pub(crate) struct AuthDisable {
    #[command(flatten)]
    http: HttpFlags,
    #[arg(value_name = "PATH", help = "Where it is mounted, below auth/")]
    arguments: Vec<String>,
}

impl AuthDisable {
    async fn run(self, context: &mut CommandContext) -> CliResult {
        check_argument_count(&self.arguments, 1, 1)?;
        let path = mount_path(&self.arguments.concat());
        let client = context.client(&self.http)?;
        let doing = format!("Error disabling auth method at {path}");
        client.unmount(MountTableKind::Auth, &path).await.map_err(CliError::from_api(&doing))?;
        let text = format!("Success! Disabled the auth method (if it existed) at: {path}");
        context.printer.success(&text);
        Ok(())
    }
}

/// List the mounted auth methods
#[derive(Args)]
pub(crate) struct AuthList {
    /// Also show lifetimes, versions and options
    #[arg(long)]
    detailed: bool,
    #[command(flatten)]
    http: HttpFlags,
    #[command(flatten)]
    output: FormatFlag,
    #[arg(hide = true)]
    arguments: Vec<String>,
}

impl AuthList {
    async fn run(self, context: &mut CommandContext) -> CliResult {
        context.set_format_except_raw(&self.output)?;
        check_argument_count(&self.arguments, 0, 0)?;
        listing::print_mounts(context, &self.http, MountTableKind::Auth, self.detailed).await
    }
}

/// Move an auth method to another path; its tokens are revoked
#[derive(Args)]
#[command(after_help = "Example:\n  strongroom auth move userpass/ staff/")]
pub(crate) struct AuthMove {
    #[command(flatten)]
    http: HttpFlags,
    #[arg(value_name = "FROM TO", help = "Where it is mounted, and where it is to be")]
    arguments: Vec<String>,
}
