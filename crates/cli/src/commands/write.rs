//! `write`

use clap::Args;

use super::paths::clean_path;
use crate::context::CommandContext;
use crate::data;
use crate::error::{CliError, CliResult};
use crate::flags::{FieldFlag, FormatFlag, HttpFlags, parse_duration};
use crate::output::fixed_text::DATA_WRITTEN;

/// Write a secret or a setting, or run an operation of an engine
#[derive(Args)]
#[command(after_help = "\
Values are text, numbers too. A value that begins with @ is read from a file, the value - from
standard input; \\@ begins a value with @. A lone @file or - is a JSON object.

Examples:
  strongroom write secret/my-app password=hunter2
  strongroom write database/roles/readonly @role.json
  strongroom write -force transit/keys/my-key")]
pub(crate) struct WriteCommand {
    /// Write without data
    #[arg(long, short)]
    force: bool,
    #[command(flatten)]
    http: HttpFlags,
    #[command(flatten)]
    output: FormatFlag,
    #[command(flatten)]
    field: FieldFlag,
    #[arg(value_name = "PATH [K=V]", help = "Where to write, and what")]
    arguments: Vec<String>,
}

impl WriteCommand {
    pub(super) async fn run(self, context: &mut CommandContext) -> CliResult {
        context.set_format_except_raw(&self.output)?;
        let [path, data @ ..] = self.arguments.as_slice() else {
            return Err(CliError::usage("Not enough arguments (expected 1, got 0)"));
        };
        if data.is_empty() && !self.force {
            return Err(CliError::usage("Must supply data or use -force"));
        }
        let path = clean_path(path);
        let fields =
            data::parse_fields(data, &mut *context.stdin(&self.http)).map_err(CliError::local)?;
        let mut http = self.http;
        let says_nothing =
            http.wrap_ttl.is_none() && context.environment.setting("WRAP_TTL").is_none();
        if path == "sys/wrapping/wrap" && says_nothing {
            // The other clients also ask for wrapping on this path.
            http.wrap_ttl = Some(parse_duration("5m").map_err(CliError::local)?);
        }
        let client = context.client(&http)?;
        match client.write(&path, &fields).await {
            Ok(Some(answer)) => context.printer.print_created_or_field(&answer, self.field.name()),
            Ok(None) => {
                let text = format!("{DATA_WRITTEN}{path}");
                context.printer.success_for_people(&text);
                Ok(())
            }
            Err(error) => {
                if let Some(answer) = error.response() {
                    context.printer.print_response(answer)?;
                }
                Err(CliError::from_api(&format!("Error writing data to {path}"))(error))
            }
        }
    }
}
