//! `kv patch`

use std::collections::BTreeMap;

use clap::Args;
use serde_json::value::RawValue;
use strongroom_client::{Client, SecretResponse};
use strongroom_types::Fields;

use super::super::read::read_existing;
use super::documents::{current_version, data_object, version_body};
use super::outcome::write_error;
use super::show;
use super::target::{KvTarget, MountFlag};
use crate::context::CommandContext;
use crate::data;
use crate::error::{CliError, CliResult};
use crate::flags::{FieldFlag, FormatFlag, HttpFlags};
use crate::output::text::wrap_text;

/// Change some fields of a key, and keep the others
#[derive(Args)]
#[command(after_help = "\
Needs version 2 of the engine. If the token lacks the capability \"patch\", the command reads, changes
and writes the secret instead. -method selects one of the two ways, without a second attempt.

Examples:
  strongroom kv patch -mount=secret my-app password=hunter2
  strongroom kv patch -mount=secret -remove-data=password my-app")]
pub(crate) struct KvPatch {
    /// Change only if this is the newest version
    #[arg(long, value_name = "VERSION", allow_hyphen_values = true)]
    cas: Option<i64>,
    /// patch: one PATCH request. rw: read, change locally, write
    #[arg(long, value_name = "METHOD", default_value = "")]
    method: String,
    /// Field to remove; repeatable
    #[arg(long, value_name = "FIELD")]
    remove_data: Vec<String>,
    #[command(flatten)]
    mount: MountFlag,
    #[command(flatten)]
    http: HttpFlags,
    #[command(flatten)]
    output: FormatFlag,
    #[command(flatten)]
    field: FieldFlag,
    #[arg(value_name = "KEY K=V", help = "The key, and the fields to change")]
    arguments: Vec<String>,
}

impl KvPatch {
    pub(super) async fn run(self, context: &mut CommandContext) -> CliResult {
        context.set_format_except_raw(&self.output)?;
        let [key, data @ ..] = self.arguments.as_slice() else {
            return Err(CliError::usage("Not enough arguments (expected >1, got 0)"));
        };
        if data.is_empty() && self.remove_data.is_empty() {
            return Err(CliError::usage("Must supply data"));
        }
        let mut fields =
            data::parse_fields(data, &mut *context.stdin(&self.http)).map_err(CliError::local)?;
        for name in &self.remove_data {
            fields.set_raw(name, RawValue::NULL.to_owned());
        }
        let client = context.client(&self.http)?;
        let target = KvTarget::resolve(&client, &self.mount, key).await?;
        let no_versions = "this mount is version 1 of KV, where a secret can only be written as a whole: use kv put";
        let target = target.require_versioned(CliError::remote(no_versions))?;
        let path = target.api_path("data");
        let answer = self.send_patch(&client, context, &path, &fields).await?;
        show::print_written_version(&mut context.printer, &path, answer, self.field.name())
    }

    async fn send_patch(
        &self,
        client: &Client,
        context: &mut CommandContext,
        path: &str,
        fields: &Fields,
    ) -> CliResult<Option<SecretResponse>> {
        // Zero means "not given", as in Vault and OpenBao.
        let cas = self.cas.and_then(|version| u64::try_from(version).ok()).filter(|cas| *cas > 0);
        let may_write_instead = match self.method.as_str() {
            "rw" => return self.read_modify_write(client, context, path, fields, cas).await,
            "patch" => false,
            "" => true,
            other => {
                let text = format!("-method must be patch or rw, not {other:?}");
                return Err(CliError::usage(text));
            }
        };
        let error = match client.patch(path, &version_body(fields, cas)).await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        // Status 405 comes from a server without support for PATCH.
        if !may_write_instead || !matches!(error.status(), Some(403 | 405)) {
            return Err(write_error(&mut context.printer, path, error));
        }
        let lacks_capability = error.status() == Some(403);
        let answer = self.read_modify_write(client, context, path, fields, cas).await?;
        if lacks_capability {
            context.printer.warn(&wrap_text(&format!(
                "The token has no \"patch\" capability at {path}, so the secret was read, changed and \
                 written. A policy with that capability lets one request do it, without reading."
            )));
        }
        Ok(answer)
    }

    /// Reads the newest version, changes it locally, and writes it if it is still the newest.
    async fn read_modify_write(
        &self,
        client: &Client,
        context: &mut CommandContext,
        path: &str,
        fields: &Fields,
        cas: Option<u64>,
    ) -> CliResult<Option<SecretResponse>> {
        let known = read_existing(client, path, &[]).await?;
        let version = current_version(path, &known)?;
        let data = data_object(&known, "data").ok_or_else(|| {
            let text =
                format!("the newest version of {path} has been deleted: there is nothing to patch");
            CliError::remote(text)
        })?;
        let mut all: BTreeMap<String, Box<RawValue>> =
            data.iter().map(|(name, raw)| (name.to_owned(), raw.to_owned())).collect();
        all.extend(fields.iter().map(|(name, raw)| (name.to_owned(), raw.to_owned())));
        all.retain(|name, _| !self.remove_data.contains(name));
        let body = version_body(&all.into_iter().collect(), Some(cas.unwrap_or(version)));
        let outcome = client.write(path, &body).await;
        outcome.map_err(|error| write_error(&mut context.printer, path, error))
    }
}
