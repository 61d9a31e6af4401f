//! `secrets`

mod disable;
mod enable;
mod list;
mod settings;
mod tune;

use clap::Subcommand;

use crate::context::Context;
use crate::failure::Outcome;

/// Interact with secrets engines
#[derive(Subcommand)]
pub(crate) enum Secrets {
    Disable(Box<disable::Disable>),
    Enable(Box<enable::Enable>),
    List(Box<list::List>),
    Tune(Box<tune::Tune>),
}

impl Secrets {
    pub(super) async fn run(self, context: &mut Context) -> Outcome {
        match self {
            Self::Disable(command) => command.run(context).await,
            Self::Enable(command) => command.run(context).await,
            Self::List(command) => command.run(context).await,
            Self::Tune(command) => command.run(context).await,
        }
    }
}
