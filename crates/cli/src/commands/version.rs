//! `version`

use clap::Args;

use crate::context::Context;
use crate::version::PACKAGE;

/// Print this program's version
#[derive(Args)]
pub(crate) struct Version {
    #[arg(hide = true)]
    arguments: Vec<String>,
}

impl Version {
    pub(super) fn run(&self, context: &mut Context) {
        context.printer.line(&format!("Strongroom v{PACKAGE}"));
    }
}
