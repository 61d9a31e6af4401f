//! `unwrap`

use clap::Args;
use strongroom_types::Secret;

use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::flags::{Formatted, Http, OneField};

/// Get at a wrapped answer, once
#[derive(Args)]
#[command(after_help = "\
Without an argument, the token that is used is the one that wraps; it can come from the environment
and is then in no list of processes. With - it is read from standard input.

Examples:
  strongroom unwrap s.7nf0…
  strongroom unwrap - < wrapping-token
  VAULT_TOKEN=s.7nf0… strongroom unwrap")]
pub(crate) struct Unwrap {
    #[command(flatten)]
    http: Http,
    #[command(flatten)]
    output: Formatted,
    #[command(flatten)]
    field: OneField,
    #[arg(value_name = "TOKEN", help = "The token that wraps the answer, or -")]
    arguments: Vec<String>,
}

impl Unwrap {
    pub(super) async fn run(self, context: &mut Context) -> Outcome {
        context.set_format_but_raw(&self.output)?;
        if self.arguments.len() > 1 {
            let got = self.arguments.len();
            return Err(Failure::usage(format!("Too many arguments (expected 0-1, got {got})")));
        }
        let token = match self.arguments.first().map(|token| token.trim()) {
            None | Some("") => None,
            Some("-") => Some(context.read_secret(&self.http)?),
            Some(token) => Some(Secret::from_text(token)),
        };
        let client = context.client(&self.http)?;
        let answer = client.unwrap_answer(token.as_ref()).await;
        let answer = answer.map_err(Failure::call("Error unwrapping"))?;
        let answer = answer.ok_or_else(|| Failure::remote("Could not find wrapped response"))?;
        context.printer.secret_or_field(&answer, self.field.name())
    }
}
