//! Seal status and HA status of a server.

use serde::Serialize;
use strongroom_client::sys::seal::{LeaderStatus, SealStatus};

use super::table::key_value_table;
use super::value::OutputValue;
use super::{OutputFormat, Printer};
use crate::error::CliResult;

/// What `status` and `operator unseal` print.
#[derive(Debug, Default, Serialize)]
pub(crate) struct ServerStatus {
    #[serde(flatten)]
    pub(crate) seal: SealStatus,
    ha_enabled: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    is_self: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    active_time: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    leader_address: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    leader_cluster_address: String,
    #[serde(skip_serializing_if = "is_zero")]
    raft_committed_index: u64,
    #[serde(skip_serializing_if = "is_zero")]
    raft_applied_index: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl ServerStatus {
    pub(crate) fn new(seal: SealStatus, leader: LeaderStatus) -> Self {
        // Go's zero time means "never".
        let never = leader.active_time.starts_with("0001-");
        Self {
            seal,
            ha_enabled: leader.ha_enabled,
            is_self: leader.is_self,
            active_time: if never { String::new() } else { leader.active_time },
            leader_address: leader.leader_address,
            leader_cluster_address: leader.leader_cluster_address,
            raft_committed_index: leader.raft_committed_index,
            raft_applied_index: leader.raft_applied_index,
        }
    }

    /// Prints the status in the selected format.
    pub(crate) fn print(&self, printer: &mut Printer) -> CliResult {
        if printer.format == OutputFormat::Table {
            printer.table(&key_value_table(&self.table_rows()));
            return Ok(());
        }
        printer.print_value(&OutputValue::from_serialize(self))
    }

    /// One field, by its name in the JSON output.
    pub(crate) fn field_value(&self, name: &str) -> Option<OutputValue> {
        match name {
            "ha_mode" => Some(OutputValue::from_text(self.ha_mode())),
            _ => OutputValue::from_serialize(self).get(name).cloned(),
        }
    }

    fn ha_mode(&self) -> &'static str {
        if self.is_self { "active" } else { "standby" }
    }

    fn table_rows(&self) -> Vec<(String, String)> {
        let seal = &self.seal;
        let mut rows = Vec::new();
        let mut add = |key: &str, value: String| rows.push((key.to_owned(), value));
        add("Seal Type", seal.seal_type.clone());
        let prefix = if seal.recovery_seal { "Recovery " } else { "" };
        if seal.recovery_seal {
            add("Recovery Seal Type", seal.recovery_seal_type.clone());
        }
        add("Initialized", seal.initialized.to_string());
        add("Sealed", seal.sealed.to_string());
        add(&format!("Total {prefix}Shares"), seal.n.to_string());
        add("Threshold", seal.t.to_string());
        if seal.sealed {
            add("Unseal Progress", format!("{}/{}", seal.progress, seal.t));
            add("Unseal Nonce", seal.nonce.clone());
        }
        if seal.migration {
            add("Seal Migration in Progress", "true".to_owned());
        }
        let some = [
            ("Version", &seal.version),
            ("Build Date", &seal.build_date),
            ("Commit Date", &seal.commit_date),
            ("Storage Type", &seal.storage_type),
        ];
        for (key, value) in some.into_iter().filter(|(_, value)| !value.is_empty()) {
            add(key, value.clone());
        }
        if !seal.cluster_name.is_empty() && !seal.cluster_id.is_empty() {
            add("Cluster Name", seal.cluster_name.clone());
            add("Cluster ID", seal.cluster_id.clone());
        }
        add("HA Enabled", self.ha_enabled.to_string());
        rows.extend(self.cluster_rows());
        rows
    }

    fn cluster_rows(&self) -> Vec<(String, String)> {
        let mut rows = Vec::new();
        let mut add = |key: &str, value: String| rows.push((key.to_owned(), value));
        if self.ha_enabled && !self.seal.sealed {
            add("HA Cluster", self.leader_cluster_address.clone());
            add("HA Mode", self.ha_mode().to_owned());
            if self.is_self && !self.active_time.is_empty() {
                add("Active Since", self.active_time.clone());
            }
            if !self.is_self && !self.leader_address.is_empty() {
                add("Active Node Address", self.leader_address.clone());
            }
        }
        if self.raft_committed_index > 0 {
            add("Raft Committed Index", self.raft_committed_index.to_string());
        }
        if self.raft_applied_index > 0 {
            add("Raft Applied Index", self.raft_applied_index.to_string());
        }
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::super::json;
    use super::*;

    fn sample_status() -> ServerStatus {
        let seal = SealStatus {
            seal_type: "shamir".to_owned(),
            initialized: true,
            t: 2,
            n: 3,
            version: "2.0.0".to_owned(),
            storage_type: "raft".to_owned(),
            cluster_name: "c".to_owned(),
            cluster_id: "id".to_owned(),
            ..SealStatus::default()
        };
        ServerStatus::new(seal, LeaderStatus::default())
    }

    #[test]
    fn rows_match_vaults_output() {
        let keys = |status: &ServerStatus| {
            let rows = status.table_rows().into_iter().map(|(key, _)| key);
            rows.collect::<Vec<_>>().join(", ")
        };
        assert_eq!(
            keys(&sample_status()),
            "Seal Type, Initialized, Sealed, Total Shares, Threshold, Version, Storage Type, \
             Cluster Name, Cluster ID, HA Enabled"
        );
        let mut sealed = sample_status();
        sealed.seal.sealed = true;
        sealed.seal.cluster_id.clear();
        assert!(keys(&sealed).contains("Threshold, Unseal Progress, Unseal Nonce, Version"));
        assert!(!keys(&sealed).contains("Cluster"));
        let leader = LeaderStatus {
            ha_enabled: true,
            leader_address: "https://a".to_owned(),
            ..LeaderStatus::default()
        };
        let standby = ServerStatus::new(sample_status().seal, leader);
        assert!(keys(&standby).ends_with("HA Cluster, HA Mode, Active Node Address"));
        assert_eq!(standby.field_value("ha_mode"), Some(OutputValue::from_text("standby")));
        assert_eq!(standby.field_value("sealed"), Some(OutputValue::Bool(false)));
        assert_eq!(standby.field_value("nope"), None);
    }

    #[test]
    fn json_fields_keep_vaults_order() {
        let text = json::to_pretty_json(&OutputValue::from_serialize(&sample_status()));
        let names = [
            "\"type\"",
            "initialized",
            "\"sealed\"",
            "\"t\"",
            "\"n\"",
            "progress",
            "nonce",
            "version",
            "build_date",
            "migration",
            "cluster_name",
            "cluster_id",
            "recovery_seal",
            "storage_type",
            "ha_enabled",
        ];
        let places: Vec<_> = names.iter().map(|name| text.find(name).unwrap()).collect();
        assert!(places.is_sorted(), "{text}");
    }
}
