//! `policy list`

use clap::Args;

use crate::context::CommandContext;
use crate::error::{CliError, CliResult, check_argument_count};
use crate::flags::{FormatFlag, HttpFlags};
use crate::output::OutputFormat;
use crate::output::value::OutputValue;

/// List the names of all policies
#[derive(Args)]
pub(crate) struct PolicyList {
    #[command(flatten)]
    http: HttpFlags,
    #[command(flatten)]
    output: FormatFlag,
    #[arg(hide = true)]
    arguments: Vec<String>,
}

impl PolicyList {
    pub(super) async fn run(self, context: &mut CommandContext) -> CliResult {
        context.set_format_except_raw(&self.output)?;
        check_argument_count(&self.arguments, 0, 0)?;
        let client = context.client(&self.http)?;
        let names =
            client.list_policies().await.map_err(CliError::from_api("Error listing policies"))?;
        if context.printer.format != OutputFormat::Table {
            return context.printer.print_value(&OutputValue::from_texts(Some(&names)));
        }
        for name in names {
            context.printer.line(&name);
        }
        Ok(())
    }
}
