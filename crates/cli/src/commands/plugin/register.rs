//! `plugin register`

use clap::Args;
use strongroom_client::sys::plugins::RegisterPluginRequest;

use super::type_and_name;
use crate::context::CommandContext;
use crate::error::{CliError, CliResult};
use crate::flags::HttpFlags;

/// Register a plug-in in the catalog
#[derive(Args)]
#[command(after_help = "\
The file must be in the server's plug-in directory.

Example:
  strongroom plugin register -sha256=$(sha256sum my-plugin | cut -d' ' -f1) -command=my-plugin secret my-plugin")]
pub(crate) struct PluginRegister {
    /// Argument of the plug-in's process; repeatable
    #[arg(long, value_name = "ARGUMENT", allow_hyphen_values = true)]
    args: Vec<String>,
    /// Variable of the plug-in's environment; repeatable
    #[arg(long, value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// File name of the binary; by default the plug-in's name
    #[arg(long, value_name = "FILE")]
    command: Option<String>,
    /// The file's SHA-256, hexadecimal
    #[arg(long, value_name = "SHA256", default_value = "")]
    sha256: String,
    /// The plug-in's version, as x.y.z
    #[arg(long, value_name = "VERSION", default_value = "")]
    version: String,
    #[command(flatten)]
    http: HttpFlags,
    #[arg(value_name = "TYPE NAME", help = "auth, database or secret, and the plug-in's name")]
    arguments: Vec<String>,
}

impl PluginRegister {
    pub(super) async fn run(self, context: &mut CommandContext) -> CliResult {
        let counted = (1..=2).contains(&self.arguments.len());
        if counted && self.sha256.is_empty() {
            let text = "-sha256 is missing: the SHA-256 of the plug-in's file, in hexadecimal";
            return Err(CliError::usage(text));
        }
        let (kind, name) = type_and_name(&self.arguments)?;
        let client = context.client(&self.http)?;
        let request = RegisterPluginRequest {
            kind,
            command: self.command.filter(|file| !file.is_empty()).unwrap_or_else(|| name.clone()),
            sha256: self.sha256,
            args: self.args,
            env: self.env,
            version: self.version,
        };
        let doing = format!("Error registering plugin {name}");
        let answer =
            client.register_plugin(&name, &request).await.map_err(CliError::from_api(&doing))?;
        if let Some(answer) = answer {
            context.printer.print_warnings(&answer);
        }
        context.printer.success(&format!("Success! Registered plugin: {name}"));
        Ok(())
    }
}
