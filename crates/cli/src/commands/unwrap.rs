//! `unwrap`

use clap::Args;
use strongroom_types::Secret;

use crate::context::CommandContext;
use crate::error::{CliError, CliResult};
use crate::flags::{FieldFlag, FormatFlag, HttpFlags};
use crate::output::secret;
use crate::output::value::OutputValue;

/// Unwrap a wrapped response; this works once
#[derive(Args)]
#[command(after_help = "\
Without an argument, the client token is the wrapping token; set VAULT_TOKEN to keep it out of the
process list. With - the wrapping token is read from standard input. -field also finds a field of a
KV version 2 secret; if there is no such field, the whole response is printed.

Examples:
  strongroom unwrap s.7nf0…
  strongroom unwrap - < wrapping-token
  VAULT_TOKEN=s.7nf0… strongroom unwrap")]
pub(crate) struct UnwrapCommand {
    #[command(flatten)]
    http: HttpFlags,
    #[command(flatten)]
    output: FormatFlag,
    #[command(flatten)]
    field: FieldFlag,
    #[arg(value_name = "TOKEN", help = "The wrapping token, or - for standard input")]
    arguments: Vec<String>,
}

impl UnwrapCommand {
    pub(super) async fn run(self, context: &mut CommandContext) -> CliResult {
        context.set_format_except_raw(&self.output)?;
        if self.arguments.len() > 1 {
            let got = self.arguments.len();
            return Err(CliError::usage(format!("Too many arguments (expected 0-1, got {got})")));
        }
        let token = match self.arguments.first().map(|token| token.trim()) {
            None | Some("") => None,
            Some("-") => Some(context.read_secret(&self.http)?),
            Some(token) => Some(Secret::from_text(token)),
        };
        let client = context.client(&self.http)?;
        let answer = client.unwrap_response(token.as_ref()).await;
        let answer = answer.map_err(CliError::from_api("Error unwrapping"))?;
        let answer = answer.ok_or_else(|| CliError::remote("the server sent an empty response: the wrapping token is unknown, expired, or was already used"))?;
        let Some(field) = self.field.name() else { return context.printer.print_response(&answer) };
        let printer = &mut context.printer;
        // The data of a KV version 2 secret is nested one level deeper.
        let inner = answer.data.as_ref().and_then(|data| data.get("data"));
        let inner = inner.map(|raw| OutputValue::parse(raw.get()));
        let value =
            secret::response_field(&answer, field).filter(|value| *value != OutputValue::Null);
        match value.as_ref().or_else(|| inner.as_ref()?.get(field)) {
            Some(value) if *value != OutputValue::Null => {
                printer.print_field(Some(value), field, value)
            }
            _ => Err(printer.missing_field(&answer, field, true)),
        }
    }
}
