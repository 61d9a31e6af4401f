//! `auth enable`

use clap::Args;
use strongroom_client::sys::mounts::{MountSettings, Table};

use super::super::mounting::enable::Enabling;
use crate::context::Context;
use crate::failure::Outcome;

/// Mount an auth method
#[derive(Args)]
#[command(after_help = "\
Examples:
  strongroom auth enable userpass
  strongroom auth enable -path=staff -listing-visibility=unauth ldap")]
pub(crate) struct Enable {
    /// Kind of the tokens it gives: service, batch, default-service or default-batch
    #[arg(long, value_name = "TYPE")]
    token_type: Option<String>,
    #[command(flatten)]
    enabling: Enabling,
    #[arg(value_name = "TYPE", help = "The auth method, or \"plugin\"")]
    arguments: Vec<String>,
}

impl Enable {
    pub(super) async fn run(self, context: &mut Context) -> Outcome {
        let more = MountSettings { token_type: self.token_type, ..MountSettings::default() };
        self.enabling.run(context, Table::Auth, &self.arguments, more).await
    }
}
