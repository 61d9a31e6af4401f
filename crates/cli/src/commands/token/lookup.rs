//! `token lookup`

use clap::Args;

use super::{first, which};
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::flags::{Formatted, Http, OneField};

/// Show what is known of a token; by default of the one that is used
#[derive(Args)]
pub(crate) struct Lookup {
    /// The argument is an accessor. The token itself isn't shown
    #[arg(long)]
    accessor: bool,
    #[command(flatten)]
    http: Http,
    #[command(flatten)]
    output: Formatted,
    #[command(flatten)]
    field: OneField,
    #[arg(value_name = "TOKEN", help = "A token or an accessor")]
    arguments: Vec<String>,
}

impl Lookup {
    pub(super) async fn run(self, context: &mut Context) -> Outcome {
        context.set_format_but_raw(&self.output)?;
        let wrong = match (self.accessor, self.arguments.len()) {
            (true, 0) => Some("Not enough arguments with -accessor (expected 1, got 0)".to_owned()),
            (true, got @ 2..) => {
                Some(format!("Too many arguments with -accessor (expected 1, got {got})"))
            }
            (false, got @ 2..) => Some(format!("Too many arguments (expected 0-1, got {got})")),
            _ => None,
        };
        if let Some(text) = wrong {
            return Err(Failure::usage(text));
        }
        let client = context.client(&self.http)?;
        let given = first(&self.arguments);
        let answer = client.look_up_token(which(&given, self.accessor)).await;
        let answer = answer.map_err(Failure::call("Error looking up token"))?;
        context.printer.secret_or_field(&answer, self.field.name())
    }
}
