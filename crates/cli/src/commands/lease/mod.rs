//! `lease`

mod lookup;
mod renew;
mod revoke;

use clap::Subcommand;

use crate::context::Context;
use crate::failure::{Failure, Outcome};

/// Interact with leases
#[derive(Subcommand)]
pub(crate) enum Lease {
    Lookup(Box<lookup::Lookup>),
    Renew(Box<renew::Renew>),
    Revoke(Box<revoke::Revoke>),
}

impl Lease {
    pub(super) async fn run(self, context: &mut Context) -> Outcome {
        match self {
            Self::Lookup(command) => command.run(context).await,
            Self::Renew(command) => command.run(context).await,
            Self::Revoke(command) => command.run(context).await,
        }
    }
}

/// The one argument, a lease's id.
fn lease_id(arguments: &[String]) -> Outcome<String> {
    match arguments {
        [id] => Ok(id.trim().to_owned()),
        [] => Err(Failure::local("Missing ID!")),
        more => {
            let got = more.len();
            Err(Failure::local(format!("Too many arguments (expected 1, got {got})")))
        }
    }
}
