//! `delete`

use clap::Args;

use super::clean_path;
use crate::context::Context;
use crate::data;
use crate::failure::{Failure, Outcome};
use crate::flags::{Formatted, Http, OneField};

/// Delete what is at a path
#[derive(Args)]
#[command(after_help = "Example:\n  strongroom delete secret/my-app")]
pub(crate) struct Delete {
    #[command(flatten)]
    http: Http,
    #[command(flatten)]
    output: Formatted,
    #[command(flatten)]
    field: OneField,
    #[arg(value_name = "PATH [K=V]", help = "What to delete, and parameters")]
    arguments: Vec<String>,
}

impl Delete {
    pub(super) async fn run(self, context: &mut Context) -> Outcome {
        context.set_format_but_raw(&self.output)?;
        let [path, data @ ..] = self.arguments.as_slice() else {
            return Err(Failure::usage("Not enough arguments (expected at least 1, got 0)"));
        };
        let path = clean_path(path);
        let client = context.client(&self.http)?;
        let query =
            data::parameters(data, &mut *context.stdin(&self.http)).map_err(Failure::local)?;
        match client.delete(&path, &query).await {
            Ok(Some(answer)) => context.printer.secret_or_field(&answer, self.field.name()),
            Ok(None) => {
                let text = format!("Success! Data deleted (if it existed) at: {path}");
                context.printer.line_for_people(&text);
                Ok(())
            }
            Err(error) => {
                if let Some(answer) = error.answer() {
                    context.printer.secret(answer)?;
                }
                Err(Failure::call(&format!("Error deleting {path}"))(error))
            }
        }
    }
}
