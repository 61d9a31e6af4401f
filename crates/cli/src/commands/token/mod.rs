//! `token`

mod capabilities;
mod create;
mod lookup;
mod renew;
mod revoke;

use clap::Subcommand;
use strongroom_client::token::TokenSelector;
use strongroom_types::Secret;

use super::group::run_given_command;

/// Create, look up, renew and revoke tokens
#[derive(Subcommand)]
#[command(defer = true)]
pub(crate) enum TokenCommand {
    Capabilities(Box<capabilities::TokenCapabilities>),
    Create(Box<create::TokenCreate>),
    Lookup(Box<lookup::TokenLookup>),
    Renew(Box<renew::TokenRenew>),
    Revoke(Box<revoke::TokenRevoke>),
}

run_given_command!(TokenCommand: Capabilities, Create, Lookup, Renew, Revoke);

/// The token to work on: the argument, as a token or an accessor; the client token without one.
fn token_selector(given: &Secret<String>, is_accessor: bool) -> TokenSelector<'_> {
    match (given.expose_secret().as_str(), is_accessor) {
        ("", _) => TokenSelector::OwnToken,
        (accessor, true) => TokenSelector::Accessor(accessor),
        (_, false) => TokenSelector::Token(given),
    }
}

/// The first argument without surrounding white space; empty if there is none.
fn first_argument(arguments: &[String]) -> Secret<String> {
    Secret::from_text(arguments.first().map_or("", |argument| argument.trim()))
}
