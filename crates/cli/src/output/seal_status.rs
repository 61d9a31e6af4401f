//! How the server is: its seal, and who leads.

use serde::Serialize;
use strongroom_client::sys::seal::{Leader, SealStatus};

use super::table::key_value;
use super::value::Value;
use super::{Format, Printer};
use crate::failure::Outcome;

/// What `status` and `operator unseal` show.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Status {
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

impl Status {
    pub(crate) fn new(seal: SealStatus, leader: Leader) -> Self {
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

    /// Prints all of it.
    pub(crate) fn print(&self, printer: &mut Printer) -> Outcome {
        if printer.format == Format::Table {
            printer.table(&key_value(&self.rows()));
            return Ok(());
        }
        printer.data(&Value::of(self))
    }

    /// One field, by the name that JSON has.
    pub(crate) fn field(&self, name: &str) -> Option<Value> {
        match name {
            "ha_mode" => Some(Value::text(self.mode())),
            _ => Value::of(self).get(name).cloned(),
        }
    }

    fn mode(&self) -> &'static str {
        if self.is_self { "active" } else { "standby" }
    }

    fn rows(&self) -> Vec<(String, String)> {
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
            add("HA Mode", self.mode().to_owned());
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

    fn status() -> Status {
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
        Status::new(seal, Leader::default())
    }

    #[test]
    fn rows_as_vault_shows_them() {
        let keys = |status: &Status| {
            let rows = status.rows().into_iter().map(|(key, _)| key);
            rows.collect::<Vec<_>>().join(", ")
        };
        assert_eq!(
            keys(&status()),
            "Seal Type, Initialized, Sealed, Total Shares, Threshold, Version, Storage Type, \
             Cluster Name, Cluster ID, HA Enabled"
        );
        let mut sealed = status();
        sealed.seal.sealed = true;
        sealed.seal.cluster_id.clear();
        assert!(keys(&sealed).contains("Threshold, Unseal Progress, Unseal Nonce, Version"));
        assert!(!keys(&sealed).contains("Cluster"));
        let leader = Leader {
            ha_enabled: true,
            leader_address: "https://a".to_owned(),
            ..Leader::default()
        };
        let standby = Status::new(status().seal, leader);
        assert!(keys(&standby).ends_with("HA Cluster, HA Mode, Active Node Address"));
        assert_eq!(standby.field("ha_mode"), Some(Value::text("standby")));
        assert_eq!(standby.field("sealed"), Some(Value::Bool(false)));
        assert_eq!(standby.field("nope"), None);
    }

    #[test]
    fn json_has_vaults_order() {
        let text = json::pretty(&Value::of(&status()));
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
