//! `plugin reload`

use clap::Args;
use strongroom_client::sys::plugins::ReloadPluginsRequest;

use crate::context::CommandContext;
use crate::error::{CliError, CliResult, check_argument_count};
use crate::flags::HttpFlags;

/// Restart a plug-in's processes, in the version that the catalog selects
#[derive(Args)]
#[command(after_help = "Example:\n  strongroom plugin reload -plugin=my-plugin")]
pub(crate) struct PluginReload {
    /// All mounts of this plug-in
    #[arg(long, value_name = "NAME", default_value = "")]
    plugin: String,
    /// This mount; repeatable, or several with commas
    #[arg(long, value_name = "PATH")]
    mounts: Vec<String>,
    /// "global" for all nodes
    #[arg(long, value_name = "SCOPE", default_value = "")]
    scope: String,
    #[command(flatten)]
    http: HttpFlags,
    #[arg(hide = true)]
    arguments: Vec<String>,
}

impl PluginReload {
    pub(super) async fn run(self, context: &mut CommandContext) -> CliResult {
        check_argument_count(&self.arguments, 0, 0)?;
        let given = self.mounts.iter().flat_map(|mounts| mounts.split(','));
        let mounts: Vec<String> = given.map(|mount| mount.trim().to_owned()).collect();
        match (self.plugin.is_empty(), mounts.is_empty()) {
            (true, true) => {
                return Err(CliError::usage("-plugin or -mounts is required"));
            }
            (false, false) => {
                return Err(CliError::usage("-plugin and -mounts cannot be used together"));
            }
            _ => {}
        }
        if !matches!(self.scope.as_str(), "" | "global") {
            return Err(CliError::usage(format!("-scope must be global, not {:?}", self.scope)));
        }
        let what = if mounts.is_empty() {
            format!("plugin: {}", self.plugin)
        } else {
            format!("mounts: [{}]", mounts.join(" "))
        };
        let global = !self.scope.is_empty();
        let client = context.client(&self.http)?;
        let request = ReloadPluginsRequest { plugin: self.plugin, mounts, scope: self.scope };
        let answer = client.reload_plugins(&request).await;
        let answer = answer.map_err(CliError::from_api("Error reloading plugin/mounts"))?;
        if let Some(answer) = &answer {
            context.printer.print_warnings(answer);
        }
        let id = answer.and_then(|answer| answer.data_field::<String>("reload_id"));
        context.printer.success(&match id.filter(|_| global) {
            Some(id) => format!("Success! Reloading {what}, reload_id: {id}"),
            None => format!("Success! Reloaded {what}"),
        });
        Ok(())
    }
}
