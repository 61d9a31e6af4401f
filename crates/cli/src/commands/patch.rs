//! `patch`

use clap::Args;

use super::paths::clean_path;
use crate::context::CommandContext;
use crate::data;
use crate::error::{CliError, CliResult};
use crate::flags::{FieldFlag, FormatFlag, HttpFlags};
use crate::output::fixed_text::DATA_WRITTEN;

/// Change some fields at a path, if the engine supports it
#[derive(Args)]
#[command(after_help = "\
What is sent is a JSON merge patch: a field that is null is removed. Values are given as for
\"write\".

Example:
  strongroom patch pki/issuer/default usage=read-only")]
pub(crate) struct PatchCommand {
    /// Patch without data
    #[arg(long, short)]
    force: bool,
    #[command(flatten)]
    http: HttpFlags,
    #[command(flatten)]
    output: FormatFlag,
    #[command(flatten)]
    field: FieldFlag,
    #[arg(value_name = "PATH [K=V]", help = "Where to change, and what")]
    arguments: Vec<String>,
}

impl PatchCommand {
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
        let client = context.client(&self.http)?;
        let printer = &mut context.printer;
        match client.patch(&path, &fields).await {
            Ok(Some(answer)) => printer.print_created_or_field(&answer, self.field.name()),
            Ok(None) => {
                printer.success_for_people(&format!("{DATA_WRITTEN}{path}"));
                Ok(())
            }
            Err(error) => {
                if let Some(answer) = error.response() {
                    printer.print_response(answer)?;
                }
                Err(CliError::from_api(&format!("Error writing data to {path}"))(error))
            }
        }
    }
}
