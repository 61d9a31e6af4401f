//! `path-help`

use clap::Args;

use super::clean_path;
use crate::context::Context;
use crate::failure::{Failure, Outcome, expect_count};
use crate::flags::{Formatted, Http};
use crate::output::Format;

/// Print the server's help on a path
#[derive(Args)]
#[command(after_help = "\
With -format=json it is an OpenAPI document.

Examples:
  strongroom path-help kv/
  strongroom path-help sys/mounts")]
pub(crate) struct PathHelp {
    #[command(flatten)]
    http: Http,
    #[command(flatten)]
    output: Formatted,
    #[arg(value_name = "PATH", help = "The path")]
    arguments: Vec<String>,
}

impl PathHelp {
    pub(super) async fn run(self, context: &mut Context) -> Outcome {
        context.set_format_but_raw(&self.output)?;
        expect_count(&self.arguments, 1, 1)?;
        let path = clean_path(&self.arguments.concat());
        let client = context.client(&self.http)?;
        let help = client.help(&path).await.map_err(Failure::call("Error retrieving help"))?;
        if context.printer.format != Format::Json {
            context.printer.line(help.help.trim_end_matches('\n'));
            return Ok(());
        }
        let Some(openapi) = help.openapi.filter(|document| document.get() != "null") else {
            return Err(Failure::remote(format!(
                "the server has no document about {path}: leave -format=json out for its words"
            )));
        };
        context.printer.line(openapi.get());
        Ok(())
    }
}
