//! `kv`: the key-value engine, whichever of its versions is behind a path.

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
use strongroom_client::{Client, SecretAnswer};
use strongroom_types::Fields;

use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::output::Printer;
use crate::output::fixed_text::DATA_WRITTEN;

/// Read and write secrets of the key/value engine
#[derive(Subcommand)]
#[command(defer = true)]
pub(crate) enum Kv {
    Delete(Box<delete::Delete>),
    Destroy(Box<versions::Destroy>),
    EnableVersioning(Box<enable_versioning::EnableVersioning>),
    Get(Box<get::Get>),
    List(Box<list::List>),
    /// Manage the metadata of a secret
    #[command(subcommand)]
    Metadata(Box<metadata::Metadata>),
    Patch(Box<patch::Patch>),
    Put(Box<put::Put>),
    Rollback(Box<rollback::Rollback>),
    Undelete(Box<versions::Undelete>),
}

impl Kv {
    pub(super) async fn run(self, context: &mut Context) -> Outcome {
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

/// What is sent to write a version: its data, and the version it may replace.
fn version_body(data: &Fields, cas: Option<u64>) -> Fields {
    #[derive(Serialize)]
    struct Options {
        #[serde(skip_serializing_if = "Option::is_none")]
        cas: Option<u64>,
    }
    let mut body = Fields::new();
    body.set_raw("data", raw(data));
    body.set("options", &Options { cas });
    body
}

/// Fields as one piece of JSON.
fn raw(fields: &Fields) -> Box<RawValue> {
    let json: Result<Box<RawValue>, _> = serde_json::from_slice(fields.to_object().as_bytes());
    json.or_else(|_| to_raw_value("")).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

/// Writes, and says so; an answer is shown.
async fn write(client: &Client, printer: &mut Printer, path: &str, body: &Fields) -> Outcome {
    match client.write(path, body).await {
        Ok(Some(answer)) => printer.secret(&answer),
        Ok(None) => {
            printer.line_for_people(&format!("{DATA_WRITTEN}{path}"));
            Ok(())
        }
        Err(error) => Err(refused(printer, error, &format!("Error writing data to {path}"))),
    }
}

/// A refusal that may have warnings beside it.
fn refused(printer: &mut Printer, error: strongroom_client::Error, doing: &str) -> Failure {
    if let Some(answer) = error.answer() {
        printer.warnings(answer);
    }
    Failure::call(doing)(error)
}

/// Whether an answer has this object.
fn object(answer: &SecretAnswer, name: &str) -> Option<Fields> {
    let raw = answer.data.as_ref()?.get(name)?;
    if raw.get() == "null" {
        return None;
    }
    Fields::from_trusted(raw.get().as_bytes()).ok()
}

/// The version that an answer's metadata has.
fn version(answer: &SecretAnswer) -> Option<u64> {
    let raw = object(answer, "metadata")?;
    raw.get("version")?.get().parse().ok()
}
