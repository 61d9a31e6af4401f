//! `kv list`

use clap::Args;
use strongroom_client::ListPage;

use super::super::list;
use super::target::{KvTarget, MountFlag};
use crate::context::CommandContext;
use crate::error::{CliError, CliResult, check_argument_count};
use crate::flags::{FormatFlag, HttpFlags};

/// List the keys of a folder
#[derive(Args)]
#[command(
    after_help = "Examples:\n  strongroom kv list -mount=secret\n  strongroom kv list secret/my-team/"
)]
pub(crate) struct KvList {
    #[command(flatten)]
    mount: MountFlag,
    #[command(flatten)]
    http: HttpFlags,
    #[command(flatten)]
    output: FormatFlag,
    #[arg(value_name = "FOLDER", help = "The folder; with -mount by default all of the mount")]
    arguments: Vec<String>,
}

impl KvList {
    pub(super) async fn run(self, context: &mut CommandContext) -> CliResult {
        context.set_format_except_raw(&self.output)?;
        check_argument_count(&self.arguments, usize::from(!self.mount.is_given()), 1)?;
        let client = context.client(&self.http)?;
        let target = KvTarget::resolve(&client, &self.mount, &self.arguments.concat()).await?;
        let path = target.api_path("metadata");
        let answer = client.list(&path, &ListPage::default()).await;
        let answer = answer.map_err(CliError::from_api(&format!("Error listing {path}")))?;
        list::print_list(&mut context.printer, &path, answer)
    }
}
