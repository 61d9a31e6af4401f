//! `delete`

use clap::Args;
use strongroom_client::SecretResponse;

use super::paths::clean_path;
use crate::context::CommandContext;
use crate::data;
use crate::error::{CliError, CliResult};
use crate::flags::{FieldFlag, FormatFlag, HttpFlags};
use crate::output::Printer;

/// Delete the data at a path
#[derive(Args)]
#[command(after_help = "Example:\n  strongroom delete secret/my-app")]
pub(crate) struct DeleteCommand {
    #[command(flatten)]
    http: HttpFlags,
    #[command(flatten)]
    output: FormatFlag,
    #[command(flatten)]
    field: FieldFlag,
    #[arg(value_name = "PATH [K=V]", help = "The path to delete, and parameters")]
    arguments: Vec<String>,
}

impl DeleteCommand {
    pub(super) async fn run(self, context: &mut CommandContext) -> CliResult {
        context.set_format_except_raw(&self.output)?;
        let [path, data @ ..] = self.arguments.as_slice() else {
            return Err(CliError::usage("Not enough arguments (expected at least 1, got 0)"));
        };
        let path = clean_path(path);
        let client = context.client(&self.http)?;
        let query = data::parse_query_parameters(data, &mut *context.stdin(&self.http))
            .map_err(CliError::local)?;
        let printer = &mut context.printer;
        match client.delete(&path, &query).await {
            Ok(response) => print_deleted(printer, &path, response, self.field.name()),
            Err(error) => {
                if let Some(response) = error.response() {
                    printer.print_response(response)?;
                }
                Err(CliError::from_api(&format!("Error deleting {path}"))(error))
            }
        }
    }
}

/// Prints the response to a deletion, or that the data was deleted.
pub(super) fn print_deleted(
    printer: &mut Printer,
    path: &str,
    response: Option<SecretResponse>,
    field: Option<&str>,
) -> CliResult {
    match response {
        Some(response) => printer.print_response_or_field(&response, field),
        None => {
            let text = format!("Success! Data deleted (if it existed) at: {path}");
            printer.success_for_people(&text);
            Ok(())
        }
    }
}
