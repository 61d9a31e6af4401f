//! `secrets`

use clap::{Args, Subcommand};
use strongroom_client::sys::mounts::{MountSettings, Table};

use super::mount_path;
use super::mounting::enable::Enabling;
use super::mounting::settings::Settings;
use super::mounting::{listing, moving};
use crate::context::Context;
use crate::failure::{Failure, Outcome, expect_count};
use crate::flags::{Formatted, Http};

/// Manage secrets engines
#[derive(Subcommand)]
#[command(defer = true)]
pub(crate) enum Secrets {
    Disable(Box<Disable>),
    Enable(Box<Enable>),
    List(Box<List>),
    Move(Box<Move>),
    Tune(Box<Tune>),
}

impl Secrets {
    pub(super) async fn run(self, context: &mut Context) -> Outcome {
        match self {
            Self::Disable(command) => command.run(context).await,
            Self::Enable(command) => command.run(context).await,
            Self::List(command) => command.run(context).await,
            Self::Move(command) => {
                moving::run(context, &command.http, Table::Secrets, &command.arguments).await
            }
            Self::Tune(command) => command.run(context).await,
        }
    }
}

/// Unmount a secrets engine: its leases are revoked, its data is gone
#[derive(Args)]
pub(crate) struct Disable {
    #[command(flatten)]
    http: Http,
    #[arg(value_name = "PATH", help = "Where it is mounted")]
    arguments: Vec<String>,
}

impl Disable {
    async fn run(self, context: &mut Context) -> Outcome {
        expect_count(&self.arguments, 1, 1)?;
        let path = mount_path(&self.arguments.concat());
        let client = context.client(&self.http)?;
        let doing = format!("Error disabling secrets engine at {path}");
        client.unmount(Table::Secrets, &path).await.map_err(Failure::call(&doing))?;
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
pub(crate) struct Enable {
    /// Cache nothing of it
    #[arg(long)]
    force_no_cache: bool,
    #[command(flatten)]
    enabling: Enabling,
    #[arg(value_name = "TYPE", help = "The engine, or \"plugin\"")]
    arguments: Vec<String>,
}

impl Enable {
    async fn run(self, context: &mut Context) -> Outcome {
        let more = MountSettings {
            force_no_cache: self.force_no_cache.then_some(true),
            ..MountSettings::default()
        };
        self.enabling.run(context, Table::Secrets, &self.arguments, more).await
    }
}

/// List the mounted secrets engines
#[derive(Args)]
pub(crate) struct List {
    /// Show lifetimes, versions and options too
    #[arg(long)]
    detailed: bool,
    #[command(flatten)]
    http: Http,
    #[command(flatten)]
    output: Formatted,
    #[arg(hide = true)]
    arguments: Vec<String>,
}

impl List {
    async fn run(self, context: &mut Context) -> Outcome {
        context.set_format_but_raw(&self.output)?;
        expect_count(&self.arguments, 0, 0)?;
        listing::show(context, &self.http, Table::Secrets, self.detailed).await
    }
}

/// Move a secrets engine to another path; its leases are revoked
#[derive(Args)]
#[command(after_help = "Example:\n  strongroom secrets move kv/ team-a/kv/")]
pub(crate) struct Move {
    #[command(flatten)]
    http: Http,
    #[arg(value_name = "FROM TO", help = "Where it is mounted, and where it is to be")]
    arguments: Vec<String>,
}

/// Change a mount's settings
#[derive(Args)]
#[command(after_help = "\
What isn't named stays. A duration of \"system\" goes back to the server's own.

Example:
  strongroom secrets tune -default-lease-ttl=1h custom/")]
pub(crate) struct Tune {
    /// For people
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    http: Http,
    #[arg(value_name = "PATH", help = "Where it is mounted")]
    arguments: Vec<String>,
}

impl Tune {
    async fn run(self, context: &mut Context) -> Outcome {
        expect_count(&self.arguments, 1, 1)?;
        let path = mount_path(&self.arguments.concat());
        let client = context.client(&self.http)?;
        let options = self.settings.options();
        let settings = self.settings.for_api(MountSettings {
            description: self.description,
            options: (!options.is_empty()).then_some(options),
            ..MountSettings::default()
        });
        let doing = format!("Error tuning secrets engine {path}");
        let answer = client.tune_mount(Table::Secrets, &path, &settings).await;
        if let Some(answer) = answer.map_err(Failure::call(&doing))? {
            context.printer.warnings(&answer);
        }
        context.printer.success(&format!("Success! Tuned the secrets engine at: {path}"));
        Ok(())
    }
}
