//! Listing mounts.

use std::collections::BTreeMap;

use clap::Args;
use strongroom_client::sys::mounts::{MountOutput, MountTableKind};

use super::MountTexts;
use crate::context::CommandContext;
use crate::error::{CliError, CliResult, check_argument_count};
use crate::flags::{FormatFlag, HttpFlags};
use crate::output::OutputFormat;
use crate::output::table::format_table as lines;
use crate::output::value::OutputValue;

/// How to list mounts.
#[derive(Args)]
pub(in super::super) struct MountListFlags {
    /// Also show lifetimes, versions and options
    #[arg(long)]
    detailed: bool,
    #[command(flatten)]
    http: HttpFlags,
    #[command(flatten)]
    output: FormatFlag,
    #[arg(hide = true)]
    arguments: Vec<String>,
}

impl MountListFlags {
    /// Prints the mounts of one table.
    pub(in super::super) async fn list(
        self,
        context: &mut CommandContext,
        table: MountTableKind,
    ) -> CliResult {
        context.set_format_except_raw(&self.output)?;
        check_argument_count(&self.arguments, 0, 0)?;
        let client = context.client(&self.http)?;
        let doing = format!("Error listing {}", MountTexts::of(table).listed);
        let mounts = client.list_mounts(table).await.map_err(CliError::from_api(&doing))?;
        if context.printer.format != OutputFormat::Table {
            return context.printer.print_value(&OutputValue::from_serialize(&mounts));
        }
        let format_mounts = if self.detailed { detailed_table } else { summary_table };
        context.printer.table(&format_mounts(table, &mounts));
        Ok(())
    }
}

fn summary_table(table: MountTableKind, mounts: &BTreeMap<String, MountOutput>) -> String {
    let of_auth = table == MountTableKind::Auth;
    let row = |(path, mount): (&String, &MountOutput)| {
        let MountOutput { engine, accessor, description, plugin_version, .. } = mount.clone();
        let version = of_auth.then_some(plugin_version);
        [path.clone(), engine, accessor, description].into_iter().chain(version).collect()
    };
    let rows: Vec<_> = mounts.iter().map(row).collect();
    let mut headers = vec!["Path", "Type", "Accessor", "Description"];
    headers.extend(of_auth.then_some("Version"));
    lines(&headers, &rows)
}

/// The detailed table. One of its columns depends on the kind of mount: engines show whether
/// caching is disabled, auth methods show the type of their tokens.
fn detailed_table(table: MountTableKind, mounts: &BTreeMap<String, MountOutput>) -> String {
    let headers = [
        "Path",
        "Plugin",
        "Accessor",
        "Default TTL",
        "Max TTL",
        MountTexts::of(table).own_column,
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
    let row = |(path, mount): (&String, &MountOutput)| {
        let ttl = |seconds: i64| match (mount.engine.as_str(), seconds) {
            ("system" | "cubbyhole", _) => String::new(),
            (_, 0) => "system".to_owned(),
            (_, seconds) => seconds.to_string(),
        };
        let own = match table {
            MountTableKind::Secrets => mount.config.force_no_cache.to_string(),
            MountTableKind::Auth => mount.config.token_type.clone(),
        };
        let replication = if mount.local { "local" } else { "replicated" };
        let options = mount.options.clone().unwrap_or_default();
        vec![
            path.clone(),
            mount.engine.clone(),
            mount.accessor.clone(),
            ttl(mount.config.default_lease_ttl),
            ttl(mount.config.max_lease_ttl),
            own,
            replication.to_owned(),
            mount.seal_wrap.to_string(),
            mount.external_entropy_access.to_string(),
            OutputValue::from_serialize(&options).to_string(),
            mount.description.clone(),
            mount.uuid.clone(),
            mount.plugin_version.clone(),
            mount.running_plugin_version.clone(),
            mount.running_sha256.clone(),
            mount.deprecation_status.clone(),
        ]
    };
    lines(&headers, &mounts.iter().map(row).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_as_vault_shows_them() {
        let mut mount = MountOutput { engine: "kv".to_owned(), ..MountOutput::default() };
        mount.options = Some(BTreeMap::from([("version".to_owned(), "2".to_owned())]));
        mount.config.max_lease_ttl = 60;
        mount.config.token_type = "batch".to_owned();
        let system =
            MountOutput { engine: "system".to_owned(), local: true, ..MountOutput::default() };
        let mounts = BTreeMap::from([("kv/".to_owned(), mount), ("sys/".to_owned(), system)]);
        let cells = |table| -> Vec<Vec<String>> {
            let shown = detailed_table(table, &mounts);
            let words = |line: &str| line.split_whitespace().map(ToOwned::to_owned).collect();
            shown.lines().skip(2).map(words).collect()
        };
        let shown = cells(MountTableKind::Secrets);
        assert_eq!(
            shown[0][..10],
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
        assert_eq!(shown[1][3..7], ["n/a", "n/a", "false", "local"]);
        assert_eq!(cells(MountTableKind::Auth)[0][5], "batch");
        let simple = summary_table(MountTableKind::Auth, &mounts);
        assert!(simple.starts_with("Path    Type      Accessor    Description    Version\n"));
    }
}
