//! Unmounting secrets engines and auth methods.

use strongroom_client::sys::mounts::MountTableKind;

use super::super::paths::mount_path;
use super::MountTexts;
use crate::context::CommandContext;
use crate::error::{CliError, CliResult, check_argument_count};
use crate::flags::HttpFlags;

/// Unmounts what is mounted at the path given by the only argument.
pub(in super::super) async fn disable_mount(
    context: &mut CommandContext,
    http: &HttpFlags,
    table: MountTableKind,
    arguments: &[String],
) -> CliResult {
    check_argument_count(arguments, 1, 1)?;
    let path = mount_path(&arguments.concat());
    let kind = MountTexts::of(table).kind;
    let client = context.client(http)?;
    let doing = format!("Error disabling {kind} at {path}");
    client.unmount(table, &path).await.map_err(CliError::from_api(&doing))?;
    let text = format!("Success! Disabled the {kind} (if it existed) at: {path}");
    context.printer.success(&text);
    Ok(())
}
