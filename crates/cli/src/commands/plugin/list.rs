//! `plugin list`

use clap::Args;
use strongroom_client::sys::plugins::{PluginCatalog, PluginDetails};

use super::checked_type;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::flags::{Formatted, Http};
use crate::output::Format;
use crate::output::table::table;
use crate::output::value::Value;

/// List the plug-ins of the catalog
#[derive(Args)]
pub(crate) struct List {
    /// Show whether they will go, too
    #[arg(long)]
    detailed: bool,
    #[command(flatten)]
    http: Http,
    #[command(flatten)]
    output: Formatted,
    #[arg(value_name = "TYPE", help = "auth, database or secret; all by default")]
    arguments: Vec<String>,
}

impl List {
    pub(super) async fn run(self, context: &mut Context) -> Outcome {
        context.set_format_but_raw(&self.output)?;
        if self.arguments.len() > 1 {
            let got = self.arguments.len();
            return Err(Failure::usage(format!("Too many arguments (expected 0 or 1, got {got})")));
        }
        let kind = match self.arguments.first().map(String::as_str) {
            None | Some("" | "unknown") => None,
            Some(kind) => Some(checked_type(kind)?),
        };
        let client = context.client(&self.http)?;
        let catalog = client.plugins().await;
        let mut catalog = catalog.map_err(Failure::call("Error listing available plugins"))?;
        if let Some(kind) = &kind {
            catalog.detailed.retain(|plugin| plugin.kind == *kind);
            catalog.names.retain(|name, _| name == kind);
        }
        if context.printer.format != Format::Table {
            return context.printer.data(&document(&catalog));
        }
        context.printer.table(&rows(&catalog.detailed, kind.is_none(), self.detailed));
        Ok(())
    }
}

fn document(catalog: &PluginCatalog) -> Value {
    let names = catalog.names.iter().map(|(kind, names)| (kind.clone(), Value::texts(Some(names))));
    let details = ("details".to_owned(), Value::of(&catalog.detailed));
    let mut pairs: Vec<_> = names.chain([details]).collect();
    pairs.sort_by(|(a, _), (b, _)| a.cmp(b));
    Value::Object(pairs)
}

fn rows(plugins: &[PluginDetails], all_types: bool, detailed: bool) -> String {
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
    table(headers, &plugins.iter().map(row).collect::<Vec<_>>())
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
        let shown = |all, detailed| rows(std::slice::from_ref(&plugin), all, detailed);
        assert_eq!(shown(false, false), "Name    Version\n----    -------\nkv      n/a");
        assert!(shown(true, false).ends_with("kv      secret    n/a"));
        assert!(shown(false, true).ends_with("kv      secret    n/a        n/a"));
    }
}
