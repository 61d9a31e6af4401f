//! `kv metadata delete`

use clap::Args;

use super::super::outcome::failure_with_warnings;
use super::super::target::MountFlag;
use crate::context::CommandContext;
use crate::error::{CliResult, check_argument_count};
use crate::flags::HttpFlags;

/// Delete a key with all its versions permanently
#[derive(Args)]
#[command(after_help = "Example:\n  strongroom kv metadata delete -mount=secret my-app")]
pub(crate) struct KvMetadataDelete {
    #[command(flatten)]
    mount: MountFlag,
    #[command(flatten)]
    http: HttpFlags,
    #[arg(value_name = "KEY", help = "The key")]
    arguments: Vec<String>,
}

impl KvMetadataDelete {
    pub(super) async fn run(self, context: &mut CommandContext) -> CliResult {
        check_argument_count(&self.arguments, 1, 1)?;
        let client = context.client(&self.http)?;
        let path = super::metadata_path(&client, &self.mount, &self.arguments.concat()).await?;
        let printer = &mut context.printer;
        let gone = client.delete(&path, &[]).await;
        gone.map_err(|error| {
            failure_with_warnings(printer, error, &format!("Error deleting {path}"))
        })?;
        printer.success(&format!("Success! Data deleted (if it existed) at: {path}"));
        Ok(())
    }
}
