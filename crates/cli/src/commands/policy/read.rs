//! `policy read`

use clap::Args;

use super::policy_name;
use crate::context::CommandContext;
use crate::error::{CliError, CliResult, check_argument_count};
use crate::flags::{FormatFlag, HttpFlags};
use crate::output::OutputFormat;
use crate::output::value::OutputValue;

/// Print a policy's text
#[derive(Args)]
pub(crate) struct PolicyRead {
    #[command(flatten)]
    http: HttpFlags,
    #[command(flatten)]
    output: FormatFlag,
    #[arg(value_name = "NAME", help = "The policy's name")]
    arguments: Vec<String>,
}

impl PolicyRead {
    pub(super) async fn run(self, context: &mut CommandContext) -> CliResult {
        context.set_format_except_raw(&self.output)?;
        check_argument_count(&self.arguments, 1, 1)?;
        let name = policy_name(&self.arguments.concat());
        let client = context.client(&self.http)?;
        let text = client.read_policy(&name).await;
        let text =
            text.map_err(CliError::from_api(&format!("Error reading policy named {name}")))?;
        let Some(text) = text.filter(|text| !text.is_empty()) else {
            return Err(CliError::remote(format!("No policy named: {name}")));
        };
        if context.printer.format != OutputFormat::Table {
            let pair = ("policy".to_owned(), OutputValue::Text(text));
            return context.printer.print_value(&OutputValue::Object(vec![pair]));
        }
        context.printer.line(text.trim());
        Ok(())
    }
}
