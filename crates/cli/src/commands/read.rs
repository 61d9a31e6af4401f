//! `read`

use clap::Args;

use super::clean_path;
use crate::context::Context;
use crate::data;
use crate::failure::{Failure, Outcome};
use crate::flags::{Formatted, Http, OneField};
use crate::output::Format;

/// Read what is at a path, or have an engine make a credential
#[derive(Args)]
#[command(
    after_help = "Examples:\n  strongroom read secret/my-app\n  strongroom read -field=password database/creds/readonly"
)]
pub(crate) struct Read {
    #[command(flatten)]
    http: Http,
    #[command(flatten)]
    output: Formatted,
    #[command(flatten)]
    field: OneField,
    #[arg(value_name = "PATH [K=V]", help = "Where to read, and parameters")]
    arguments: Vec<String>,
}

impl Read {
    pub(super) async fn run(self, context: &mut Context) -> Outcome {
        context.set_format(&self.output)?;
        let [path, data @ ..] = self.arguments.as_slice() else {
            return Err(Failure::usage("Not enough arguments (expected 1, got 0)"));
        };
        let path = clean_path(path);
        let client = context.client(&self.http)?;
        let query =
            data::parameters(data, &mut *context.stdin(&self.http)).map_err(Failure::local)?;
        if context.printer.format == Format::Raw {
            let body = client.read_raw(&path, &query).await;
            let body = body.map_err(Failure::call(&format!("Error reading: {path}")))?;
            if body.is_empty() {
                return Err(Failure::nothing_at(&path));
            }
            context.printer.whole(&body);
            return Ok(());
        }
        let answer = client.read(&path, &query).await;
        let answer = answer.map_err(Failure::call(&format!("Error reading {path}")))?;
        let answer = answer.ok_or_else(|| Failure::nothing_at(&path))?;
        context.printer.secret_or_field(&answer, self.field.name())
    }
}
