//! `auth enable`

use clap::Args;
use strongroom_client::sys::mounts::{MountConfigInput, MountTableKind};

use super::super::mounting::enable::EnableFlags;
use crate::context::CommandContext;
use crate::error::CliResult;

/// Mount an auth method
#[derive(Args)]
#[command(after_help = "\
Examples:
  strongroom auth enable userpass
  strongroom auth enable -path=staff -listing-visibility=unauth ldap")]
pub(crate) struct AuthEnable {
    /// Type of the tokens it issues: service, batch, default-service or default-batch
    #[arg(long, value_name = "TYPE")]
    token_type: Option<String>,
    #[command(flatten)]
    enabling: EnableFlags,
    #[arg(value_name = "TYPE", help = "The auth method, or \"plugin\"")]
    arguments: Vec<String>,
}

impl AuthEnable {
    pub(super) async fn run(self, context: &mut CommandContext) -> CliResult {
        let more = MountConfigInput { token_type: self.token_type, ..MountConfigInput::default() };
        self.enabling.enable(context, MountTableKind::Auth, &self.arguments, more).await
    }
}
