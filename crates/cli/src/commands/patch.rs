//! `patch`

use clap::Args;

use super::write::{WriteFlags, WriteMethod};
use crate::context::CommandContext;
use crate::error::CliResult;

/// Change some fields at a path, if the engine supports it
#[derive(Args)]
#[command(after_help = "\
The request is a JSON merge patch: a field with the value null is removed. Values have the same
syntax as for \"write\".

Example:
  strongroom patch pki/issuer/default usage=read-only")]
pub(crate) struct PatchCommand {
    /// Patch without data
    #[arg(long, short)]
    force: bool,
    #[command(flatten)]
    flags: WriteFlags,
    #[arg(value_name = "PATH [K=V]", help = "The path to change, and the data")]
    arguments: Vec<String>,
}

impl PatchCommand {
    pub(super) async fn run(self, context: &mut CommandContext) -> CliResult {
        self.flags.send(context, WriteMethod::Patch, &self.arguments, self.force).await
    }
}
