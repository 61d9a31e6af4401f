//! `patch`

use clap::Args;

use super::clean_path;
use crate::context::Context;
use crate::data;
use crate::failure::{Failure, Outcome};
use crate::flags::{Formatted, Http, OneField};
use crate::output::fixed_text::DATA_WRITTEN;

/// Change part of what is at a path, where the engine can
#[derive(Args)]
#[command(after_help = "\
What is sent is a JSON merge patch: a field that is null is removed. Values are given as for
\"write\".

Example:
  strongroom patch pki/issuer/default usage=read-only")]
pub(crate) struct Patch {
    /// Patch without data
    #[arg(long, short)]
    force: bool,
    #[command(flatten)]
    http: Http,
    #[command(flatten)]
    output: Formatted,
    #[command(flatten)]
    field: OneField,
    #[arg(value_name = "PATH [K=V]", help = "Where to change, and what")]
    arguments: Vec<String>,
}

impl Patch {
    pub(super) async fn run(self, context: &mut Context) -> Outcome {
        context.set_format_but_raw(&self.output)?;
        let [path, data @ ..] = self.arguments.as_slice() else {
            return Err(Failure::usage("Not enough arguments (expected 1, got 0)"));
        };
        if data.is_empty() && !self.force {
            return Err(Failure::usage("Must supply data or use -force"));
        }
        let path = clean_path(path);
        let fields = data::fields(data, &mut *context.stdin(&self.http)).map_err(Failure::local)?;
        let client = context.client(&self.http)?;
        let printer = &mut context.printer;
        match client.patch(&path, &fields).await {
            Ok(Some(answer)) => printer.made_or_field(&answer, self.field.name()),
            Ok(None) => {
                printer.line_for_people(&format!("{DATA_WRITTEN}{path}"));
                Ok(())
            }
            Err(error) => {
                if let Some(answer) = error.answer() {
                    printer.secret(answer)?;
                }
                Err(Failure::call(&format!("Error writing data to {path}"))(error))
            }
        }
    }
}
