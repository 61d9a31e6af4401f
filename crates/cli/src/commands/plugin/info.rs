//! `plugin info`

use clap::Args;

use super::type_and_name;
use crate::context::CommandContext;
use crate::error::{CliError, CliResult};
use crate::flags::{FieldFlag, FormatFlag, HttpFlags};
use crate::output::value::OutputValue;

/// Show a plug-in of the catalog
#[derive(Args)]
pub(crate) struct PluginInfo {
    /// The version; without it, the one that would run
    #[arg(long, value_name = "VERSION")]
    version: Option<String>,
    #[command(flatten)]
    http: HttpFlags,
    #[command(flatten)]
    output: FormatFlag,
    #[command(flatten)]
    field: FieldFlag,
    #[arg(value_name = "TYPE NAME", help = "auth, database or secret, and the plug-in's name")]
    arguments: Vec<String>,
}

impl PluginInfo {
    pub(super) async fn run(self, context: &mut CommandContext) -> CliResult {
        context.set_format_except_raw(&self.output)?;
        let (kind, name) = type_and_name(&self.arguments)?;
        let version = self.version.filter(|version| !version.is_empty());
        let client = context.client(&self.http)?;
        let answer = client.read_plugin(&kind, &name, version.as_deref()).await;
        let answer =
            answer.map_err(CliError::from_api(&format!("Error reading plugin named {name}")))?;
        let data = answer.and_then(|answer| answer.data);
        let Some(data) = data else {
            return Err(CliError::remote(format!("the catalog has no plug-in {name:?}")));
        };
        let data = OutputValue::from_fields(&data);
        match self.field.name() {
            Some(field) => context.printer.print_field(data.get(field), field, &data),
            None => context.printer.print_value(&data),
        }
    }
}
