//! `status`

use clap::Args;

use super::operator::whole_status;
use crate::context::Context;
use crate::failure::{Failure, Outcome, expect_count};
use crate::flags::{Formatted, Http, OneField};
use crate::output::value::Value;

/// Print whether the server is sealed, and who leads
#[derive(Args)]
#[command(
    after_help = "The exit code is 0 if the server is unsealed, 2 if it is sealed, 1 if that isn't known."
)]
pub(crate) struct Status {
    #[command(flatten)]
    http: Http,
    #[command(flatten)]
    output: Formatted,
    #[command(flatten)]
    field: OneField,
    #[arg(hide = true)]
    arguments: Vec<String>,
}

impl Status {
    pub(super) async fn run(self, context: &mut Context) -> Outcome {
        context.set_format_but_raw(&self.output)?;
        expect_count(&self.arguments, 0, 0)?;
        // 2 means "sealed" here, so whatever fails is 1.
        let as_1 = |failure: Failure| Failure { code: 1, ..failure };
        let client = context.client(&self.http).map_err(as_1)?;
        let seal = client.seal_status().await;
        let seal = seal.map_err(Failure::call("Error checking seal status")).map_err(as_1)?;
        let sealed = seal.sealed;
        let status = whole_status(&client, seal).await.map_err(as_1)?;
        match self.field.name() {
            Some(name) => {
                let all = Value::of(&status);
                context.printer.field(status.field(name).as_ref(), name, &all)?;
            }
            None => status.print(&mut context.printer)?,
        }
        if sealed { Err(Failure::silent(2)) } else { Ok(()) }
    }
}
