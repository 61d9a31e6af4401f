//! [`MountEntry`]: what is stored of a mount.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use strongroom_sdk::engine::{Kind, Lifetimes, MountInfo};
use strongroom_types::{MountPath, MountUuid, Timestamp, Ttl};

use crate::plugins::{PluginType, Running};

/// A mount as stored. The field names are the format; `v` is its version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountEntry {
    pub(crate) v: u8,
    /// Secrets engine or auth method.
    pub class: Class,
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
    pub running: Option<Running>,
    /// It is being removed: only revocations pass.
    pub tainted: bool,
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
}

/// The two classes of mounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// Below `sys/auth`.
    Auth,
    /// Below `sys/mounts`.
    Secret,
}

impl Class {
    /// The class's name in messages: "No secret engine mount at …".
    pub fn noun(self) -> &'static str {
        match self {
            Self::Auth => "auth engine",
            Self::Secret => "secret engine mount",
        }
    }

    /// The type of plug-ins that can be mounted so.
    pub fn plugin_type(self) -> PluginType {
        match self {
            Self::Auth => PluginType::Auth,
            Self::Secret => PluginType::Secret,
        }
    }

    /// The kind an engine must have to be mounted so.
    pub fn engine_kind(self) -> Kind {
        match self {
            Self::Auth => Kind::Auth,
            Self::Secret => Kind::Secrets,
        }
    }
}

impl MountEntry {
    /// Where requests find it: `auth/` in front of auth methods.
    pub fn route(&self) -> String {
        match self.class {
            Class::Auth => format!("auth/{}", self.path),
            Class::Secret => self.path.clone(),
        }
    }

    /// The prefix of its storage in the barrier.
    pub fn storage_prefix(&self) -> String {
        match self.class {
            Class::Auth => format!("auth/{}/", self.uuid),
            Class::Secret => format!("logical/{}/", self.uuid),
        }
    }

    /// Its lifetimes, with the server's where it has none of its own. The default is never above
    /// the longest.
    pub fn lifetimes(&self, server: Lifetimes) -> Lifetimes {
        let max = self.config.max_lease_ttl.or(server.max);
        Lifetimes { default: self.config.default_lease_ttl.or(server.default).min(max), max }
    }

    /// What its engine may know of it.
    pub fn info(&self) -> MountInfo {
        MountInfo {
            path: self.route(),
            mount_type: self.mount_type.clone(),
            accessor: self.accessor.clone(),
        }
    }

    /// Its place in the stored table.
    pub(crate) fn key(&self) -> String {
        format!("{}", self.uuid)
    }

    /// Whether another mount can't be beside it.
    pub fn overlaps(&self, class: Class, path: &MountPath) -> bool {
        let own = MountPath::parse(&self.path);
        self.class == class && own.is_ok_and(|own| own.overlaps(path))
    }
}
