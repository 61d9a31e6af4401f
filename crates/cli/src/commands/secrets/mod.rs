//! `secrets`

mod disable;
mod enable;
mod list;
mod tune;

use std::collections::BTreeMap;

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

/// A list flag, if it is there at all.
fn list_flag(given: Vec<String>) -> Option<Vec<String>> {
    (!given.is_empty()).then(|| given.into_iter().map(|item| item.trim().to_owned()).collect())
}

/// An engine's options, with its version among them.
fn options(given: Vec<(String, String)>, version: Option<u32>) -> BTreeMap<String, String> {
    let mut options: BTreeMap<_, _> = given.into_iter().collect();
    if let Some(version) = version.filter(|version| *version > 0) {
        options.insert("version".to_owned(), version.to_string());
    }
    options
}
