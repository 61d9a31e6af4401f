//! `token revoke`

use clap::Args;
use strongroom_client::sys;
use strongroom_client::token::TokenSelector;

use super::{first_argument, token_selector};
use crate::context::CommandContext;
use crate::error::{CliError, CliResult};
use crate::flags::HttpFlags;

/// Revoke a token, its children and all their leases
#[derive(Args)]
pub(crate) struct TokenRevoke {
    /// The argument is an accessor
    #[arg(long)]
    accessor: bool,
    /// Revoke the client token
    #[arg(long = "self")]
    own: bool,
    /// orphan: children become orphans. path: revoke all tokens issued at an auth method's path
    #[arg(long, value_name = "MODE", default_value = "")]
    mode: String,
    #[command(flatten)]
    http: HttpFlags,
    #[arg(value_name = "TOKEN", help = "A token or an accessor")]
    arguments: Vec<String>,
}

impl TokenRevoke {
    pub(super) async fn run(self, context: &mut CommandContext) -> CliResult {
        if let Some(text) = self.usage_error() {
            return Err(CliError::usage(text));
        }
        let client = context.client(&self.http)?;
        let given = first_argument(&self.arguments);
        let done = match (self.own, self.mode.as_str()) {
            (true, _) => client.revoke_token(TokenSelector::OwnToken).await,
            (_, "orphan") => client.revoke_token_orphan(&given).await,
            (_, "path") => {
                let prefix = sys::leases::RevokeTarget::Prefix(given.expose_secret());
                client.revoke_leases(prefix, false).await
            }
            _ => client.revoke_token(token_selector(&given, self.accessor)).await,
        };
        done.map_err(CliError::from_api("Error revoking token"))?;
        context.printer.success("Success! Revoked token (if it existed)");
        Ok(())
    }

    /// The error for an invalid combination of flags and arguments.
    fn usage_error(&self) -> Option<String> {
        let got = self.arguments.len();
        let text = match (self.own, got) {
            _ if !matches!(self.mode.as_str(), "" | "orphan" | "path") => {
                format!("-mode must be orphan or path, not {:?}", self.mode)
            }
            (true, 1..) => format!("Too many arguments with -self (expected 0, got {got})"),
            (false, 2..) => format!("Too many arguments (expected 1 or -self, got {got})"),
            (false, 0) => format!("Not enough arguments (expected 1 or -self, got {got})"),
            // The API would take an empty token for the client token.
            (false, _) if first_argument(&self.arguments).expose_secret().is_empty() => {
                "Not enough arguments (expected 1 or -self, got an empty one)".to_owned()
            }
            _ if self.own && self.accessor => {
                "-self and -accessor cannot be used together".to_owned()
            }
            _ if self.own && !self.mode.is_empty() => {
                "-self and -mode cannot be used together".to_owned()
            }
            _ if self.accessor && !self.mode.is_empty() => {
                "-accessor and -mode cannot be used together".to_owned()
            }
            _ => return None,
        };
        Some(text)
    }
}
