//! Moving a mount to another path.

use std::time::Duration;

use strongroom_client::sys::mounts::Table;
use strongroom_client::sys::remount::Move;
use strongroom_types::{Clock, SystemClock};

use super::super::mount_path;
use super::noun;
use crate::context::Context;
use crate::failure::{Failure, Outcome, expect_count};
use crate::flags::Http;

/// Between two questions how far the server is.
const PAUSE: Duration = Duration::from_secs(1);
/// How long it is asked.
const PATIENCE: u32 = 600;

/// Moves a mount and waits until it is there.
pub(in super::super) async fn run(
    context: &mut Context,
    http: &Http,
    table: Table,
    arguments: &[String],
) -> Outcome {
    expect_count(arguments, 2, 2)?;
    let [from, to] = arguments else { return Ok(()) };
    let (from, to) = (mount_path(from), mount_path(to));
    let client = context.client(http)?;
    let what = noun(table);
    let doing = format!("Error moving {what} {from} to {to}");
    let started = client.start_move(&api_path(table, &from), &api_path(table, &to)).await;
    let id = started.map_err(Failure::call(&doing))?;
    let which = format!("{what} {from} to {to}, with migration ID {id}");
    context.printer.line(&format!("Started moving {which}"));
    for asked in 0..PATIENCE {
        let status = client.move_status(&id).await.map_err(Failure::call(&doing))?;
        match status {
            Move::Done => {
                context.printer.success(&format!("Success! Finished moving {which}"));
                return Ok(());
            }
            Move::Failed => {
                let text = format!("the server could not move {which}; its log says why");
                return Err(Failure::remote(text));
            }
            Move::Running if asked == 0 => {
                let text = format!("Waiting for the end of moving {which}");
                context.printer.line(&text);
            }
            Move::Running => {}
        }
        SystemClock.sleep(PAUSE).await;
    }
    Err(Failure::remote(format!(
        "the move goes on: \"strongroom read sys/remount/status/{id}\" says how far it is"
    )))
}

/// Auth methods are below `auth/`, of their namespace if there is one; it needn't be typed.
fn api_path(table: Table, path: &str) -> String {
    let is_whole = path.starts_with("auth/") || path.contains("/auth/");
    if table == Table::Secrets || is_whole { path.to_owned() } else { format!("auth/{path}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auth_methods_are_found_under_either_name() {
        assert_eq!(api_path(Table::Auth, "userpass/"), "auth/userpass/");
        assert_eq!(api_path(Table::Auth, "auth/userpass/"), "auth/userpass/");
        assert_eq!(api_path(Table::Auth, "team/auth/userpass/"), "team/auth/userpass/");
        assert_eq!(api_path(Table::Secrets, "kv/"), "kv/");
    }
}
