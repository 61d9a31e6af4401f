//! Moving a mount to another path.

use std::time::Duration;

use clap::Args;
use strongroom_client::sys::mounts::MountTableKind;
use strongroom_client::sys::remount::MigrationStatus;
use strongroom_types::{Clock, SystemClock};

use super::super::paths::mount_path;
use super::MountTexts;
use crate::context::CommandContext;
use crate::error::{CliError, CliResult, check_argument_count};
use crate::flags::HttpFlags;

/// The interval between two requests for the remount's status.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// How many times the status is requested before giving up.
const MAX_POLLS: u32 = 600;

/// What to move, and where to.
#[derive(Args)]
pub(in super::super) struct RemountFlags {
    #[command(flatten)]
    http: HttpFlags,
    #[arg(value_name = "FROM TO", help = "The current and the new mount path")]
    arguments: Vec<String>,
}

impl RemountFlags {
    /// Starts a remount and waits until it has finished.
    pub(in super::super) async fn remount(
        self,
        context: &mut CommandContext,
        table: MountTableKind,
    ) -> CliResult {
        check_argument_count(&self.arguments, 2, 2)?;
        let [from, to] = self.arguments.as_slice() else { return Ok(()) };
        let (from, to) = (mount_path(from), mount_path(to));
        let client = context.client(&self.http)?;
        let what = MountTexts::of(table).kind;
        let doing = format!("Error moving {what} {from} to {to}");
        let started = client.start_remount(&api_path(table, &from), &api_path(table, &to)).await;
        let id = started.map_err(CliError::from_api(&doing))?;
        let which = format!("{what} {from} to {to}, with migration ID {id}");
        context.printer.line(&format!("Started moving {which}"));
        for asked in 0..MAX_POLLS {
            let status = client.remount_status(&id).await.map_err(CliError::from_api(&doing))?;
            match status {
                MigrationStatus::Done => {
                    context.printer.success(&format!("Success! Finished moving {which}"));
                    return Ok(());
                }
                MigrationStatus::Failed => {
                    let text =
                        format!("the server could not move {which}; the reason is in its log");
                    return Err(CliError::remote(text));
                }
                MigrationStatus::Running if asked == 0 => {
                    let text = format!("Waiting for the server to finish moving {which}");
                    context.printer.line(&text);
                }
                MigrationStatus::Running => {}
            }
            SystemClock.sleep(POLL_INTERVAL).await;
        }
        Err(CliError::remote(format!(
            "the move continues: \"strongroom read sys/remount/status/{id}\" shows its status"
        )))
    }
}

/// The path for the API: for auth methods, `auth/` is added after the namespace if it is missing.
fn api_path(table: MountTableKind, path: &str) -> String {
    let is_whole = path.starts_with("auth/") || path.contains("/auth/");
    if table == MountTableKind::Secrets || is_whole {
        path.to_owned()
    } else {
        format!("auth/{path}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auth_prefix_may_be_omitted() {
        assert_eq!(api_path(MountTableKind::Auth, "userpass/"), "auth/userpass/");
        assert_eq!(api_path(MountTableKind::Auth, "auth/userpass/"), "auth/userpass/");
        assert_eq!(api_path(MountTableKind::Auth, "team/auth/userpass/"), "team/auth/userpass/");
        assert_eq!(api_path(MountTableKind::Secrets, "kv/"), "kv/");
    }
}
