//! `kv enable-versioning`

use std::collections::BTreeMap;

use clap::Args;
use strongroom_client::sys::mounts::{MountConfigInput, MountTableKind};

use super::super::paths::mount_path;
use crate::context::CommandContext;
use crate::error::{CliError, CliResult, check_argument_count};
use crate::flags::{FormatFlag, HttpFlags};

/// Upgrade a mount to version 2, which keeps versions; this can't be undone
#[derive(Args)]
#[command(after_help = "Example:\n  strongroom kv enable-versioning secret")]
pub(crate) struct KvEnableVersioning {
    #[command(flatten)]
    http: HttpFlags,
    #[command(flatten)]
    output: FormatFlag,
    #[arg(value_name = "MOUNT", help = "Where the engine is mounted")]
    arguments: Vec<String>,
}

impl KvEnableVersioning {
    pub(super) async fn run(self, context: &mut CommandContext) -> CliResult {
        context.set_format_except_raw(&self.output)?;
        check_argument_count(&self.arguments, 1, 1)?;
        let path = mount_path(&self.arguments.concat());
        let client = context.client(&self.http)?;
        let options = BTreeMap::from([("version".to_owned(), "2".to_owned())]);
        let settings = MountConfigInput { options: Some(options), ..MountConfigInput::default() };
        let answer = client.tune_mount(MountTableKind::Secrets, &path, &settings).await;
        let doing = format!("Error tuning secrets engine {path}");
        if let Some(answer) = answer.map_err(CliError::from_api(&doing))? {
            context.printer.print_warnings(&answer);
        }
        context.printer.success(&format!("Success! Tuned the secrets engine at: {path}"));
        Ok(())
    }
}
