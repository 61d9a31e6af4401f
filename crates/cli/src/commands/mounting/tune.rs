//! Changing the settings of secrets engines and auth methods.

use clap::Args;
use strongroom_client::sys::mounts::{MountConfigInput, MountTableKind};

use super::super::paths::mount_path;
use super::MountTexts;
use super::settings::MountConfigFlags;
use crate::context::CommandContext;
use crate::error::{CliError, CliResult, check_argument_count};
use crate::flags::HttpFlags;

/// The settings to change.
#[derive(Args)]
pub(in super::super) struct TuneFlags {
    #[command(flatten)]
    settings: MountConfigFlags,
    #[command(flatten)]
    http: HttpFlags,
}

impl TuneFlags {
    /// Changes the settings of the mount at the path given by the only argument. `more` has the
    /// settings that the command has flags of its own for.
    pub(in super::super) async fn tune(
        self,
        context: &mut CommandContext,
        table: MountTableKind,
        arguments: &[String],
        more: MountConfigInput,
    ) -> CliResult {
        check_argument_count(arguments, 1, 1)?;
        let path = mount_path(&arguments.concat());
        let options = self.settings.engine_options();
        let settings = self.settings.into_config_input(MountConfigInput {
            options: (!options.is_empty()).then_some(options),
            ..more
        });
        tune_mount(context, &self.http, table, &path, &settings).await
    }
}

/// Changes the settings of a mount, and prints that it succeeded.
pub(in super::super) async fn tune_mount(
    context: &mut CommandContext,
    http: &HttpFlags,
    table: MountTableKind,
    path: &str,
    settings: &MountConfigInput,
) -> CliResult {
    let kind = MountTexts::of(table).kind;
    let client = context.client(http)?;
    let response = client.tune_mount(table, path, settings).await;
    let doing = format!("Error tuning {kind} {path}");
    if let Some(response) = response.map_err(CliError::from_api(&doing))? {
        context.printer.print_warnings(&response);
    }
    context.printer.success(&format!("Success! Tuned the {kind} at: {path}"));
    Ok(())
}
