//! `kv get`

use clap::Args;

use super::show;
use super::target::{MountFlag, Target};
use crate::context::Context;
use crate::failure::{Failure, Outcome, expect_count};
use crate::flags::{Formatted, Http, OneField};
use crate::output::value::Value;

/// Read a key
#[derive(Args)]
#[command(after_help = "\
Examples:
  strongroom kv get -mount=secret my-app
  strongroom kv get -mount=secret -version=1 my-app
  strongroom kv get -field=password secret/my-app")]
pub(crate) struct Get {
    /// The version to read; by default the newest
    #[arg(long, value_name = "NUMBER")]
    version: Option<i64>,
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

impl Get {
    pub(super) async fn run(self, context: &mut Context) -> Outcome {
        context.set_format_but_raw(&self.output)?;
        expect_count(&self.arguments, 1, 1)?;
        let client = context.client(&self.http)?;
        let target = Target::find(&client, &self.mount, &self.arguments.concat()).await?;
        let version = self.version.filter(|version| target.is_versioned() && *version > 0);
        let query: Vec<_> = version
            .map(|version| ("version".to_owned(), version.to_string()))
            .into_iter()
            .collect();
        let path = target.path("data");
        let answer = client.read(&path, &query).await;
        let answer = answer.map_err(Failure::call(&format!("Error reading {path}")))?;
        let Some(answer) = answer else {
            return Err(Failure::nothing_at(&path));
        };
        let printer = &mut context.printer;
        match self.field.name() {
            Some(field) if target.is_versioned() && answer.wrap_info.is_none() => {
                let Some(data) = super::object(&answer, "data") else {
                    return Err(Failure::remote(format!(
                        "this version of {path} has been deleted or destroyed"
                    )));
                };
                let data = Value::fields(&data);
                // "data" is all of it, unless the key has such a field.
                let whole = (field == "data").then_some(&data);
                printer.field(data.get(field).or(whole), field, &data)
            }
            Some(field) => printer.secret_or_field(&answer, Some(field)),
            None => show::version(printer, target.is_versioned().then_some(&path), &answer),
        }
    }
}
