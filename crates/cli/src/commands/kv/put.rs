//! `kv put`

use clap::Args;

use super::documents::version_body;
use super::outcome::write_error;
use super::show;
use super::target::{KvTarget, MountFlag};
use crate::context::CommandContext;
use crate::data;
use crate::error::{CliError, CliResult};
use crate::flags::{FieldFlag, FormatFlag, HttpFlags};

/// Write a key; its old data is replaced, or kept as an older version
#[derive(Args)]
#[command(after_help = "\
Values are strings, even if they look like numbers. @file reads a value from a file, and - from
standard input; \\@ is a literal @. An argument that is only @file or - is read as a JSON object.

Examples:
  strongroom kv put -mount=secret my-app user=app password=@password.txt
  strongroom kv put -mount=secret -cas=1 my-app @data.json")]
pub(crate) struct KvPut {
    /// Write only if this is the newest version; 0 if there must be none
    #[arg(long, value_name = "VERSION", allow_hyphen_values = true)]
    cas: Option<i64>,
    #[command(flatten)]
    mount: MountFlag,
    #[command(flatten)]
    http: HttpFlags,
    #[command(flatten)]
    output: FormatFlag,
    #[command(flatten)]
    field: FieldFlag,
    #[arg(value_name = "KEY K=V", help = "The key, and its data")]
    arguments: Vec<String>,
}

impl KvPut {
    pub(super) async fn run(self, context: &mut CommandContext) -> CliResult {
        context.set_format_except_raw(&self.output)?;
        let [key, data @ ..] = self.arguments.as_slice() else {
            return Err(CliError::usage("Not enough arguments (expected >1, got 0)"));
        };
        if data.is_empty() {
            return Err(CliError::usage("Must supply data"));
        }
        let fields =
            data::parse_fields(data, &mut *context.stdin(&self.http)).map_err(CliError::local)?;
        let client = context.client(&self.http)?;
        let target = KvTarget::resolve(&client, &self.mount, key).await?;
        let path = target.api_path("data");
        let body = if target.is_versioned() {
            version_body(&fields, self.cas.and_then(|version| u64::try_from(version).ok()))
        } else {
            refuse_cas(self.cas)?;
            fields
        };
        let printer = &mut context.printer;
        let outcome = client.write(&path, &body).await;
        let response = outcome.map_err(|error| write_error(printer, &path, error))?;
        show::print_written_version(printer, &path, response, self.field.name())
    }
}

/// Refuses `-cas` for version 1: there is no version to compare with, so the write would silently
/// replace the data that `-cas` should protect.
fn refuse_cas(cas: Option<i64>) -> CliResult {
    match cas {
        Some(version) if version >= 0 => Err(CliError::usage(
            "-cas needs an engine that keeps versions, and this one is version 1: nothing was written",
        )),
        _ => Ok(()),
    }
}
