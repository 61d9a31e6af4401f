//! `kv metadata put` and `kv metadata patch`

use std::collections::BTreeMap;

use clap::Args;
use strongroom_types::Fields;

use super::super::outcome::print_written;
use super::super::target::MountFlag;
use crate::context::CommandContext;
use crate::error::{CliResult, check_argument_count};
use crate::flags::{
    DurationSeconds, FormatFlag, HttpFlags, parse_name_value, parse_non_negative_duration,
};

/// Set a key's settings; others keep their value, custom metadata is replaced as a whole
#[derive(Args)]
#[command(after_help = "\
Example:
  strongroom kv metadata put -mount=secret -max-versions=5 -custom-metadata=owner=team-a my-app")]
pub(crate) struct KvMetadataPut {
    #[command(flatten)]
    settings: KvMetadataFlags,
}

/// Change a key's settings, and its custom metadata name by name
#[derive(Args)]
#[command(after_help = "\
Example:
  strongroom kv metadata patch -mount=secret -remove-custom-metadata=owner my-app")]
pub(crate) struct KvMetadataPatch {
    /// Custom metadata to remove; repeatable
    #[arg(long, value_name = "NAME")]
    remove_custom_metadata: Vec<String>,
    #[command(flatten)]
    settings: KvMetadataFlags,
}

#[derive(Args)]
struct KvMetadataFlags {
    /// Whether writes require the check-and-set parameter
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
    cas_required: Option<bool>,
    /// Custom metadata of the key; repeatable
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_name_value)]
    custom_metadata: Vec<(String, String)>,
    /// Age at which a version is deleted
    #[arg(long, value_name = "DURATION", value_parser = parse_non_negative_duration, allow_hyphen_values = true)]
    delete_version_after: Option<DurationSeconds>,
    /// Number of versions to keep
    #[arg(long, value_name = "COUNT", allow_hyphen_values = true)]
    max_versions: Option<i64>,
    #[command(flatten)]
    mount: MountFlag,
    #[command(flatten)]
    http: HttpFlags,
    #[command(flatten)]
    output: FormatFlag,
    #[arg(value_name = "KEY", help = "The key")]
    arguments: Vec<String>,
}

impl KvMetadataPut {
    pub(super) async fn run(self, context: &mut CommandContext) -> CliResult {
        let settings = self.settings;
        let custom: BTreeMap<_, _> = settings.custom_metadata.iter().cloned().collect();
        let mut body = settings.request_body();
        if !custom.is_empty() {
            body.set("custom_metadata", &custom);
        }
        settings.send(context, body, false).await
    }
}

impl KvMetadataPatch {
    pub(super) async fn run(self, context: &mut CommandContext) -> CliResult {
        let settings = self.settings;
        let mut custom: BTreeMap<_, Option<String>> = settings
            .custom_metadata
            .iter()
            .map(|(name, value)| (name.clone(), Some(value.clone())))
            .collect();
        custom.extend(self.remove_custom_metadata.into_iter().map(|name| (name, None)));
        let mut body = settings.request_body();
        body.set("custom_metadata", &custom);
        settings.send(context, body, true).await
    }
}

impl KvMetadataFlags {
    /// The request fields that both commands share. A negative count means "not given".
    fn request_body(&self) -> Fields {
        let mut body = Fields::new();
        if let Some(required) = self.cas_required {
            body.set("cas_required", &required);
        }
        if let Some(age) = self.delete_version_after.and_then(DurationSeconds::non_negative) {
            body.set("delete_version_after", &format!("{age}s"));
        }
        if let Some(count) = self.max_versions.filter(|count| *count >= 0) {
            body.set("max_versions", &count);
        }
        body
    }

    async fn send(self, context: &mut CommandContext, body: Fields, is_patch: bool) -> CliResult {
        context.set_format_except_raw(&self.output)?;
        check_argument_count(&self.arguments, 1, 1)?;
        let client = context.client(&self.http)?;
        let path = super::metadata_path(&client, &self.mount, &self.arguments.concat()).await?;
        let outcome = if is_patch {
            client.patch(&path, &body).await
        } else {
            client.write(&path, &body).await
        };
        print_written(&mut context.printer, &path, outcome)
    }
}
