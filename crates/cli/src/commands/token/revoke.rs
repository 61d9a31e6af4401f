//! `token revoke`

use clap::Args;
use strongroom_client::sys;
use strongroom_client::token::Which;

use super::{first, which};
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::flags::Http;

/// Revoke a token, its children and all their leases
#[derive(Args)]
pub(crate) struct Revoke {
    /// The argument is an accessor
    #[arg(long)]
    accessor: bool,
    /// The token that is used
    #[arg(long = "self")]
    own: bool,
    /// orphan: leave the children, without a parent. path: all tokens of an auth method's path
    #[arg(long, value_name = "MODE", default_value = "")]
    mode: String,
    #[command(flatten)]
    http: Http,
    #[arg(value_name = "TOKEN", help = "A token or an accessor")]
    arguments: Vec<String>,
}

impl Revoke {
    pub(super) async fn run(self, context: &mut Context) -> Outcome {
        if let Some(text) = self.wrong() {
            return Err(Failure::usage(text));
        }
        let client = context.client(&self.http)?;
        let given = first(&self.arguments);
        let done = match (self.own, self.mode.as_str()) {
            (true, _) => client.revoke_token(Which::Own).await,
            (_, "orphan") => client.revoke_token_only(&given).await,
            (_, "path") => {
                let prefix = sys::leases::Revoke::Prefix(given.expose_secret());
                client.revoke(prefix, false).await
            }
            _ => client.revoke_token(which(&given, self.accessor)).await,
        };
        done.map_err(Failure::call("Error revoking token"))?;
        context.printer.success("Success! Revoked token (if it existed)");
        Ok(())
    }

    /// What is wrong with flags and arguments.
    fn wrong(&self) -> Option<String> {
        let got = self.arguments.len();
        let text = match (self.own, got) {
            _ if !matches!(self.mode.as_str(), "" | "orphan" | "path") => {
                format!("-mode must be orphan or path, not {:?}", self.mode)
            }
            (true, 1..) => format!("Too many arguments with -self (expected 0, got {got})"),
            (false, 2..) => format!("Too many arguments (expected 1 or -self, got {got})"),
            (false, 0) => format!("Not enough arguments (expected 1 or -self, got {got})"),
            // An empty token would be read as the caller's own.
            (false, _) if first(&self.arguments).expose_secret().is_empty() => {
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
