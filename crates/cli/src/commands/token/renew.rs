//! `token renew`

use clap::Args;

use super::{first_argument, token_selector};
use crate::context::CommandContext;
use crate::error::{CliError, CliResult, check_argument_count};
use crate::flags::{DurationSeconds, FormatFlag, HttpFlags, parse_non_negative_duration};

/// Renew a token; by default the client token
#[derive(Args)]
pub(crate) struct TokenRenew {
    /// The argument is an accessor. The token itself isn't shown
    #[arg(long)]
    accessor: bool,
    /// Requested lifetime from now; the server may grant less
    #[arg(long, short, value_name = "DURATION", value_parser = parse_non_negative_duration)]
    increment: Option<DurationSeconds>,
    #[command(flatten)]
    http: HttpFlags,
    #[command(flatten)]
    output: FormatFlag,
    #[arg(value_name = "TOKEN", help = "A token or an accessor")]
    arguments: Vec<String>,
}

impl TokenRenew {
    pub(super) async fn run(self, context: &mut CommandContext) -> CliResult {
        context.set_format_except_raw(&self.output)?;
        check_argument_count(&self.arguments, 0, 1)?;
        if self.accessor && self.arguments.is_empty() {
            let text = "Not enough arguments with -accessor (expected 1, got 0)";
            return Err(CliError::usage(text));
        }
        let increment = self.increment.unwrap_or_default().as_duration();
        let client = context.client(&self.http)?;
        let given = first_argument(&self.arguments);
        let answer = client.renew_token(token_selector(&given, self.accessor), increment).await;
        let answer = answer.map_err(CliError::from_api("Error renewing token"))?;
        context.printer.print_response(&answer)
    }
}
