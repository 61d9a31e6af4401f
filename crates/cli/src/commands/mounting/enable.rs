//! Mounting.

use clap::Args;
use strongroom_client::sys::mounts::{MountRequest, MountSettings, Table};

use super::super::mount_path;
use super::settings::Settings;
use crate::context::Context;
use crate::failure::{Failure, Outcome, expect_count};
use crate::flags::Http;
use crate::output::fixed_text::ENABLED;

/// How to mount.
#[derive(Args)]
pub(in super::super) struct Enabling {
    /// For people
    #[arg(long, value_name = "TEXT", default_value = "")]
    description: String,
    /// Where to mount it; by default its type
    #[arg(long, value_name = "PATH")]
    path: Option<String>,
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
}

impl Enabling {
    /// Mounts what the one argument names, with what only one of both tables has in `more`.
    pub(in super::super) async fn run(
        self,
        context: &mut Context,
        table: Table,
        arguments: &[String],
        more: MountSettings,
    ) -> Outcome {
        expect_count(arguments, 1, 1)?;
        let mut engine = arguments.concat();
        if engine == "plugin" {
            engine.clone_from(&self.plugin_name);
        }
        if engine.is_empty() {
            let text = "there is no type: name it, or for \"plugin\" the plug-in with -plugin-name";
            return Err(Failure::usage(text));
        }
        let path = self.path.filter(|path| !path.is_empty());
        let path = mount_path(path.as_deref().unwrap_or(&engine));
        let version = self.settings.plugin_version.clone();
        let client = context.client(&self.http)?;
        let request = MountRequest {
            engine: engine.clone(),
            description: self.description,
            options: self.settings.options(),
            config: self.settings.for_api(more),
            local: self.local,
            seal_wrap: self.seal_wrap,
            external_entropy_access: self.external_entropy_access,
        };
        let doing = match table {
            Table::Secrets => "Error enabling".to_owned(),
            Table::Auth => format!("Error enabling {engine} auth"),
        };
        client.mount(table, &path, &request).await.map_err(Failure::call(&doing))?;
        let version = version.map(|version| format!(" version {version}")).unwrap_or_default();
        context.printer.success(&match table {
            Table::Secrets => {
                format!("{ENABLED}the {engine} secrets engine{version} at: {path}")
            }
            Table::Auth => format!("{ENABLED}{engine} auth method{version} at: {path}"),
        });
        Ok(())
    }
}
