//! `kv enable-versioning`

use std::collections::BTreeMap;

use clap::Args;
use strongroom_client::sys::mounts::{MountConfigInput, MountTableKind};

use super::super::mounting::tune::tune_mount;
use super::super::paths::mount_path;
use crate::context::CommandContext;
use crate::error::{CliResult, check_argument_count};
use crate::flags::{FormatFlag, HttpFlags};

/// Upgrade a mount to version 2, which versions its secrets; this can't be undone
#[derive(Args)]
#[command(after_help = "Example:\n  strongroom kv enable-versioning secret")]
pub(crate) struct KvEnableVersioning {
    #[command(flatten)]
    http: HttpFlags,
    #[command(flatten)]
    output: FormatFlag,
    #[arg(value_name = "MOUNT", help = "The mount path of the engine")]
    arguments: Vec<String>,
}

impl KvEnableVersioning {
    pub(super) async fn run(self, context: &mut CommandContext) -> CliResult {
        context.set_format_except_raw(&self.output)?;
        check_argument_count(&self.arguments, 1, 1)?;
        let path = mount_path(&self.arguments.concat());
        let options = BTreeMap::from([("version".to_owned(), "2".to_owned())]);
        let settings = MountConfigInput { options: Some(options), ..MountConfigInput::default() };
        tune_mount(context, &self.http, MountTableKind::Secrets, &path, &settings).await
    }
}
