//! `secrets`

use clap::{Args, Subcommand};
use strongroom_client::sys::mounts::{MountConfigInput, MountTableKind};

use super::group::run_given_command;
use super::mounting::disable::disable_mount;
use super::mounting::enable::EnableFlags;
use super::mounting::listing::MountListFlags;
use super::mounting::remount::RemountFlags;
use super::mounting::tune::TuneFlags;
use crate::context::CommandContext;
use crate::error::CliResult;
use crate::flags::HttpFlags;

/// Manage secrets engines
#[derive(Subcommand)]
#[command(defer = true)]
pub(crate) enum SecretsCommand {
    Disable(Box<SecretsDisable>),
    Enable(Box<SecretsEnable>),
    List(Box<SecretsList>),
    Move(Box<SecretsMove>),
    Tune(Box<SecretsTune>),
}

run_given_command!(SecretsCommand: Disable, Enable, List, Move, Tune);

/// Disable a secrets engine: its leases are revoked and its data is deleted
#[derive(Args)]
pub(crate) struct SecretsDisable {
    #[command(flatten)]
    http: HttpFlags,
    #[arg(value_name = "PATH", help = "The mount path")]
    arguments: Vec<String>,
}

impl SecretsDisable {
    async fn run(self, context: &mut CommandContext) -> CliResult {
        disable_mount(context, &self.http, MountTableKind::Secrets, &self.arguments).await
    }
}

/// Mount a secrets engine
#[derive(Args)]
#[command(after_help = "\
Examples:
  strongroom secrets enable -path=kv -version=1 kv
  strongroom secrets enable -path=custom -plugin-name=custom-plugin plugin")]
pub(crate) struct SecretsEnable {
    /// Disable caching for this mount
    #[arg(long)]
    force_no_cache: bool,
    #[command(flatten)]
    enabling: EnableFlags,
    #[arg(value_name = "TYPE", help = "The engine, or \"plugin\"")]
    arguments: Vec<String>,
}

impl SecretsEnable {
    async fn run(self, context: &mut CommandContext) -> CliResult {
        let more = MountConfigInput {
            force_no_cache: self.force_no_cache.then_some(true),
            ..MountConfigInput::default()
        };
        self.enabling.enable(context, MountTableKind::Secrets, &self.arguments, more).await
    }
}

/// List the mounted secrets engines
#[derive(Args)]
pub(crate) struct SecretsList {
    #[command(flatten)]
    flags: MountListFlags,
}

impl SecretsList {
    async fn run(self, context: &mut CommandContext) -> CliResult {
        self.flags.list(context, MountTableKind::Secrets).await
    }
}

/// Move a secrets engine to another path; its leases are revoked
#[derive(Args)]
#[command(after_help = "Example:\n  strongroom secrets move kv/ team-a/kv/")]
pub(crate) struct SecretsMove {
    #[command(flatten)]
    flags: RemountFlags,
}

impl SecretsMove {
    async fn run(self, context: &mut CommandContext) -> CliResult {
        self.flags.remount(context, MountTableKind::Secrets).await
    }
}

/// Change a mount's settings
#[derive(Args)]
#[command(after_help = "\
Settings that aren't given are unchanged. The duration \"system\" restores the server's default.

Example:
  strongroom secrets tune -default-lease-ttl=1h custom/")]
pub(crate) struct SecretsTune {
    /// Description of the mount
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    #[command(flatten)]
    flags: TuneFlags,
    #[arg(value_name = "PATH", help = "The mount path")]
    arguments: Vec<String>,
}

impl SecretsTune {
    async fn run(self, context: &mut CommandContext) -> CliResult {
        let more =
            MountConfigInput { description: self.description, ..MountConfigInput::default() };
        self.flags.tune(context, MountTableKind::Secrets, &self.arguments, more).await
    }
}
