//! `plugin deregister`

use clap::Args;

use super::type_and_name;
use crate::context::CommandContext;
use crate::error::{CliError, CliResult};
use crate::flags::HttpFlags;

/// Remove a plug-in from the catalog; mounts that use it keep running
#[derive(Args)]
pub(crate) struct PluginDeregister {
    /// The version; without it, the unversioned plug-in
    #[arg(long, value_name = "VERSION")]
    version: Option<String>,
    #[command(flatten)]
    http: HttpFlags,
    #[arg(value_name = "TYPE NAME", help = "auth, database or secret, and the plug-in's name")]
    arguments: Vec<String>,
}

impl PluginDeregister {
    pub(super) async fn run(self, context: &mut CommandContext) -> CliResult {
        let (kind, name) = type_and_name(&self.arguments)?;
        let version = self.version.filter(|version| !version.is_empty());
        let client = context.client(&self.http)?;
        let gone = client.deregister_plugin(&kind, &name, version.as_deref()).await;
        gone.map_err(CliError::from_api(&format!("Error deregistering plugin named {name}")))?;
        let text = format!("Success! Deregistered plugin (if it was registered): {name}");
        context.printer.success(&text);
        Ok(())
    }
}
