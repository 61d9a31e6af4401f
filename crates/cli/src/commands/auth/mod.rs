//! `auth`

mod enable;
mod help;
mod tune;

use clap::{Args, Subcommand};
use strongroom_client::sys::mounts::Table;

use super::mount_path;
use super::mounting::{listing, moving};
use crate::context::Context;
use crate::failure::{Failure, Outcome, expect_count};
use crate::flags::{Formatted, Http};

/// Manage auth methods
#[derive(Subcommand)]
#[command(defer = true)]
pub(crate) enum Auth {
    Disable(Box<Disable>),
    Enable(Box<enable::Enable>),
    Help(Box<help::Help>),
    List(Box<List>),
    Move(Box<Move>),
    Tune(Box<tune::Tune>),
}

impl Auth {
    pub(super) async fn run(self, context: &mut Context) -> Outcome {
        match self {
            Self::Disable(command) => command.run(context).await,
            Self::Enable(command) => command.run(context).await,
            Self::Help(command) => command.run(context).await,
            Self::List(command) => command.run(context).await,
            Self::Move(command) => {
                moving::run(context, &command.http, Table::Auth, &command.arguments).await
            }
            Self::Tune(command) => command.run(context).await,
        }
    }
}

/// Remove an auth method: its users are gone, and all tokens it gave are revoked
#[derive(Args)]
pub(crate) struct Disable {
    #[command(flatten)]
    http: Http,
    #[arg(value_name = "PATH", help = "Where it is mounted, below auth/")]
    arguments: Vec<String>,
}

impl Disable {
    async fn run(self, context: &mut Context) -> Outcome {
        expect_count(&self.arguments, 1, 1)?;
        let path = mount_path(&self.arguments.concat());
        let client = context.client(&self.http)?;
        let doing = format!("Error disabling auth method at {path}");
        client.unmount(Table::Auth, &path).await.map_err(Failure::call(&doing))?;
        let text = format!("Success! Disabled the auth method (if it existed) at: {path}");
        context.printer.success(&text);
        Ok(())
    }
}

/// List the mounted auth methods
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
        listing::show(context, &self.http, Table::Auth, self.detailed).await
    }
}

/// Move an auth method to another path; its tokens are revoked
#[derive(Args)]
#[command(after_help = "Example:\n  strongroom auth move userpass/ staff/")]
pub(crate) struct Move {
    #[command(flatten)]
    http: Http,
    #[arg(value_name = "FROM TO", help = "Where it is mounted, and where it is to be")]
    arguments: Vec<String>,
}
