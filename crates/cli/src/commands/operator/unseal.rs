//! `operator unseal`

use clap::Args;
use strongroom_types::Secret;

use super::whole_status;
use crate::context::Context;
use crate::failure::{Failure, Outcome, expect_count};
use crate::flags::{Formatted, Http};

/// Give a key share to a sealed server
#[derive(Args)]
#[command(after_help = "\
Without an argument the share is asked for on the terminal; with - it is read from standard input.
Either keeps it out of the list of processes and the shell's history.")]
pub(crate) struct Unseal {
    /// Forget the shares given so far
    #[arg(long)]
    reset: bool,
    /// The share is given to move from one kind of seal to another
    #[arg(long)]
    migrate: bool,
    #[command(flatten)]
    http: Http,
    #[command(flatten)]
    output: Formatted,
    #[arg(value_name = "KEY", help = "A key share, or - for standard input")]
    arguments: Vec<String>,
}

impl Unseal {
    pub(super) async fn run(self, context: &mut Context) -> Outcome {
        context.set_format_but_raw(&self.output)?;
        expect_count(&self.arguments, 0, 1)?;
        let client = context.client(&self.http)?;
        let seal = if self.reset {
            let seal = client.reset_unseal().await;
            seal.map_err(Failure::call("Error resetting unseal process"))?
        } else {
            let share = self.share(context)?;
            let seal = client.unseal(&share, self.migrate).await;
            seal.map_err(Failure::call("Error unsealing"))?
        };
        let status = whole_status(&client, seal).await;
        status.map_err(|failure| Failure { code: 1, ..failure })?.print(&mut context.printer)
    }

    fn share(&self, context: &mut Context) -> Outcome<Secret<String>> {
        let given = match self.arguments.first().map(|argument| argument.trim()) {
            Some("-") => context.read_secret(&self.http)?,
            Some(share) if !share.is_empty() => Secret::from_text(share),
            _ if self.http.non_interactive => {
                let text = "there is no key share: pass it on standard input, with - as the argument";
                return Err(Failure::usage(text));
            }
            _ => context.ask_secret("Key share (not shown): ").map_err(|error| {
                Failure::local(format!(
                    "the key share can't be asked for: {error}\nPass it on standard input, with - as \
                     the argument."
                ))
            })?,
        };
        Ok(Secret::from_text(given.expose_secret().trim()))
    }
}
