//! `status`

use clap::Args;

use super::operator::status_with_leader;
use crate::context::CommandContext;
use crate::error::{CliError, CliResult, check_argument_count};
use crate::flags::{FieldFlag, FormatFlag, HttpFlags};
use crate::output::value::OutputValue;

/// Print seal status and HA status
#[derive(Args)]
#[command(
    after_help = "The exit code is 0 if the server is unsealed, 2 if it is sealed, 1 if the status is unknown."
)]
pub(crate) struct StatusCommand {
    #[command(flatten)]
    http: HttpFlags,
    #[command(flatten)]
    output: FormatFlag,
    #[command(flatten)]
    field: FieldFlag,
    #[arg(hide = true)]
    arguments: Vec<String>,
}

impl StatusCommand {
    pub(super) async fn run(self, context: &mut CommandContext) -> CliResult {
        context.set_format_except_raw(&self.output)?;
        check_argument_count(&self.arguments, 0, 0)?;
        // Exit code 2 means "sealed" here, so every error exits with 1.
        let as_1 = |failure: CliError| CliError { code: 1, ..failure };
        let client = context.client(&self.http).map_err(as_1)?;
        let seal = client.seal_status().await;
        let seal = seal.map_err(CliError::from_api("Error checking seal status")).map_err(as_1)?;
        let sealed = seal.sealed;
        let status = status_with_leader(&client, seal).await.map_err(as_1)?;
        match self.field.name() {
            Some(name) => {
                let all = OutputValue::from_serialize(&status);
                context.printer.print_field(status.field_value(name).as_ref(), name, &all)?;
            }
            None => status.print(&mut context.printer)?,
        }
        if sealed { Err(CliError::silent(2)) } else { Ok(()) }
    }
}
