//! `print`

use clap::{Args, Subcommand};

use crate::context::CommandContext;
use crate::error::CliResult;
use crate::flags::HttpFlags;
use crate::output::dry_run::refuse_dry_run_flags;

/// Print the client token
#[derive(Subcommand)]
#[command(defer = true)]
pub(crate) enum PrintCommand {
    Token(Box<PrintToken>),
}

impl PrintCommand {
    pub(super) fn run(&self, context: &mut CommandContext) -> CliResult {
        let Self::Token(command) = self;
        command.run(context)
    }
}

/// Print the client token, from the environment or the token helper
#[derive(Args)]
pub(crate) struct PrintToken {
    #[command(flatten)]
    http: HttpFlags,
    #[arg(hide = true)]
    arguments: Vec<String>,
}

impl PrintToken {
    fn run(&self, context: &mut CommandContext) -> CliResult {
        refuse_dry_run_flags(&self.http)?;
        let token = context.token(&self.http)?;
        let token = token.as_ref().map(|token| token.expose_secret().as_str());
        context.printer.line(token.unwrap_or_default());
        Ok(())
    }
}
