//! `patch`

use clap::Args;

use super::write::{WriteFlags, WriteMethod};
use crate::context::CommandContext;
use crate::error::CliResult;

/// Change some fields at a path, if the engine supports it
#[derive(Args)]
#[command(after_help = "\
What is sent is a JSON merge patch: a field that is null is removed. Values are given as for
\"write\".

Example:
  strongroom patch pki/issuer/default usage=read-only")]
pub(crate) struct PatchCommand {
    /// Patch without data
    #[arg(long, short)]
    force: bool,
    #[command(flatten)]
    flags: WriteFlags,
    #[arg(value_name = "PATH [K=V]", help = "Where to change, and what")]
    arguments: Vec<String>,
}

impl PatchCommand {
    pub(super) async fn run(self, context: &mut CommandContext) -> CliResult {
        self.flags.send(context, WriteMethod::Patch, &self.arguments, self.force).await
    }
}
