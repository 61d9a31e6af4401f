//! `lease lookup`

use clap::Args;

use super::lease_id_argument;
use crate::context::CommandContext;
use crate::error::{CliError, CliResult};
use crate::flags::{FormatFlag, HttpFlags};

/// Show when a lease was issued, renewed and expires
#[derive(Args)]
pub(crate) struct LeaseLookup {
    #[command(flatten)]
    http: HttpFlags,
    #[command(flatten)]
    output: FormatFlag,
    #[arg(value_name = "ID", help = "The lease's id")]
    arguments: Vec<String>,
}

impl LeaseLookup {
    pub(super) async fn run(self, context: &mut CommandContext) -> CliResult {
        context.set_format_except_raw(&self.output)?;
        let id = lease_id_argument(&self.arguments)?;
        let client = context.client(&self.http)?;
        let answer = client.look_up_lease(&id).await;
        let doing = format!("error looking up lease id {id}");
        context.printer.print_response(&answer.map_err(CliError::from_api(&doing))?)
    }
}
