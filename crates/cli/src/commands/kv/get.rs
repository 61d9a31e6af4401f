//! `kv get`

use clap::Args;

use super::super::read::read_existing;
use super::documents::data_object;
use super::show;
use super::target::{KvTarget, MountFlag};
use crate::context::CommandContext;
use crate::error::{CliError, CliResult, check_argument_count};
use crate::flags::{FieldFlag, FormatFlag, HttpFlags};
use crate::output::value::OutputValue;

/// Read a key
#[derive(Args)]
#[command(after_help = "\
Examples:
  strongroom kv get -mount=secret my-app
  strongroom kv get -mount=secret -version=1 my-app
  strongroom kv get -field=password secret/my-app")]
pub(crate) struct KvGet {
    /// The version to read; by default the newest
    #[arg(long, value_name = "NUMBER")]
    version: Option<i64>,
    #[command(flatten)]
    mount: MountFlag,
    #[command(flatten)]
    http: HttpFlags,
    #[command(flatten)]
    output: FormatFlag,
    #[command(flatten)]
    field: FieldFlag,
    #[arg(value_name = "KEY", help = "The key")]
    arguments: Vec<String>,
}

impl KvGet {
    pub(super) async fn run(self, context: &mut CommandContext) -> CliResult {
        context.set_format_except_raw(&self.output)?;
        check_argument_count(&self.arguments, 1, 1)?;
        let client = context.client(&self.http)?;
        let target = KvTarget::resolve(&client, &self.mount, &self.arguments.concat()).await?;
        let version = self.version.filter(|version| target.is_versioned() && *version > 0);
        let query: Vec<_> = version
            .map(|version| ("version".to_owned(), version.to_string()))
            .into_iter()
            .collect();
        let path = target.api_path("data");
        let answer = read_existing(&client, &path, &query).await?;
        let printer = &mut context.printer;
        match self.field.name() {
            Some(field) if target.is_versioned() && answer.wrap_info.is_none() => {
                let Some(data) = data_object(&answer, "data") else {
                    return Err(CliError::remote(format!(
                        "this version of {path} has been deleted or destroyed"
                    )));
                };
                let data = OutputValue::from_fields(&data);
                // The field "data" means all data, unless the secret has a field of that name.
                let whole = (field == "data").then_some(&data);
                printer.print_field(data.get(field).or(whole), field, &data)
            }
            Some(field) => printer.print_response_or_field(&answer, Some(field)),
            None => show::print_version(printer, target.is_versioned().then_some(&path), &answer),
        }
    }
}
