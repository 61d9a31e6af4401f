//! [`MountEntry`]: what is stored of a mount.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use strongroom_sdk::engine::{MountInfo, MountKind, MountLifetimes};
use strongroom_types::{MountPath, MountUuid, Timestamp, Ttl};

use crate::plugins::{PluginKind, RunningPlugin};

/// A mount as stored. The field names are the format; `v` is its version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountEntry {
    pub(crate) v: u8,
    /// Secrets engine or auth method.
    pub class: MountClass,
    /// Where, without the `auth/` in front of auth methods; with a trailing slash.
    pub path: String,
    /// The type, which is the name of its plug-in.
    pub mount_type: String,
    /// For people.
    pub description: String,
    /// Names its storage.
    pub uuid: MountUuid,
    /// Names it for people and policies: `kv_05e18790`.
    pub accessor: String,
    /// Kept in this cluster.
    pub local: bool,
    /// Whether the engine's sensitive entries ask for the seal's extra encryption.
    pub seal_wrap: bool,
    /// What the engine was told when it was mounted.
    pub options: Option<BTreeMap<String, String>>,
    /// What can be tuned.
    pub config: MountConfig,
    /// The version asked for; empty to follow the catalog at each reload.
    pub plugin_version: String,
    /// What runs. None before the first start, and for the system's own mounts.
    pub running: Option<RunningPlugin>,
    /// It is being removed: only revocations pass.
    pub tainted: bool,
    /// The last time it was moved, or is being moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved: Option<RemountRecord>,
    /// When it was mounted.
    pub created: Timestamp,
}

/// What of a mount can be tuned.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MountConfig {
    /// Zero for the server's.
    pub default_lease_ttl: Ttl,
    /// Zero for the server's.
    pub max_lease_ttl: Ttl,
    /// Kept and shown; there is no cache it would bypass.
    pub force_no_cache: bool,
    /// `unauth`, `hidden` or empty.
    pub listing_visibility: String,
    /// Kept and shown for an audit log: fields of requests it may show as they are.
    pub audit_non_hmac_request_keys: Vec<String>,
    /// The same of answers.
    pub audit_non_hmac_response_keys: Vec<String>,
    /// Request headers the engine gets to see.
    pub passthrough_request_headers: Vec<String>,
    /// Answer headers the engine may set.
    pub allowed_response_headers: Vec<String>,
    /// What kind of tokens its logins give. For auth methods.
    pub token_type: MountTokenType,
}

/// What kind of tokens the logins of an auth method give.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MountTokenType {
    /// Stored tokens, unless the method says otherwise.
    #[default]
    DefaultService,
    /// Tokens that aren't stored, unless the method says otherwise.
    DefaultBatch,
    /// Stored tokens.
    Service,
    /// Tokens that aren't stored.
    Batch,
}

impl MountTokenType {
    /// Its name in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DefaultService => "default-service",
            Self::DefaultBatch => "default-batch",
            Self::Service => "service",
            Self::Batch => "batch",
        }
    }

    /// The kind of this name; the empty one is the default.
    pub fn parse(name: &str) -> Option<Self> {
        let all = [Self::DefaultService, Self::DefaultBatch, Self::Service, Self::Batch];
        let named = all.into_iter().find(|kind| kind.as_str() == name);
        named.or_else(|| name.is_empty().then(Self::default))
    }
}

/// A mount's way to another path. The paths are those of entries, without `auth/`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemountRecord {
    /// Names it for whoever asks how far it is.
    pub id: String,
    /// From where.
    pub from: String,
    /// To where.
    pub to: String,
    /// How far it is.
    pub status: RemountProgress,
}

/// How far a move is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RemountProgress {
    /// Leases are being ended; no request gets in.
    InProgress,
    /// It is there.
    Success,
    /// It stayed where it was.
    Failure,
}

/// The two classes of mounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MountClass {
    /// Below `sys/auth`.
    Auth,
    /// Below `sys/mounts`.
    Secret,
}

impl MountClass {
    /// The class's name in messages: "No secret engine mount at …".
    pub fn noun_in_messages(self) -> &'static str {
        match self {
            Self::Auth => "auth engine",
            Self::Secret => "secret engine mount",
        }
    }

    /// Where requests find a mount of this class: `auth/` in front of auth methods.
    pub fn route_to(self, path: &str) -> String {
        match self {
            Self::Auth => format!("auth/{path}"),
            Self::Secret => path.to_owned(),
        }
    }

    /// The type of plug-ins that can be mounted so.
    pub fn plugin_kind(self) -> PluginKind {
        match self {
            Self::Auth => PluginKind::Auth,
            Self::Secret => PluginKind::Secret,
        }
    }

    /// The kind an engine must have to be mounted so.
    pub fn engine_kind(self) -> MountKind {
        match self {
            Self::Auth => MountKind::Auth,
            Self::Secret => MountKind::Secret,
        }
    }
}

impl MountEntry {
    /// Where requests find it: `auth/` in front of auth methods.
    pub fn route(&self) -> String {
        self.class.route_to(&self.path)
    }

    /// The move under way, if there is one.
    pub fn remount_in_progress(&self) -> Option<&RemountRecord> {
        self.moved.as_ref().filter(|moved| moved.status == RemountProgress::InProgress)
    }

    /// The prefix of its storage in the barrier.
    pub fn storage_prefix(&self) -> String {
        match self.class {
            MountClass::Auth => format!("auth/{}/", self.uuid),
            MountClass::Secret => format!("logical/{}/", self.uuid),
        }
    }

    /// Its lifetimes, with the server's where it has none of its own. The default is never above
    /// the longest.
    pub fn effective_lifetimes(&self, server: MountLifetimes) -> MountLifetimes {
        let max = self.config.max_lease_ttl.nonzero_or(server.max);
        MountLifetimes {
            default: self.config.default_lease_ttl.nonzero_or(server.default).min(max),
            max,
        }
    }

    /// What its engine may know of it.
    pub fn mount_info(&self) -> MountInfo {
        MountInfo {
            path: self.route(),
            mount_type: self.mount_type.clone(),
            accessor: self.accessor.clone(),
        }
    }

    /// Its place in the stored table.
    pub(crate) fn storage_key(&self) -> String {
        format!("{}", self.uuid)
    }

    /// Whether another mount can't be beside it, where it is or where it is going.
    pub fn overlaps(&self, class: MountClass, path: &MountPath) -> bool {
        let on_its_way = self.remount_in_progress().map(|moving| &moving.to);
        let mut own = std::iter::once(&self.path).chain(on_its_way);
        let overlaps = |own: &String| MountPath::parse(own).is_ok_and(|own| own.overlaps(path));
        self.class == class && own.any(overlaps)
    }
}
