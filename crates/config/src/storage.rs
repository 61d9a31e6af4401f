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

use crate::compatibility::{EMBEDDED_STORAGE, INMEM_STORAGE, STORAGE_KINDS};
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

#[cfg(test)]
mod tests {
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
