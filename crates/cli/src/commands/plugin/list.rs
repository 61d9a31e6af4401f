//! `plugin list`

use clap::Args;
use strongroom_client::sys::plugins::{PluginCatalog, PluginDetails};

use super::checked_type;
use crate::context::CommandContext;
use crate::error::{CliError, CliResult};
use crate::flags::{FormatFlag, HttpFlags};
use crate::output::OutputFormat;
use crate::output::table::format_table;
use crate::output::value::OutputValue;

/// List the plug-ins of the catalog
#[derive(Args)]
pub(crate) struct PluginList {
    /// Also show whether they are deprecated
    #[arg(long)]
    detailed: bool,
    #[command(flatten)]
    http: HttpFlags,
    #[command(flatten)]
    output: FormatFlag,
    #[arg(value_name = "TYPE", help = "auth, database or secret; all by default")]
    arguments: Vec<String>,
}

impl PluginList {
    pub(super) async fn run(self, context: &mut CommandContext) -> CliResult {
        context.set_format_except_raw(&self.output)?;
        if self.arguments.len() > 1 {
            let got = self.arguments.len();
            return Err(CliError::usage(format!(
                "Too many arguments (expected 0 or 1, got {got})"
            )));
        }
        let kind = match self.arguments.first().map(String::as_str) {
            None | Some("" | "unknown") => None,
            Some(kind) => Some(checked_type(kind)?),
        };
        let client = context.client(&self.http)?;
        let catalog = client.list_plugins().await;
        let mut catalog = catalog.map_err(CliError::from_api("Error listing available plugins"))?;
        if let Some(kind) = &kind {
            catalog.detailed.retain(|plugin| plugin.kind == *kind);
            catalog.names.retain(|name, _| name == kind);
        }
        if context.printer.format != OutputFormat::Table {
            return context.printer.print_value(&catalog_document(&catalog));
        }
        context.printer.table(&catalog_table(&catalog.detailed, kind.is_none(), self.detailed));
        Ok(())
    }
}

fn catalog_document(catalog: &PluginCatalog) -> OutputValue {
    let names = catalog
        .names
        .iter()
        .map(|(kind, names)| (kind.clone(), OutputValue::from_texts(Some(names))));
    let details = ("details".to_owned(), OutputValue::from_serialize(&catalog.detailed));
    let mut pairs: Vec<_> = names.chain([details]).collect();
    pairs.sort_by(|(a, _), (b, _)| a.cmp(b));
    OutputValue::Object(pairs)
}

fn catalog_table(plugins: &[PluginDetails], all_types: bool, detailed: bool) -> String {
    let headers: &[&str] = match (detailed, all_types) {
        (true, _) => &["Name", "Type", "Version", "Deprecation Status"],
        (false, true) => &["Name", "Type", "Version"],
        (false, false) => &["Name", "Version"],
    };
    let row = |plugin: &PluginDetails| {
        let PluginDetails { kind, name, version, deprecation_status, .. } = plugin.clone();
        match (detailed, all_types) {
            (true, _) => vec![name, kind, version, deprecation_status],
            (false, true) => vec![name, kind, version],
            (false, false) => vec![name, version],
        }
    };
    format_table(headers, &plugins.iter().map(row).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_depend_on_what_is_asked() {
        let plugin = PluginDetails {
            kind: "secret".to_owned(),
            name: "kv".to_owned(),
            builtin: true,
            ..PluginDetails::default()
        };
        let shown = |all, detailed| catalog_table(std::slice::from_ref(&plugin), all, detailed);
        assert_eq!(shown(false, false), "Name    Version\n----    -------\nkv      n/a");
        assert!(shown(true, false).ends_with("kv      secret    n/a"));
        assert!(shown(false, true).ends_with("kv      secret    n/a        n/a"));
    }
}
