//! `read`

use clap::Args;
use strongroom_client::{Client, SecretResponse};

use super::paths::clean_path;
use crate::context::CommandContext;
use crate::data;
use crate::error::{CliError, CliResult};
use crate::flags::{FieldFlag, FormatFlag, HttpFlags};
use crate::output::OutputFormat;

/// Read a secret or generate credentials
#[derive(Args)]
#[command(
    after_help = "Examples:\n  strongroom read secret/my-app\n  strongroom read -field=password database/creds/readonly"
)]
pub(crate) struct ReadCommand {
    #[command(flatten)]
    http: HttpFlags,
    #[command(flatten)]
    output: FormatFlag,
    #[command(flatten)]
    field: FieldFlag,
    #[arg(value_name = "PATH [K=V]", help = "The path to read, and parameters")]
    arguments: Vec<String>,
}

impl ReadCommand {
    pub(super) async fn run(self, context: &mut CommandContext) -> CliResult {
        context.set_format(&self.output)?;
        let [path, data @ ..] = self.arguments.as_slice() else {
            return Err(CliError::usage("Not enough arguments (expected 1, got 0)"));
        };
        let path = clean_path(path);
        let client = context.client(&self.http)?;
        let query = data::parse_query_parameters(data, &mut *context.stdin(&self.http))
            .map_err(CliError::local)?;
        if context.printer.format == OutputFormat::Raw {
            let body = client.read_raw(&path, &query).await;
            let body = body.map_err(CliError::from_api(&format!("Error reading: {path}")))?;
            if body.is_empty() {
                return Err(CliError::not_found(&path));
            }
            context.printer.raw_line(&body);
            return Ok(());
        }
        let response = read_existing(&client, &path, &query).await?;
        context.printer.print_response_or_field(&response, self.field.name())
    }
}

/// Reads a path; it is an error if there is nothing.
pub(super) async fn read_existing(
    client: &Client,
    path: &str,
    query: &[(String, String)],
) -> CliResult<SecretResponse> {
    let response = client.read(path, query).await;
    let response = response.map_err(CliError::from_api(&format!("Error reading {path}")))?;
    response.ok_or_else(|| CliError::not_found(path))
}
