//! `kv delete`

use clap::Args;
use strongroom_types::Fields;

use super::super::delete::print_deleted;
use super::outcome::failure_with_warnings;
use super::target::{KvTarget, MountFlag};
use super::versions::parse_version_numbers;
use crate::context::CommandContext;
use crate::error::{CliResult, check_argument_count};
use crate::flags::{FieldFlag, FormatFlag, HttpFlags};

/// Delete a key's newest version or the given versions; `undelete` restores them
#[derive(Args)]
#[command(after_help = "\
With version 1 of the engine, deleted data can't be restored. \"kv metadata delete\" deletes a key
with all its versions.

Examples:
  strongroom kv delete -mount=secret my-app
  strongroom kv delete -mount=secret -versions=3,4 my-app")]
pub(crate) struct KvDelete {
    /// Versions to delete; repeatable, or several with commas
    #[arg(long, value_name = "NUMBERS")]
    versions: Vec<String>,
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

impl KvDelete {
    pub(super) async fn run(self, context: &mut CommandContext) -> CliResult {
        context.set_format_except_raw(&self.output)?;
        check_argument_count(&self.arguments, 1, 1)?;
        let versions = parse_version_numbers(&self.versions);
        if versions.is_empty() && !self.versions.is_empty() {
            // An empty shell variable must not lead to the deletion of the newest version.
            let text = "-versions names no version: nothing was deleted";
            return Err(crate::error::CliError::usage(text));
        }
        let client = context.client(&self.http)?;
        let target = KvTarget::resolve(&client, &self.mount, &self.arguments.concat()).await?;
        let path = target.api_path("data");
        let answer = if target.is_versioned() && !versions.is_empty() {
            let mut body = Fields::new();
            body.set("versions", &versions);
            client.write(&target.api_path("delete"), &body).await
        } else {
            if !versions.is_empty() {
                let text = "-versions needs an engine that keeps versions, and this one is version \
                            1: nothing was deleted";
                return Err(crate::error::CliError::usage(text));
            }
            client.delete(&path, &[]).await
        };
        let printer = &mut context.printer;
        let answer = answer.map_err(|error| {
            failure_with_warnings(printer, error, &format!("Error deleting {path}"))
        })?;
        print_deleted(printer, &path, answer, self.field.name())
    }
}
