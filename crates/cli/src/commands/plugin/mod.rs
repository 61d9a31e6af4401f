//! `plugin`

mod deregister;
mod info;
mod list;
mod register;
mod reload;

use clap::Subcommand;

use crate::context::Context;
use crate::failure::{Failure, Outcome};

/// Manage the plug-in catalog
#[derive(Subcommand)]
#[command(defer = true)]
pub(crate) enum Plugin {
    Deregister(Box<deregister::Deregister>),
    Info(Box<info::Info>),
    List(Box<list::List>),
    Register(Box<register::Register>),
    Reload(Box<reload::Reload>),
}

impl Plugin {
    pub(super) async fn run(self, context: &mut Context) -> Outcome {
        match self {
            Self::Deregister(command) => command.run(context).await,
            Self::Info(command) => command.run(context).await,
            Self::List(command) => command.run(context).await,
            Self::Register(command) => command.run(context).await,
            Self::Reload(command) => command.run(context).await,
        }
    }
}

/// Type and name of a plug-in; the type may be left out, as long ago there were none.
fn type_and_name(arguments: &[String]) -> Outcome<(String, String)> {
    let (kind, name) = match arguments {
        [name] => ("unknown", name),
        [kind, name] => (kind.as_str(), name),
        [] => return Err(Failure::usage("Not enough arguments (expected 1 or 2, got 0)")),
        more => {
            let got = more.len();
            return Err(Failure::usage(format!("Too many arguments (expected 1 or 2, got {got})")));
        }
    };
    Ok((checked_type(kind)?, name.clone()))
}

fn checked_type(kind: &str) -> Outcome<String> {
    match kind {
        kind @ ("unknown" | "auth" | "database" | "secret") => Ok(kind.to_owned()),
        other => Err(Failure::remote(format!(
            "a plug-in is of type auth, database or secret, not {other:?}"
        ))),
    }
}
