//! `lease`

mod lookup;
mod renew;
mod revoke;

use clap::Subcommand;

use super::group::run_given_command;
use crate::error::{CliError, CliResult, check_argument_count};

/// Look up, renew and revoke leases
#[derive(Subcommand)]
#[command(defer = true)]
pub(crate) enum LeaseCommand {
    Lookup(Box<lookup::LeaseLookup>),
    Renew(Box<renew::LeaseRenew>),
    Revoke(Box<revoke::LeaseRevoke>),
}

run_given_command!(LeaseCommand: Lookup, Renew, Revoke);

/// The only argument, a lease id.
fn lease_id_argument(arguments: &[String]) -> CliResult<String> {
    if arguments.is_empty() {
        return Err(CliError::usage("there is no lease id"));
    }
    check_argument_count(arguments, 1, 1)?;
    Ok(arguments.concat())
}
