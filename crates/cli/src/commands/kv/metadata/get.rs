//! `kv metadata get`

use clap::Args;

use super::super::super::read::read_existing;
use super::super::show;
use super::super::target::MountFlag;
use crate::context::CommandContext;
use crate::error::{CliResult, check_argument_count};
use crate::flags::{FormatFlag, HttpFlags};
use crate::output::OutputFormat;

/// Show a key's settings, and when its versions were created and deleted
#[derive(Args)]
#[command(after_help = "Example:\n  strongroom kv metadata get -mount=secret my-app")]
pub(crate) struct KvMetadataGet {
    #[command(flatten)]
    mount: MountFlag,
    #[command(flatten)]
    http: HttpFlags,
    #[command(flatten)]
    output: FormatFlag,
    #[arg(value_name = "KEY", help = "The key")]
    arguments: Vec<String>,
}

impl KvMetadataGet {
    pub(super) async fn run(self, context: &mut CommandContext) -> CliResult {
        context.set_format_except_raw(&self.output)?;
        check_argument_count(&self.arguments, 1, 1)?;
        let client = context.client(&self.http)?;
        let path = super::metadata_path(&client, &self.mount, &self.arguments.concat()).await?;
        let answer = read_existing(&client, &path, &[]).await?;
        let printer = &mut context.printer;
        match &answer.data {
            Some(data) if printer.format == OutputFormat::Table && answer.wrap_info.is_none() => {
                printer.print_warnings(&answer);
                show::print_metadata(printer, &path, data);
                Ok(())
            }
            _ => printer.print_response(&answer),
        }
    }
}
