//! `token capabilities`

use clap::Args;
use strongroom_types::Secret;

use crate::context::CommandContext;
use crate::error::{CliError, CliResult};
use crate::flags::{FormatFlag, HttpFlags};
use crate::output::OutputFormat;
use crate::output::value::OutputValue;

/// Show a token's capabilities on a path; by default the client token's
#[derive(Args)]
pub(crate) struct TokenCapabilities {
    #[command(flatten)]
    http: HttpFlags,
    #[command(flatten)]
    output: FormatFlag,
    #[arg(value_name = "[TOKEN] PATH", help = "A path, optionally preceded by a token")]
    arguments: Vec<String>,
}

impl TokenCapabilities {
    pub(super) async fn run(self, context: &mut CommandContext) -> CliResult {
        context.set_format_except_raw(&self.output)?;
        let (token, path) = match self.arguments.as_slice() {
            [path] => (None, path),
            [token, path] => (Some(Secret::from_text(token)), path),
            [] => return Err(CliError::usage("Not enough arguments (expected 1-2, got 0)")),
            more => {
                let got = more.len();
                return Err(CliError::usage(format!(
                    "Too many arguments (expected 1-2, got {got})"
                )));
            }
        };
        let client = context.client(&self.http)?;
        let found = client.capabilities(token.as_ref(), path).await;
        let mut found = found.map_err(CliError::from_api("Error listing capabilities"))?;
        if found.is_empty() {
            return Err(CliError::local("the server returned no capabilities"));
        }
        if context.printer.format != OutputFormat::Table {
            return context.printer.print_value(&OutputValue::from_texts(Some(&found)));
        }
        found.sort();
        context.printer.line(&found.join(", "));
        Ok(())
    }
}
