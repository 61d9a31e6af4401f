//! `kv`: the key-value engine, in either version.

mod delete;
mod enable_versioning;
mod get;
mod list;
mod metadata;
mod patch;
mod put;
mod rollback;
mod show;
mod target;
mod versions;

use clap::Subcommand;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use strongroom_client::SecretResponse;
use strongroom_types::Fields;

use crate::context::CommandContext;
use crate::error::{CliError, CliResult};
use crate::output::Printer;
use crate::output::fixed_text::DATA_WRITTEN;

/// Read and write secrets of the key/value engine
#[derive(Subcommand)]
#[command(defer = true)]
pub(crate) enum KvCommand {
    Delete(Box<delete::KvDelete>),
    Destroy(Box<versions::KvDestroy>),
    EnableVersioning(Box<enable_versioning::KvEnableVersioning>),
    Get(Box<get::KvGet>),
    List(Box<list::KvList>),
    /// Manage the metadata of a secret
    #[command(subcommand)]
    Metadata(Box<metadata::KvMetadataCommand>),
    Patch(Box<patch::KvPatch>),
    Put(Box<put::KvPut>),
    Rollback(Box<rollback::KvRollback>),
    Undelete(Box<versions::KvUndelete>),
}

impl KvCommand {
    pub(super) async fn run(self, context: &mut CommandContext) -> CliResult {
        match self {
            Self::Delete(command) => command.run(context).await,
            Self::Destroy(command) => command.run(context).await,
            Self::EnableVersioning(command) => command.run(context).await,
            Self::Get(command) => command.run(context).await,
            Self::List(command) => command.run(context).await,
            Self::Metadata(command) => command.run(context).await,
            Self::Patch(command) => command.run(context).await,
            Self::Put(command) => command.run(context).await,
            Self::Rollback(command) => command.run(context).await,
            Self::Undelete(command) => command.run(context).await,
        }
    }
}

/// The request body that writes a version: the data, and for `-cas` the version it may replace.
fn version_body(data: &Fields, cas: Option<u64>) -> Fields {
    #[derive(Serialize)]
    struct KvWriteOptions {
        #[serde(skip_serializing_if = "Option::is_none")]
        cas: Option<u64>,
    }
    let mut body = Fields::new();
    body.set_raw("data", to_raw_json(data));
    body.set("options", &KvWriteOptions { cas });
    body
}

/// The fields as one JSON object.
fn to_raw_json(fields: &Fields) -> Box<RawValue> {
    let json: Result<Box<RawValue>, _> = serde_json::from_slice(fields.to_object().as_bytes());
    json.or_else(|_| to_raw_value("")).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

/// Prints the response to a write, or that the write succeeded.
fn print_written(
    printer: &mut Printer,
    path: &str,
    outcome: Result<Option<SecretResponse>, strongroom_client::Error>,
) -> CliResult {
    match outcome {
        Ok(Some(response)) => printer.print_response(&response),
        Ok(None) => {
            printer.success_for_people(&format!("{DATA_WRITTEN}{path}"));
            Ok(())
        }
        Err(error) => Err(write_error(printer, path, error)),
    }
}

/// Converts the API error of a write, and prints the warnings that came with it.
fn write_error(printer: &mut Printer, path: &str, error: strongroom_client::Error) -> CliError {
    failure_with_warnings(printer, error, &format!("Error writing data to {path}"))
}

/// Converts an API error, and prints the warnings that came with it.
fn failure_with_warnings(
    printer: &mut Printer,
    error: strongroom_client::Error,
    doing: &str,
) -> CliError {
    if let Some(answer) = error.response() {
        printer.print_warnings(answer);
    }
    CliError::from_api(doing)(error)
}

/// An object in the response data, such as `metadata`.
fn data_object(answer: &SecretResponse, name: &str) -> Option<Fields> {
    let raw = answer.data.as_ref()?.get(name)?;
    if raw.get() == "null" {
        return None;
    }
    Fields::from_trusted(raw.get().as_bytes()).ok()
}

/// The version number in the metadata of the response to reading `path`.
fn current_version(path: &str, response: &SecretResponse) -> CliResult<u64> {
    let metadata = data_object(response, "metadata");
    let number = metadata.and_then(|metadata| metadata.get("version")?.get().parse().ok());
    number.ok_or_else(|| {
        CliError::remote(format!("the version of {path} can't be told from the answer"))
    })
}
