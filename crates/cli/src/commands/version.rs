//! `version`

use clap::Args;

use crate::context::CommandContext;
use crate::version::PACKAGE_VERSION;

/// Print this program's version
#[derive(Args)]
pub(crate) struct VersionCommand {
    #[arg(hide = true)]
    arguments: Vec<String>,
}

impl VersionCommand {
    pub(super) fn run(&self, context: &mut CommandContext) {
        context.printer.line(&format!("Strongroom v{PACKAGE_VERSION}"));
    }
}
