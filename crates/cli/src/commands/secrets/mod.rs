//! `secrets`

use clap::{Args, Subcommand};
use strongroom_client::sys::mounts::{MountConfigInput, MountTableKind};

use super::mounting::enable::EnableFlags;
use super::mounting::settings::MountConfigFlags;
use super::mounting::{listing, remount};
use super::paths::mount_path;
use crate::context::CommandContext;
use crate::error::{CliError, CliResult, check_argument_count};
use crate::flags::{FormatFlag, HttpFlags};

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

impl SecretsCommand {
    pub(super) async fn run(self, context: &mut CommandContext) -> CliResult {
        match self {
            Self::Disable(command) => command.run(context).await,
            Self::Enable(command) => command.run(context).await,
            Self::List(command) => command.run(context).await,
            Self::Move(command) => {
                remount::remount_and_wait(
                    context,
                    &command.http,
                    MountTableKind::Secrets,
                    &command.arguments,
                )
                .await
            }
            Self::Tune(command) => command.run(context).await,
        }
    }
}

/// Disable a secrets engine: its leases are revoked and its data is deleted
#[derive(Args)]
pub(crate) struct SecretsDisable {
    #[command(flatten)]
    http: HttpFlags,
    #[arg(value_name = "PATH", help = "Where it is mounted")]
    arguments: Vec<String>,
}

impl SecretsDisable {
    async fn run(self, context: &mut CommandContext) -> CliResult {
        check_argument_count(&self.arguments, 1, 1)?;
        let path = mount_path(&self.arguments.concat());
        let client = context.client(&self.http)?;
        let doing = format!("Error disabling secrets engine at {path}");
        client.unmount(MountTableKind::Secrets, &path).await.map_err(CliError::from_api(&doing))?;
        let text = format!("Success! Disabled the secrets engine (if it existed) at: {path}");
        context.printer.success(&text);
        Ok(())
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

impl SecretsList {
    async fn run(self, context: &mut CommandContext) -> CliResult {
        context.set_format_except_raw(&self.output)?;
        check_argument_count(&self.arguments, 0, 0)?;
        listing::print_mounts(context, &self.http, MountTableKind::Secrets, self.detailed).await
    }
}

/// Move a secrets engine to another path; its leases are revoked
#[derive(Args)]
#[command(after_help = "Example:\n  strongroom secrets move kv/ team-a/kv/")]
pub(crate) struct SecretsMove {
    #[command(flatten)]
    http: HttpFlags,
    #[arg(value_name = "FROM TO", help = "Where it is mounted, and where it is to be")]
    arguments: Vec<String>,
}

/// Change a mount's settings
#[derive(Args)]
#[command(after_help = "\
What isn't named stays. A duration of \"system\" goes back to the server's own.

Example:
  strongroom secrets tune -default-lease-ttl=1h custom/")]
pub(crate) struct SecretsTune {
    /// Description of the mount
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    #[command(flatten)]
    settings: MountConfigFlags,
    #[command(flatten)]
    http: HttpFlags,
    #[arg(value_name = "PATH", help = "Where it is mounted")]
    arguments: Vec<String>,
}

impl SecretsTune {
    async fn run(self, context: &mut CommandContext) -> CliResult {
        check_argument_count(&self.arguments, 1, 1)?;
        let path = mount_path(&self.arguments.concat());
        let client = context.client(&self.http)?;
        let options = self.settings.engine_options();
        let settings = self.settings.into_config_input(MountConfigInput {
            description: self.description,
            options: (!options.is_empty()).then_some(options),
            ..MountConfigInput::default()
        });
        let doing = format!("Error tuning secrets engine {path}");
        let answer = client.tune_mount(MountTableKind::Secrets, &path, &settings).await;
        if let Some(answer) = answer.map_err(CliError::from_api(&doing))? {
            context.printer.print_warnings(&answer);
        }
        context.printer.success(&format!("Success! Tuned the secrets engine at: {path}"));
        Ok(())
    }
}
