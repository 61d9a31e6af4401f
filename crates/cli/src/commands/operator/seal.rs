//! `operator seal`

use clap::Args;

use crate::context::CommandContext;
use crate::error::{CliError, CliResult, check_argument_count};
use crate::flags::HttpFlags;

/// Seal the server: it discards its keys and refuses requests until it is unsealed
#[derive(Args)]
pub(crate) struct OperatorSeal {
    #[command(flatten)]
    http: HttpFlags,
    #[arg(hide = true)]
    arguments: Vec<String>,
}

impl OperatorSeal {
    pub(super) async fn run(self, context: &mut CommandContext) -> CliResult {
        check_argument_count(&self.arguments, 0, 0)?;
        let client = context.client(&self.http)?;
        client.seal().await.map_err(CliError::from_api("Error sealing"))?;
        context.printer.success("Success! The server is sealed.");
        Ok(())
    }
}
