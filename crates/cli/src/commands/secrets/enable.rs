//! `secrets enable`

use clap::Args;
use strongroom_client::sys::mounts::{MountRequest, MountSettings};

use super::super::mount_path;
use super::settings::Settings;
use crate::context::Context;
use crate::failure::{Failure, Outcome, expect_count};
use crate::flags::Http;

/// Mount a secrets engine
#[derive(Args)]
#[command(after_help = "\
Examples:
  strongroom secrets enable -path=kv -version=1 kv
  strongroom secrets enable -path=custom -plugin-name=custom-plugin plugin")]
pub(crate) struct Enable {
    /// For people
    #[arg(long, value_name = "TEXT", default_value = "")]
    description: String,
    /// Where to mount it; the engine's type by default
    #[arg(long, value_name = "PATH")]
    path: Option<String>,
    /// Cache nothing of it
    #[arg(long)]
    force_no_cache: bool,
    /// A plug-in of the catalog, for the type "plugin"
    #[arg(long, value_name = "NAME", default_value = "")]
    plugin_name: String,
    /// Keep it on this cluster
    #[arg(long)]
    local: bool,
    /// Have the seal wrap its most secret values once more
    #[arg(long)]
    seal_wrap: bool,
    /// Let it use an outside source of chance
    #[arg(long)]
    external_entropy_access: bool,
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    http: Http,
    #[arg(value_name = "TYPE", help = "The engine, or \"plugin\"")]
    arguments: Vec<String>,
}

impl Enable {
    pub(super) async fn run(self, context: &mut Context) -> Outcome {
        expect_count(&self.arguments, 1, 1)?;
        let mut engine = self.arguments.concat().trim().to_owned();
        if engine == "plugin" {
            engine.clone_from(&self.plugin_name);
        }
        let path = self.path.filter(|path| !path.is_empty());
        let path = mount_path(path.as_deref().unwrap_or(&engine));
        let version =
            self.settings.plugin_version.as_ref().map(|version| format!(" version {version}"));
        let client = context.client(&self.http)?;
        let request = MountRequest {
            engine: engine.clone(),
            description: self.description,
            options: self.settings.options(),
            config: MountSettings {
                force_no_cache: self.force_no_cache.then_some(true),
                ..self.settings.for_api()
            },
            local: self.local,
            seal_wrap: self.seal_wrap,
            external_entropy_access: self.external_entropy_access,
        };
        client.mount(&path, &request).await.map_err(Failure::call("Error enabling"))?;
        let version = version.unwrap_or_default();
        let text = format!("Success! Enabled the {engine} secrets engine{version} at: {path}");
        context.printer.line(&text);
        Ok(())
    }
}
