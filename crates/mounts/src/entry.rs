//! [`MountEntry`]: the stored description of a mount.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use strongroom_engine::{MountInfo, MountLifetimes};
use strongroom_types::{MountKind, MountPath, MountUuid, Timestamp, TokenTypeSetting, Ttl};

use crate::plugins::RunningPlugin;

/// A mount as stored. The serialised field names are the storage format; `v` is its version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountEntry {
    /// The version of the storage format, currently 1.
    pub v: u8,
    /// Whether the mount is a secrets engine or an auth method. Stored as `class`.
    #[serde(rename = "class")]
    pub kind: MountKind,
    /// The mount path with a trailing slash, without the `auth/` prefix of auth methods.
    pub path: String,
    /// The mount's type, which is the name of its plug-in.
    pub mount_type: String,
    /// The description that the operator set; may be empty.
    pub description: String,
    /// The mount's UUID, which is part of its storage prefix and does not change.
    pub uuid: MountUuid,
    /// The mount's accessor, generated when it is enabled and kept by remounts; for example
    /// `kv_05e18790`.
    pub accessor: String,
    /// The API's `local` flag. Stored and returned; it has no effect, as there is no replication.
    pub local: bool,
    /// The API's `seal_wrap` flag. Stored and returned; which entries are seal-wrapped is up to the
    /// engine.
    pub seal_wrap: bool,
    /// The mount's options, passed to the engine when it is opened; for example `version` of a KV
    /// mount.
    pub options: Option<BTreeMap<String, String>>,
    /// The settings that `sys/mounts/:path/tune` changes.
    pub config: MountConfig,
    /// The requested plug-in version; empty to use the catalog's choice at each reload.
    pub plugin_version: String,
    /// The engine and version the mount runs. `None` before the first start.
    pub running: Option<RunningPlugin>,
    /// Whether the mount is being removed; then only revocations reach its engine.
    pub tainted: bool,
    /// The latest remount, in progress or finished; `None` if there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved: Option<RemountRecord>,
    /// The time at which the mount was created.
    pub created: Timestamp,
}

/// The tunable settings of a mount; all are optional and have defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MountConfig {
    /// The default lease lifetime; zero to use the server's.
    pub default_lease_ttl: Ttl,
    /// The maximum lease lifetime; zero to use the server's.
    pub max_lease_ttl: Ttl,
    /// The API's `force_no_cache` flag. Stored and returned, without effect.
    pub force_no_cache: bool,
    /// Whether the mount is listed for clients without a token: `unauth`, `hidden` or empty (as
    /// `hidden`).
    pub listing_visibility: String,
    /// Request fields that an audit device may log unhashed. Stored and returned, without effect.
    pub audit_non_hmac_request_keys: Vec<String>,
    /// Response fields that an audit device may log unhashed. Stored and returned, without effect.
    pub audit_non_hmac_response_keys: Vec<String>,
    /// Names of request headers that are passed to the engine.
    pub passthrough_request_headers: Vec<String>,
    /// Names of response headers that the engine may set.
    pub allowed_response_headers: Vec<String>,
    /// The type of the tokens that the mount's logins issue. For auth methods only.
    pub token_type: TokenTypeSetting,
}

/// A remount: the move of a mount to another path. Paths are those of entries, without `auth/`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemountRecord {
    /// The migration id, with which clients query the remount's status.
    pub id: String,
    /// The mount's path before the remount, with a trailing slash.
    pub from: String,
    /// The mount's path after the remount, with a trailing slash.
    pub to: String,
    /// Whether the remount is in progress, succeeded or failed.
    pub status: RemountProgress,
}

/// The status of a remount, as `sys/remount/status` returns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RemountProgress {
    /// Running requests finish and leases are revoked; new requests are refused.
    InProgress,
    /// The mount is at its new path.
    Success,
    /// The mount stayed at its old path.
    Failure,
}

impl MountEntry {
    /// The mount's route: its path, prefixed with `auth/` for auth methods.
    pub fn route(&self) -> String {
        self.kind.route_to(&self.path)
    }

    /// The remount that is in progress, if any.
    pub fn remount_in_progress(&self) -> Option<&RemountRecord> {
        self.moved.as_ref().filter(|moved| moved.status == RemountProgress::InProgress)
    }

    /// The prefix of the mount's storage in the barrier, with a trailing slash.
    pub fn storage_prefix(&self) -> String {
        match self.kind {
            MountKind::Auth => format!("auth/{}/", self.uuid),
            MountKind::Secret => format!("logical/{}/", self.uuid),
        }
    }

    /// The mount's lease lifetimes, with the server's where it sets none. The default never exceeds
    /// the maximum.
    pub fn effective_lifetimes(&self, server: MountLifetimes) -> MountLifetimes {
        let max = self.config.max_lease_ttl.nonzero_or(server.max);
        MountLifetimes {
            default: self.config.default_lease_ttl.nonzero_or(server.default).min(max),
            max,
        }
    }

    /// The description of the mount that its engine receives.
    pub fn mount_info(&self) -> MountInfo {
        MountInfo {
            path: self.route(),
            mount_type: self.mount_type.clone(),
            accessor: self.accessor.clone(),
        }
    }

    /// The key of the entry below the mount table's view.
    pub(crate) fn storage_key(&self) -> String {
        format!("{}", self.uuid)
    }

    /// Whether a mount at `path` would overlap this one, at its current path or at the target of a
    /// remount in progress.
    pub fn overlaps(&self, kind: MountKind, path: &MountPath) -> bool {
        let on_its_way = self.remount_in_progress().map(|moving| &moving.to);
        let mut own = std::iter::once(&self.path).chain(on_its_way);
        let overlaps = |own: &String| MountPath::parse(own).is_ok_and(|own| own.overlaps(path));
        self.kind == kind && own.any(overlaps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_form_is_unchanged() {
        let stored = concat!(
            r#"{"v":1,"class":"auth","path":"staff/","mount_type":"userpass","description":"","#,
            r#""uuid":"05e18790-3b1c-4c6e-8b54-3e9c2a7d1f00","accessor":"auth_userpass_05e18790","#,
            r#""local":false,"seal_wrap":false,"options":null,"config":{"default_lease_ttl":0,"#,
            r#""max_lease_ttl":0,"force_no_cache":false,"listing_visibility":"","#,
            r#""audit_non_hmac_request_keys":[],"audit_non_hmac_response_keys":[],"#,
            r#""passthrough_request_headers":[],"allowed_response_headers":[],"#,
            r#""token_type":"default-batch"},"plugin_version":"","running":null,"#,
            r#""tainted":false,"created":0}"#,
        );
        let entry: MountEntry = serde_json::from_str(stored).unwrap();
        assert_eq!(entry.kind, MountKind::Auth);
        assert_eq!(serde_json::to_string(&entry).unwrap(), stored);
    }
}
