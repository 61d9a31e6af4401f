//! `secrets list`

use std::collections::BTreeMap;

use clap::Args;
use strongroom_client::sys::mounts::Mount;

use crate::context::Context;
use crate::failure::{Failure, Outcome, expect_count};
use crate::flags::{Formatted, Http};
use crate::output::Format;
use crate::output::table::table;
use crate::output::value::Value;

/// List the mounted secrets engines
#[derive(Args)]
pub(crate) struct List {
    /// Show lifetimes, versions and options too
    #[arg(long)]
    detailed: bool,
    #[command(flatten)]
    http: Http,
    #[command(flatten)]
    output: Formatted,
    #[arg(hide = true)]
    arguments: Vec<String>,
}

impl List {
    pub(super) async fn run(self, context: &mut Context) -> Outcome {
        context.set_format_but_raw(&self.output)?;
        expect_count(&self.arguments, 0, 0)?;
        let client = context.client(&self.http)?;
        let mounts =
            client.mounts().await.map_err(Failure::call("Error listing secrets engines"))?;
        if context.printer.format != Format::Table {
            return context.printer.data(&Value::of(&mounts));
        }
        let shown = if self.detailed { detailed(&mounts) } else { simple(&mounts) };
        context.printer.line(&shown);
        Ok(())
    }
}

fn simple(mounts: &BTreeMap<String, Mount>) -> String {
    let row = |(path, mount): (&String, &Mount)| {
        let Mount { engine, accessor, description, .. } = mount.clone();
        vec![path.clone(), engine, accessor, description]
    };
    let rows: Vec<_> = mounts.iter().map(row).collect();
    table(&["Path", "Type", "Accessor", "Description"], &rows)
}

const DETAILS: [&str; 16] = [
    "Path",
    "Plugin",
    "Accessor",
    "Default TTL",
    "Max TTL",
    "Force No Cache",
    "Replication",
    "Seal Wrap",
    "External Entropy Access",
    "Options",
    "Description",
    "UUID",
    "Version",
    "Running Version",
    "Running SHA256",
    "Deprecation Status",
];

fn detailed(mounts: &BTreeMap<String, Mount>) -> String {
    let row = |(path, mount): (&String, &Mount)| {
        let ttl = |seconds: i64| match (mount.engine.as_str(), seconds) {
            ("system" | "cubbyhole", _) => String::new(),
            (_, 0) => "system".to_owned(),
            (_, seconds) => seconds.to_string(),
        };
        let replication = if mount.local { "local" } else { "replicated" };
        let options = mount.options.clone().unwrap_or_default();
        vec![
            path.clone(),
            mount.engine.clone(),
            mount.accessor.clone(),
            ttl(mount.config.default_lease_ttl),
            ttl(mount.config.max_lease_ttl),
            mount.config.force_no_cache.to_string(),
            replication.to_owned(),
            mount.seal_wrap.to_string(),
            mount.external_entropy_access.to_string(),
            Value::of(&options).to_string(),
            mount.description.clone(),
            mount.uuid.clone(),
            mount.plugin_version.clone(),
            mount.running_plugin_version.clone(),
            mount.running_sha256.clone(),
            mount.deprecation_status.clone(),
        ]
    };
    table(&DETAILS, &mounts.iter().map(row).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_as_vault_shows_them() {
        let mut mount = Mount { engine: "kv".to_owned(), ..Mount::default() };
        mount.options = Some(BTreeMap::from([("version".to_owned(), "2".to_owned())]));
        mount.config.max_lease_ttl = 60;
        let system = Mount { engine: "system".to_owned(), local: true, ..Mount::default() };
        let mounts = BTreeMap::from([("kv/".to_owned(), mount), ("sys/".to_owned(), system)]);
        let shown = detailed(&mounts);
        let cells: Vec<Vec<&str>> =
            shown.lines().skip(2).map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(
            cells[0][..10],
            [
                "kv/",
                "kv",
                "n/a",
                "system",
                "60",
                "false",
                "replicated",
                "false",
                "false",
                "map[version:2]"
            ]
        );
        assert_eq!(cells[1][3..7], ["n/a", "n/a", "false", "local"]);
    }
}
