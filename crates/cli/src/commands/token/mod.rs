//! `token`

mod capabilities;
mod create;
mod lookup;
mod renew;
mod revoke;

use clap::Subcommand;
use strongroom_client::token::Which;
use strongroom_types::Secret;

use crate::context::Context;
use crate::failure::Outcome;

/// Create, look up, renew and revoke tokens
#[derive(Subcommand)]
#[command(defer = true)]
pub(crate) enum Token {
    Capabilities(Box<capabilities::Capabilities>),
    Create(Box<create::Create>),
    Lookup(Box<lookup::Lookup>),
    Renew(Box<renew::Renew>),
    Revoke(Box<revoke::Revoke>),
}

impl Token {
    pub(super) async fn run(self, context: &mut Context) -> Outcome {
        match self {
            Self::Capabilities(command) => command.run(context).await,
            Self::Create(command) => command.run(context).await,
            Self::Lookup(command) => command.run(context).await,
            Self::Renew(command) => command.run(context).await,
            Self::Revoke(command) => command.run(context).await,
        }
    }
}

/// The token that is meant: the argument, as a token or as an accessor; without it the caller's own.
fn which(given: &Secret<String>, is_accessor: bool) -> Which<'_> {
    match (given.expose_secret().as_str(), is_accessor) {
        ("", _) => Which::Own,
        (accessor, true) => Which::Accessor(accessor),
        (_, false) => Which::Token(given),
    }
}

/// The first argument without white space around it; empty if there is none.
fn first(arguments: &[String]) -> Secret<String> {
    Secret::from_text(arguments.first().map_or("", |argument| argument.trim()))
}
