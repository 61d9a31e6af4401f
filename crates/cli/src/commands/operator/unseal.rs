//! `operator unseal`

use clap::Args;
use strongroom_types::Secret;

use super::status_with_leader;
use crate::context::CommandContext;
use crate::error::{CliError, CliResult, check_argument_count};
use crate::flags::{FormatFlag, HttpFlags};

/// Submit a key share to unseal the server
#[derive(Args)]
#[command(after_help = "\
Without an argument, the share is prompted for on the terminal; with - it is read from standard
input. Both keep it out of the process list and the shell's history.")]
pub(crate) struct OperatorUnseal {
    /// Discard the key shares submitted so far
    #[arg(long)]
    reset: bool,
    /// Use the share for a seal migration
    #[arg(long)]
    migrate: bool,
    #[command(flatten)]
    http: HttpFlags,
    #[command(flatten)]
    output: FormatFlag,
    #[arg(value_name = "KEY", help = "A key share, or - for standard input")]
    arguments: Vec<String>,
}

impl OperatorUnseal {
    pub(super) async fn run(self, context: &mut CommandContext) -> CliResult {
        context.set_format_except_raw(&self.output)?;
        check_argument_count(&self.arguments, 0, 1)?;
        let client = context.client(&self.http)?;
        let seal = if self.reset {
            let seal = client.reset_unseal().await;
            seal.map_err(CliError::from_api("Error resetting unseal process"))?
        } else {
            let share = self.read_key_share(context)?;
            let seal = client.unseal(&share, self.migrate).await;
            seal.map_err(CliError::from_api("Error unsealing"))?
        };
        let status = status_with_leader(&client, seal).await;
        status.map_err(|failure| CliError { code: 1, ..failure })?.print(&mut context.printer)
    }

    fn read_key_share(&self, context: &mut CommandContext) -> CliResult<Secret<String>> {
        let given = match self.arguments.first().map(|argument| argument.trim()) {
            Some("-") => context.read_secret(&self.http)?,
            Some(share) if !share.is_empty() => Secret::from_text(share),
            _ if self.http.non_interactive => {
                let text = "there is no key share: pass it on standard input, with - as the argument";
                return Err(CliError::usage(text));
            }
            _ => context.prompt_secret("Key share (not shown): ").map_err(|error| {
                CliError::local(format!(
                    "the key share can't be asked for: {error}\nPass it on standard input, with - as \
                     the argument."
                ))
            })?,
        };
        Ok(Secret::from_text(given.expose_secret().trim()))
    }
}
