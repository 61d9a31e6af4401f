//! `kv metadata get`

use clap::Args;

use super::super::show;
use super::super::target::MountFlag;
use crate::context::Context;
use crate::failure::{Failure, Outcome, expect_count};
use crate::flags::{Formatted, Http};
use crate::output::Format;

/// Show a key's settings, and when its versions were made and deleted
#[derive(Args)]
#[command(after_help = "Example:\n  strongroom kv metadata get -mount=secret my-app")]
pub(crate) struct Get {
    #[command(flatten)]
    mount: MountFlag,
    #[command(flatten)]
    http: Http,
    #[command(flatten)]
    output: Formatted,
    #[arg(value_name = "KEY", help = "The key")]
    arguments: Vec<String>,
}

impl Get {
    pub(super) async fn run(self, context: &mut Context) -> Outcome {
        context.set_format_but_raw(&self.output)?;
        expect_count(&self.arguments, 1, 1)?;
        let client = context.client(&self.http)?;
        let path = super::path(&client, &self.mount, &self.arguments.concat()).await?;
        let answer = client.read(&path, &[]).await;
        let answer = answer.map_err(Failure::call(&format!("Error reading {path}")))?;
        let Some(answer) = answer else {
            return Err(Failure::nothing_at(&path));
        };
        let printer = &mut context.printer;
        match &answer.data {
            Some(data) if printer.format == Format::Table && answer.wrap_info.is_none() => {
                printer.warnings(&answer);
                show::metadata(printer, &path, data);
                Ok(())
            }
            _ => printer.secret(&answer),
        }
    }
}
