//! `token capabilities`

use clap::Args;
use strongroom_types::Secret;

use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::flags::{Formatted, Http};
use crate::output::Format;
use crate::output::value::Value;

/// Show what a token may do at a path; by default the one that is used
#[derive(Args)]
pub(crate) struct Capabilities {
    #[command(flatten)]
    http: Http,
    #[command(flatten)]
    output: Formatted,
    #[arg(value_name = "[TOKEN] PATH", help = "A token, perhaps, and a path")]
    arguments: Vec<String>,
}

impl Capabilities {
    pub(super) async fn run(self, context: &mut Context) -> Outcome {
        context.set_format_but_raw(&self.output)?;
        let (token, path) = match self.arguments.as_slice() {
            [path] => (None, path),
            [token, path] => (Some(Secret::from_text(token)), path),
            [] => return Err(Failure::usage("Not enough arguments (expected 1-2, got 0)")),
            more => {
                let got = more.len();
                return Err(Failure::usage(format!(
                    "Too many arguments (expected 1-2, got {got})"
                )));
            }
        };
        let client = context.client(&self.http)?;
        let found = client.capabilities(token.as_ref(), path).await;
        let mut found = found.map_err(Failure::call("Error listing capabilities"))?;
        if found.is_empty() {
            return Err(Failure::local("the server named no capabilities"));
        }
        if context.printer.format != Format::Table {
            return context.printer.data(&Value::texts(Some(&found)));
        }
        found.sort();
        context.printer.line(&found.join(", "));
        Ok(())
    }
}
