//! `print`

use clap::{Args, Subcommand};

use crate::context::Context;
use crate::failure::Outcome;
use crate::flags::Http;
use crate::output::unsent::nothing_to_show;

/// Print the token that commands use
#[derive(Subcommand)]
#[command(defer = true)]
pub(crate) enum Print {
    Token(Box<Token>),
}

impl Print {
    pub(super) fn run(&self, context: &mut Context) -> Outcome {
        let Self::Token(command) = self;
        command.run(context)
    }
}

/// Print the token that commands use, from the environment or the token helper
#[derive(Args)]
pub(crate) struct Token {
    #[command(flatten)]
    http: Http,
    #[arg(hide = true)]
    arguments: Vec<String>,
}

impl Token {
    fn run(&self, context: &mut Context) -> Outcome {
        nothing_to_show(&self.http)?;
        let token = context.token(&self.http)?;
        let token = token.as_ref().map(|token| token.expose_secret().as_str());
        context.printer.line(token.unwrap_or_default());
        Ok(())
    }
}
