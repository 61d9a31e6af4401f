//! `policy delete`

use clap::Args;

use super::policy_name;
use crate::context::CommandContext;
use crate::error::{CliError, CliResult, check_argument_count};
use crate::flags::HttpFlags;

/// Delete a policy; tokens with it lose its permissions at once
#[derive(Args)]
pub(crate) struct PolicyDelete {
    #[command(flatten)]
    http: HttpFlags,
    #[arg(value_name = "NAME", help = "The policy's name")]
    arguments: Vec<String>,
}

impl PolicyDelete {
    pub(super) async fn run(self, context: &mut CommandContext) -> CliResult {
        check_argument_count(&self.arguments, 1, 1)?;
        let name = policy_name(&self.arguments.concat());
        let client = context.client(&self.http)?;
        let gone = client.delete_policy(&name).await;
        gone.map_err(CliError::from_api(&format!("Error deleting {name}")))?;
        context.printer.success(&format!("Success! Deleted policy: {name}"));
        Ok(())
    }
}
