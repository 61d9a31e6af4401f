//! `operator step-down`

use clap::Args;

use crate::context::CommandContext;
use crate::error::{CliError, CliResult, check_argument_count};
use crate::flags::HttpFlags;

/// Ask the active node to step down, so that another can take over
#[derive(Args)]
pub(crate) struct OperatorStepDown {
    #[command(flatten)]
    http: HttpFlags,
    #[arg(hide = true)]
    arguments: Vec<String>,
}

impl OperatorStepDown {
    pub(super) async fn run(self, context: &mut CommandContext) -> CliResult {
        check_argument_count(&self.arguments, 0, 0)?;
        let client = context.client(&self.http)?;
        client.step_down().await.map_err(CliError::from_api("Error stepping down"))?;
        let address = context.server_address(&self.http);
        context.printer.success(&format!("Success! Stepped down: {address}"));
        Ok(())
    }
}
