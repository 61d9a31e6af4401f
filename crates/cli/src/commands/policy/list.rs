//! `policy list`

use clap::Args;

use crate::context::Context;
use crate::failure::{Failure, Outcome, expect_count};
use crate::flags::{Formatted, Http};
use crate::output::Format;
use crate::output::value::Value;

/// List the names of all policies
#[derive(Args)]
pub(crate) struct List {
    #[command(flatten)]
    http: Http,
    #[command(flatten)]
    output: Formatted,
    #[arg(hide = true)]
    arguments: Vec<String>,
}

impl List {
    pub(super) async fn run(self, context: &mut Context) -> Outcome {
        context.set_format_but_raw(&self.output)?;
        expect_count(&self.arguments, 0, 0)?;
        let client = context.client(&self.http)?;
        let names = client.policies().await.map_err(Failure::call("Error listing policies"))?;
        if context.printer.format != Format::Table {
            return context.printer.data(&Value::texts(Some(&names)));
        }
        for name in names {
            context.printer.line(&name);
        }
        Ok(())
    }
}
