//! `lease revoke`

use clap::Args;
use strongroom_client::sys::leases;

use crate::context::CommandContext;
use crate::error::{CliError, CliResult, check_argument_count};
use crate::flags::HttpFlags;
use crate::output::text::wrap_text;

/// Revoke a lease, or all leases below a path
#[derive(Args)]
#[command(
    after_help = "Examples:\n  strongroom lease revoke database/creds/readonly/2f6a614c\n  strongroom lease revoke -prefix database/creds"
)]
pub(crate) struct LeaseRevoke {
    /// Remove leases even if the engine fails to revoke the credentials. Needs -prefix
    #[arg(long, short)]
    force: bool,
    /// The argument is a path: revoke all leases below it
    #[arg(long)]
    prefix: bool,
    /// Wait until the revocation is complete
    #[arg(long)]
    sync: bool,
    #[command(flatten)]
    http: HttpFlags,
    #[arg(value_name = "ID", help = "A lease's id or a path")]
    arguments: Vec<String>,
}

impl LeaseRevoke {
    pub(super) async fn run(self, context: &mut CommandContext) -> CliResult {
        check_argument_count(&self.arguments, 1, 1)?;
        if self.force && !self.prefix {
            return Err(CliError::usage("-force needs -prefix: it ends all leases below a path"));
        }
        let client = context.client(&self.http)?;
        let id = self.arguments.concat();
        let (what, doing) = match (self.force, self.prefix) {
            (true, _) => (leases::RevokeTarget::Force(&id), "force revoking leases with prefix"),
            (_, true) => (leases::RevokeTarget::Prefix(&id), "revoking leases with prefix"),
            _ => (leases::RevokeTarget::Lease(&id), "revoking lease"),
        };
        if self.force {
            context.printer.warn(&wrap_text(
                "With -force a lease ends even if its engine can't revoke what it stands for. Such a \
                 credential goes on working until somebody removes it in the outside system.",
            ));
        }
        let done = client.revoke_leases(what, self.sync).await;
        done.map_err(CliError::from_api(&format!("Error {doing} {id}")))?;
        context.printer.success(&match (self.force, self.sync, self.prefix) {
            (true, ..) => format!("Success! Force revoked any leases with prefix: {id}"),
            (_, true, true) => format!("Success! Revoked any leases with prefix: {id}"),
            (_, true, false) => format!("Success! Revoked lease: {id}"),
            (false, false, true) => {
                format!("Success! Leases with this prefix will be revoked: {id}")
            }
            (false, false, false) => format!("Success! The lease will be revoked: {id}"),
        });
        Ok(())
    }
}
