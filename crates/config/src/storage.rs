//! `storage`: where data is stored.
//!
//! ```
//! # use strongroom_config::{Config, StorageConfig};
//! # let listener = "listener \"tcp\" { tls_disable = true }";
//! # let read = |text: &str| Config::parse(&format!("{text}\n{listener}"), "x").map(|c| c.storage);
//! let storage = read(r#"storage "embedded" { path = "/var/lib/strongroom" }"#)?;
//! assert!(matches!(storage, StorageConfig::Embedded { .. }));
//! let storage = read(r#"storage "raft" { path = "/var/lib/vault"  node_id = "a" }"#)?;
//! assert_eq!(storage.storage_type(), "raft");
//! # Ok::<(), strongroom_config::ConfigError>(())
//! ```

use std::path::{Path, PathBuf};

use strongroom_hcl::HclBlock;

use crate::compatibility::SettingOrigin::{Both, OpenBao, Own, Vault};
use crate::compatibility::{
    BlockKind, SettingTable, honoured, ignored, refused, supported, unsupported,
};
use crate::reading::{ConfigError, ConfigSection};

/// The storage backend and its settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum StorageConfig {
    /// In memory; the data is lost when the process ends.
    #[default]
    Inmem,
    /// In the embedded store, in a folder.
    Embedded {
        /// The folder that holds the store's files.
        path: PathBuf,
        /// The type in the configuration file: `embedded`, `file` or `raft`.
        configured_type: String,
        /// The size of the store's own cache in bytes; zero for its default.
        cache_bytes: usize,
    },
}

impl StorageConfig {
    /// The storage type that status responses report.
    pub fn storage_type(&self) -> &str {
        match self {
            Self::Inmem => "inmem",
            Self::Embedded { configured_type: named, .. } => named,
        }
    }

    /// The folder of the store's files; `None` if it keeps none on this machine. Copies of plug-ins
    /// are kept there unless `plugin_tmpdir` is set.
    pub fn data_folder(&self) -> Option<&Path> {
        match self {
            Self::Inmem => None,
            Self::Embedded { path, .. } => Some(path),
        }
    }

    /// Reads a `storage` or `backend` stanza; returns whether there was one.
    pub(crate) fn merge(
        &mut self,
        section: &ConfigSection<'_>,
        warnings: &mut Vec<String>,
    ) -> Result<bool, ConfigError> {
        let mut blocks = section.blocks::<1>("storage")?;
        blocks.extend(section.blocks::<1>("backend")?);
        match blocks.as_slice() {
            [] => Ok(false),
            [only] => {
                *self = read(section, only, warnings)?;
                Ok(true)
            }
            [_, second, ..] => {
                let [label] = second.labels;
                let place = section.location_of_key(label);
                Err(ConfigError::at_location(&place, "only one storage stanza is allowed"))
            }
        }
    }
}

fn read(
    outer: &ConfigSection<'_>,
    block: &HclBlock<'_, 1>,
    warnings: &mut Vec<String>,
) -> Result<StorageConfig, ConfigError> {
    let [label] = block.labels;
    let section = outer.nested(block.body);
    match label.text.as_str() {
        "inmem" => {
            INMEM_STORAGE.check_section(&section, warnings)?;
            Ok(StorageConfig::Inmem)
        }
        named @ ("embedded" | "file" | "raft") => {
            EMBEDDED_STORAGE.check_section(&section, warnings)?;
            let mut path = String::new();
            section.read_text("path", &mut path)?;
            if path.is_empty() {
                let place = outer.location_of_key(label);
                return Err(ConfigError::at_location(
                    &place,
                    "the storage needs a path: path = \"…\"",
                ));
            }
            let mut cache_bytes = 0;
            section.read_size("cache_bytes", &mut cache_bytes)?;
            let (path, named) = (PathBuf::from(path), named.to_owned());
            Ok(StorageConfig::Embedded { path, configured_type: named, cache_bytes })
        }
        other => {
            let is_known = STORAGE_KINDS.iter().any(|kind| kind.name == other);
            let what = if is_known { "this server has no storage" } else { "unknown storage type" };
            let text = format!(
                "{what} {other:?}; there are \"embedded\" (also as \"file\" and single-node \
                 \"raft\") and \"inmem\""
            );
            Err(ConfigError::at_location(&outer.location_of_key(label), text))
        }
    }
}

/// The types that can follow `storage`.
pub const STORAGE_KINDS: &[BlockKind] = &[
    supported(Own, "embedded"),
    supported(Both, "raft"),
    supported(Both, "file"),
    supported(Both, "inmem"),
    unsupported(Both, "inmem_ha"),
    unsupported(Both, "inmem_transactional"),
    unsupported(Both, "inmem_transactional_ha"),
    unsupported(Both, "file_transactional"),
    unsupported(Both, "postgresql"),
    unsupported(Vault, "aerospike"),
    unsupported(Vault, "alicloudoss"),
    unsupported(Vault, "azure"),
    unsupported(Vault, "cassandra"),
    unsupported(Vault, "cockroachdb"),
    unsupported(Vault, "consul"),
    unsupported(Vault, "couchdb"),
    unsupported(Vault, "dynamodb"),
    unsupported(Vault, "etcd"),
    unsupported(Vault, "foundationdb"),
    unsupported(Vault, "gcs"),
    unsupported(Vault, "manta"),
    unsupported(Vault, "mssql"),
    unsupported(Vault, "mysql"),
    unsupported(Vault, "oci"),
    unsupported(Vault, "s3"),
    unsupported(Vault, "spanner"),
    unsupported(Vault, "swift"),
    unsupported(Vault, "zookeeper"),
];

/// The tables of the settings of all storages that this server has.
pub const STORAGE_TABLES: &[&SettingTable] = &[&EMBEDDED_STORAGE, &INMEM_STORAGE];

/// The settings of `embedded`, `file`, and `raft` with one node.
const EMBEDDED_STORAGE: SettingTable = SettingTable {
    title: "`storage \"raft\"`, `storage \"file\"` and `storage \"embedded\"`",
    example_context: [
        "listener \"tcp\" { tls_disable = true }\nstorage \"raft\" {\npath = \"/d\"\n",
        "\n}",
    ],
    settings: &[
        honoured(Both, "path", "path = \"/d\""),
        honoured(Own, "cache_bytes", "cache_bytes = 1048576"),
        ignored(Both, "node_id", "node_id = \"a\"", SINGLE_NODE),
        ignored(Both, "performance_multiplier", "performance_multiplier = 1", SINGLE_NODE),
        ignored(Both, "trailing_logs", "trailing_logs = 10000", NO_RAFT_LOG),
        ignored(Both, "snapshot_threshold", "snapshot_threshold = 8192", NO_RAFT_LOG),
        ignored(Both, "snapshot_interval", "snapshot_interval = 120", NO_RAFT_LOG),
        ignored(Both, "max_entry_size", "max_entry_size = 1048576", OWN_BOUNDS),
        ignored(
            Vault,
            "max_mount_and_namespace_table_entry_size",
            "max_mount_and_namespace_table_entry_size = 1048576",
            OWN_BOUNDS,
        ),
        ignored(OpenBao, "max_transaction_size", "max_transaction_size = 8388608", OWN_BOUNDS),
        ignored(Vault, "raft_wal", "raft_wal = \"true\"", NO_RAFT_LOG),
        ignored(
            Vault,
            "raft_log_verifier_enabled",
            "raft_log_verifier_enabled = \"true\"",
            NO_RAFT_LOG,
        ),
        ignored(
            Vault,
            "raft_log_verification_interval",
            "raft_log_verification_interval = \"60s\"",
            NO_RAFT_LOG,
        ),
        ignored(
            Both,
            "autopilot_reconcile_interval",
            "autopilot_reconcile_interval = \"10s\"",
            SINGLE_NODE,
        ),
        ignored(
            Both,
            "autopilot_update_interval",
            "autopilot_update_interval = \"2s\"",
            SINGLE_NODE,
        ),
        ignored(
            Vault,
            "autopilot_upgrade_version",
            "autopilot_upgrade_version = \"1\"",
            SINGLE_NODE,
        ),
        ignored(
            Vault,
            "autopilot_redundancy_zone",
            "autopilot_redundancy_zone = \"a\"",
            SINGLE_NODE,
        ),
        ignored(Both, "redirect_addr", "redirect_addr = \"https://x\"", AT_THE_TOP),
        ignored(Both, "advertise_addr", "advertise_addr = \"https://x\"", AT_THE_TOP),
        ignored(Both, "cluster_addr", "cluster_addr = \"https://x\"", SINGLE_NODE),
        ignored(Both, "disable_clustering", "disable_clustering = \"false\"", SINGLE_NODE)
            .as_is(&["true"]),
        ignored(Both, "ha_enabled", "ha_enabled = \"true\"", SINGLE_NODE),
        refused(Both, "retry_join", "retry_join { leader_api_addr = \"https://x\" }", CLUSTER),
        refused(Both, "retry_join_as_non_voter", "retry_join_as_non_voter = true", CLUSTER),
    ],
};

/// All settings of a `storage "inmem"` block in both reference servers.
const INMEM_STORAGE: SettingTable = SettingTable {
    title: "`storage \"inmem\"`",
    example_context: ["listener \"tcp\" { tls_disable = true }\nstorage \"inmem\" {\n", "\n}"],
    settings: &[
        ignored(Both, "redirect_addr", "redirect_addr = \"https://x\"", AT_THE_TOP),
        ignored(Both, "advertise_addr", "advertise_addr = \"https://x\"", AT_THE_TOP),
        ignored(Both, "cluster_addr", "cluster_addr = \"https://x\"", SINGLE_NODE),
        ignored(Both, "disable_clustering", "disable_clustering = \"false\"", SINGLE_NODE)
            .as_is(&["true"]),
        ignored(Both, "max_value_size", "max_value_size = 1048576", OWN_BOUNDS),
    ],
};

const SINGLE_NODE: &str = "this server runs as a single node";
const CLUSTER: &str = "this server runs as a single node and can't join a cluster";
const NO_RAFT_LOG: &str = "the store has no Raft log";
const OWN_BOUNDS: &str = "the store has fixed limits: 4 KiB per key, 2 MiB per value";
const AT_THE_TOP: &str = "use api_addr, at the top level of the file";

#[cfg(test)]
mod tests {
    use super::{STORAGE_KINDS, STORAGE_TABLES};
    use crate::Config;

    fn read(storage: &str) -> Result<Config, String> {
        let text = format!("{storage}\nlistener \"tcp\" {{ tls_disable = true }}");
        Config::parse(&text, "t.hcl").map_err(|error| error.to_string())
    }

    #[test]
    fn refuses_what_it_cannot_honour_with_the_line() {
        let cases = [
            (
                "storage \"consul\" {}",
                "t.hcl:1:9: this server has no storage \"consul\"; there are",
            ),
            ("storage \"raft\" {\n path = \"/d\"\n retry_join {}\n}", "t.hcl:3:2: retry_join"),
            ("storage \"embedded\" {}", "t.hcl:1:9: the storage needs a path"),
            ("storage \"inmem\" {}\nbackend \"inmem\" {}", "only one storage stanza"),
        ];
        for (text, error) in cases {
            let got = read(text).unwrap_err();
            assert!(got.contains(error), "{got}");
        }
    }

    #[test]
    fn every_storage_of_this_server_has_a_table_of_settings() {
        for kind in STORAGE_KINDS.iter().filter(|kind| kind.is_supported) {
            let title = format!("`storage \"{}\"`", kind.name);
            assert!(STORAGE_TABLES.iter().any(|table| table.title.contains(&title)), "{title}");
        }
    }

    #[test]
    fn file_and_raft_are_the_embedded_store() {
        for named in ["embedded", "file", "raft"] {
            let config = read(&format!("backend \"{named}\" {{ path = \"/d\" node_id = \"n\" }}"));
            let config = config.unwrap();
            assert_eq!(config.storage.storage_type(), named);
            let text = "the setting node_id has no effect at t.hcl:1:";
            assert!(config.warnings[0].starts_with(text), "{:?}", config.warnings);
        }
    }
}
