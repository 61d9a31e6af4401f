//! `kv rollback`

use clap::Args;

use super::super::read::read_existing;
use super::documents::{current_version, data_object, version_body};
use super::outcome::print_written;
use super::target::{KvTarget, MountFlag};
use crate::context::CommandContext;
use crate::error::{CliError, CliResult, check_argument_count};
use crate::flags::{FormatFlag, HttpFlags};

/// Write an older version of a key again, as its newest
#[derive(Args)]
#[command(after_help = "Example:\n  strongroom kv rollback -mount=secret -version=2 my-app")]
pub(crate) struct KvRollback {
    /// The version to write again
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    version: u64,
    #[command(flatten)]
    mount: MountFlag,
    #[command(flatten)]
    http: HttpFlags,
    #[command(flatten)]
    output: FormatFlag,
    #[arg(value_name = "KEY", help = "The key")]
    arguments: Vec<String>,
}

impl KvRollback {
    pub(super) async fn run(self, context: &mut CommandContext) -> CliResult {
        context.set_format_except_raw(&self.output)?;
        check_argument_count(&self.arguments, 1, 1)?;
        if self.version == 0 {
            return Err(CliError::usage("-version is missing: name the version to write again"));
        }
        let client = context.client(&self.http)?;
        let target = KvTarget::resolve(&client, &self.mount, &self.arguments.concat()).await?;
        let no_versions = "this mount is version 1 of KV, which keeps no older versions";
        let path = target.require_versioned(CliError::remote(no_versions))?.api_path("data");

        // The write must replace the version that is newest now, and nothing newer.
        let newest = read_existing(&client, &path, &[]).await?;
        let newest = current_version(&path, &newest)?;

        let query = [("version".to_owned(), self.version.to_string())];
        let older = read_existing(&client, &path, &query).await?;
        let data = data_object(&older, "data").ok_or_else(|| {
            CliError::remote(format!(
                "version {} of {path} has been deleted or destroyed",
                self.version
            ))
        })?;
        let body = version_body(&data, Some(newest));
        print_written(&mut context.printer, &path, client.write(&path, &body).await)
    }
}
