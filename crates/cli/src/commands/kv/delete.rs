//! `kv delete`

use clap::Args;
use strongroom_types::Fields;

use super::refused;
use super::target::{MountFlag, Target};
use super::versions::numbers;
use crate::context::Context;
use crate::failure::{Outcome, expect_count};
use crate::flags::{Formatted, Http, OneField};

/// Delete a key's newest version, or those that are named; `undelete` brings them back
#[derive(Args)]
#[command(after_help = "\
An engine without versions keeps nothing to bring back. \"kv metadata delete\" deletes a key with
all its versions.

Examples:
  strongroom kv delete -mount=secret my-app
  strongroom kv delete -mount=secret -versions=3,4 my-app")]
pub(crate) struct Delete {
    /// Versions to delete; repeatable, or several with commas
    #[arg(long, value_name = "NUMBERS")]
    versions: Vec<String>,
    #[command(flatten)]
    mount: MountFlag,
    #[command(flatten)]
    http: Http,
    #[command(flatten)]
    output: Formatted,
    #[command(flatten)]
    field: OneField,
    #[arg(value_name = "KEY", help = "The key")]
    arguments: Vec<String>,
}

impl Delete {
    pub(super) async fn run(self, context: &mut Context) -> Outcome {
        context.set_format_but_raw(&self.output)?;
        expect_count(&self.arguments, 1, 1)?;
        let versions = numbers(&self.versions);
        if versions.is_empty() && !self.versions.is_empty() {
            // An empty variable must not delete the latest one.
            let text = "-versions names no version: nothing was deleted";
            return Err(crate::failure::Failure::usage(text));
        }
        let client = context.client(&self.http)?;
        let target = Target::find(&client, &self.mount, &self.arguments.concat()).await?;
        let path = target.path("data");
        let answer = if target.is_versioned() && !versions.is_empty() {
            let mut body = Fields::new();
            body.set("versions", &versions);
            client.write(&target.path("delete"), &body).await
        } else {
            if !versions.is_empty() {
                let text = "-versions needs an engine that keeps versions, and this one is version \
                            1: nothing was deleted";
                return Err(crate::failure::Failure::usage(text));
            }
            client.delete(&path, &[]).await
        };
        let printer = &mut context.printer;
        let answer =
            answer.map_err(|error| refused(printer, error, &format!("Error deleting {path}")))?;
        match answer {
            Some(answer) => printer.secret_or_field(&answer, self.field.name()),
            None => {
                let text = format!("Success! Data deleted (if it existed) at: {path}");
                printer.line_for_people(&text);
                Ok(())
            }
        }
    }
}
