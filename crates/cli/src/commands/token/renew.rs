//! `token renew`

use clap::Args;

use super::{first, which};
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::flags::{Formatted, Http, Seconds, lifetime};

/// Renew a token; by default the one that is used
#[derive(Args)]
pub(crate) struct Renew {
    /// The argument is an accessor. The token itself isn't shown
    #[arg(long)]
    accessor: bool,
    /// How long it shall last from now; the server may give less
    #[arg(long, short, value_name = "DURATION", value_parser = lifetime)]
    increment: Option<Seconds>,
    #[command(flatten)]
    http: Http,
    #[command(flatten)]
    output: Formatted,
    #[arg(value_name = "TOKEN", help = "A token or an accessor")]
    arguments: Vec<String>,
}

impl Renew {
    pub(super) async fn run(self, context: &mut Context) -> Outcome {
        context.set_format_but_raw(&self.output)?;
        if self.arguments.len() > 1 {
            let got = self.arguments.len();
            return Err(Failure::usage(format!("Too many arguments (expected 1, got {got})")));
        }
        if self.accessor && self.arguments.is_empty() {
            let text = "Not enough arguments with -accessor (expected 1, got 0)";
            return Err(Failure::usage(text));
        }
        let increment = self.increment.unwrap_or_default().as_duration();
        let client = context.client(&self.http)?;
        let given = first(&self.arguments);
        let answer = client.renew_token(which(&given, self.accessor), increment).await;
        let answer = answer.map_err(Failure::call("Error renewing token"))?;
        context.printer.secret(&answer)
    }
}
