//! `lease renew`

use clap::Args;

use super::lease_id_argument;
use crate::context::CommandContext;
use crate::error::{CliError, CliResult};
use crate::flags::{DurationSeconds, FormatFlag, HttpFlags, parse_non_negative_duration};

/// Renew a lease
#[derive(Args)]
pub(crate) struct LeaseRenew {
    /// Requested lifetime from now; the server may grant less
    #[arg(long, value_name = "DURATION", value_parser = parse_non_negative_duration)]
    increment: Option<DurationSeconds>,
    #[command(flatten)]
    http: HttpFlags,
    #[command(flatten)]
    output: FormatFlag,
    #[arg(value_name = "ID", help = "The lease's id")]
    arguments: Vec<String>,
}

impl LeaseRenew {
    pub(super) async fn run(self, context: &mut CommandContext) -> CliResult {
        context.set_format_except_raw(&self.output)?;
        let id = lease_id_argument(&self.arguments)?;
        let client = context.client(&self.http)?;
        let increment = self.increment.unwrap_or_default().as_duration();
        let answer = client.renew_lease(&id, increment).await;
        let answer = answer.map_err(CliError::from_api(&format!("Error renewing {id}")))?;
        context.printer.print_response(&answer)
    }
}
