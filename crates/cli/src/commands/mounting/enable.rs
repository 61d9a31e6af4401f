//! Mounting secrets engines and auth methods.

use clap::Args;
use strongroom_client::sys::mounts::{MountConfigInput, MountRequest, MountTableKind};

use super::super::paths::mount_path;
use super::MountTexts;
use super::settings::MountConfigFlags;
use crate::context::CommandContext;
use crate::error::{CliError, CliResult, check_argument_count};
use crate::flags::HttpFlags;
use crate::output::fixed_text::ENABLED;

/// How to mount.
#[derive(Args)]
pub(in super::super) struct EnableFlags {
    /// Description of the mount
    #[arg(long, value_name = "TEXT", default_value = "")]
    description: String,
    /// Where to mount it; by default its type
    #[arg(long, value_name = "PATH")]
    path: Option<String>,
    /// A plug-in of the catalog, for the type "plugin"
    #[arg(long, value_name = "NAME", default_value = "")]
    plugin_name: String,
    /// Don't replicate it to other clusters
    #[arg(long)]
    local: bool,
    /// Encrypt critical values additionally with the seal
    #[arg(long)]
    seal_wrap: bool,
    /// Allow it to use an external entropy source
    #[arg(long)]
    external_entropy_access: bool,
    #[command(flatten)]
    settings: MountConfigFlags,
    #[command(flatten)]
    http: HttpFlags,
}

impl EnableFlags {
    /// Mounts the type given by the only argument. `more` has settings that only one of the tables
    /// has.
    pub(in super::super) async fn enable(
        self,
        context: &mut CommandContext,
        table: MountTableKind,
        arguments: &[String],
        more: MountConfigInput,
    ) -> CliResult {
        check_argument_count(arguments, 1, 1)?;
        let mut engine = arguments.concat();
        if engine == "plugin" {
            engine.clone_from(&self.plugin_name);
        }
        if engine.is_empty() {
            let text = "there is no type: name it, or for \"plugin\" the plug-in with -plugin-name";
            return Err(CliError::usage(text));
        }
        let path = self.path.filter(|path| !path.is_empty());
        let path = mount_path(path.as_deref().unwrap_or(&engine));
        let version = self.settings.plugin_version.clone();
        let client = context.client(&self.http)?;
        let request = MountRequest {
            engine: engine.clone(),
            description: self.description,
            options: self.settings.engine_options(),
            config: self.settings.into_config_input(more),
            local: self.local,
            seal_wrap: self.seal_wrap,
            external_entropy_access: self.external_entropy_access,
        };
        let doing = match table {
            MountTableKind::Secrets => "Error enabling".to_owned(),
            MountTableKind::Auth => format!("Error enabling {engine} auth"),
        };
        client.mount(table, &path, &request).await.map_err(CliError::from_api(&doing))?;
        let version = version.map(|version| format!(" version {version}")).unwrap_or_default();
        let article = match table {
            MountTableKind::Secrets => "the ",
            MountTableKind::Auth => "",
        };
        let kind = MountTexts::of(table).kind;
        let text = format!("{ENABLED}{article}{engine} {kind}{version} at: {path}");
        context.printer.success(&text);
        Ok(())
    }
}
