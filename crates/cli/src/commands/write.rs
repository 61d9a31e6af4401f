//! `write`

use clap::Args;

use super::clean_path;
use crate::context::Context;
use crate::data;
use crate::failure::{Failure, Outcome};
use crate::flags::{Formatted, Http, OneField, duration};
use crate::output::fixed_text::DATA_WRITTEN;

/// Write to a path: a secret, a setting, or what an engine is to do
#[derive(Args)]
#[command(after_help = "\
Values are text, numbers too. A value that begins with @ is read from a file, the value - from
standard input; \\@ begins a value with @. A lone @file or - is a JSON object.

Examples:
  strongroom write secret/my-app password=hunter2
  strongroom write database/roles/readonly @role.json
  strongroom write -force transit/keys/my-key")]
pub(crate) struct Write {
    /// Write without data
    #[arg(long, short)]
    force: bool,
    #[command(flatten)]
    http: Http,
    #[command(flatten)]
    output: Formatted,
    #[command(flatten)]
    field: OneField,
    #[arg(value_name = "PATH [K=V]", help = "Where to write, and what")]
    arguments: Vec<String>,
}

impl Write {
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
        let mut http = self.http;
        let says_nothing =
            http.wrap_ttl.is_none() && context.environment.setting("WRAP_TTL").is_none();
        if path == "sys/wrapping/wrap" && says_nothing {
            // As other clients ask there.
            http.wrap_ttl = Some(duration("5m").map_err(Failure::local)?);
        }
        let client = context.client(&http)?;
        match client.write(&path, &fields).await {
            Ok(Some(answer)) => context.printer.made_or_field(&answer, self.field.name()),
            Ok(None) => {
                let text = format!("{DATA_WRITTEN}{path}");
                context.printer.line_for_people(&text);
                Ok(())
            }
            Err(error) => {
                if let Some(answer) = error.answer() {
                    context.printer.secret(answer)?;
                }
                Err(Failure::call(&format!("Error writing data to {path}"))(error))
            }
        }
    }
}
