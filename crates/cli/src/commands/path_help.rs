//! `path-help`

use clap::Args;

use super::paths::clean_path;
use crate::context::CommandContext;
use crate::error::{CliError, CliResult, check_argument_count};
use crate::flags::{FormatFlag, HttpFlags};
use crate::output::OutputFormat;

/// Print the server's help on a path
#[derive(Args)]
#[command(after_help = "\
With -format=json, the output is an OpenAPI document.

Examples:
  strongroom path-help kv/
  strongroom path-help sys/mounts")]
pub(crate) struct PathHelpCommand {
    #[command(flatten)]
    http: HttpFlags,
    #[command(flatten)]
    output: FormatFlag,
    #[arg(value_name = "PATH", help = "The path")]
    arguments: Vec<String>,
}

impl PathHelpCommand {
    pub(super) async fn run(self, context: &mut CommandContext) -> CliResult {
        context.set_format_except_raw(&self.output)?;
        check_argument_count(&self.arguments, 1, 1)?;
        let path = clean_path(&self.arguments.concat());
        let client = context.client(&self.http)?;
        let help =
            client.path_help(&path).await.map_err(CliError::from_api("Error retrieving help"))?;
        if context.printer.format != OutputFormat::Json {
            context.printer.line(help.help.trim_end_matches('\n'));
            return Ok(());
        }
        let Some(openapi) = help.openapi.filter(|document| document.get() != "null") else {
            return Err(CliError::remote(format!(
                "the server has no OpenAPI document of {path}: omit -format=json to get its help text"
            )));
        };
        context.printer.line(openapi.get());
        Ok(())
    }
}
