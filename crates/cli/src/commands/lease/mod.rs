//! `lease`

mod lookup;
mod renew;
mod revoke;

use clap::Subcommand;

use crate::context::Context;
use crate::failure::{Failure, Outcome, expect_count};

/// Look up, renew and revoke leases
#[derive(Subcommand)]
#[command(defer = true)]
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
    if arguments.is_empty() {
        return Err(Failure::usage("there is no lease id"));
    }
    expect_count(arguments, 1, 1)?;
    Ok(arguments.concat())
}
