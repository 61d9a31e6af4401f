//! `token lookup`

use clap::Args;

use super::{first_argument, token_selector};
use crate::context::CommandContext;
use crate::error::{CliError, CliResult};
use crate::flags::{FieldFlag, FormatFlag, HttpFlags};

/// Look up a token; by default the client token
#[derive(Args)]
pub(crate) struct TokenLookup {
    /// The argument is an accessor. The token itself isn't shown
    #[arg(long)]
    accessor: bool,
    #[command(flatten)]
    http: HttpFlags,
    #[command(flatten)]
    output: FormatFlag,
    #[command(flatten)]
    field: FieldFlag,
    #[arg(value_name = "TOKEN", help = "A token or an accessor")]
    arguments: Vec<String>,
}

impl TokenLookup {
    pub(super) async fn run(self, context: &mut CommandContext) -> CliResult {
        context.set_format_except_raw(&self.output)?;
        let wrong = match (self.accessor, self.arguments.len()) {
            (true, 0) => Some("Not enough arguments with -accessor (expected 1, got 0)".to_owned()),
            (true, got @ 2..) => {
                Some(format!("Too many arguments with -accessor (expected 1, got {got})"))
            }
            (false, got @ 2..) => Some(format!("Too many arguments (expected 0-1, got {got})")),
            _ => None,
        };
        if let Some(text) = wrong {
            return Err(CliError::usage(text));
        }
        let client = context.client(&self.http)?;
        let given = first_argument(&self.arguments);
        let answer = client.look_up_token(token_selector(&given, self.accessor)).await;
        let answer = answer.map_err(CliError::from_api("Error looking up token"))?;
        context.printer.print_response_or_field(&answer, self.field.name())
    }
}
