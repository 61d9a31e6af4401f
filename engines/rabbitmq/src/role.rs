//! [`Role`]: tags, permissions, limits and lifetimes of a user.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use strongroom_sdk::{Document, Json, LifetimeFields};

/// The lifetimes of leases for roles that set none.
#[derive(Document)]
#[document(path = "config/lease")]
pub(crate) struct LeaseConfig {
    #[field(embed)]
    pub(crate) lifetime: LifetimeFields,
}

/// Tags, permissions, limits and lifetimes of the users of a role. A write replaces all fields.
#[derive(Document)]
#[document(path = "roles/{name}", replace, validate = validate_role)]
pub(crate) struct Role {
    /// Tags of the user, separated by commas, such as management.
    pub(crate) tags: String,
    /// Permissions by virtual host: {"/": {"configure": "", "write": ".*", "read": ".*"}}.
    #[field(default = "{}")]
    pub(crate) vhosts: Json<BTreeMap<String, VhostPermissions>>,
    /// Permissions on topics by virtual host and exchange: {"/": {"amq.topic": {"write": ".*",
    /// "read": ".*"}}}.
    #[field(default = "{}")]
    pub(crate) vhost_topics: Json<BTreeMap<String, BTreeMap<String, TopicPermissions>>>,
    /// Limits of the user: {"max-connections": 10, "max-channels": 100}.
    #[field(default = "{}")]
    pub(crate) limits: Json<BTreeMap<String, u32>>,
    #[field(embed)]
    pub(crate) lifetime: LifetimeFields,
}

/// Patterns of the names of queues and exchanges that a user may use. An empty one matches none.
#[derive(Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct VhostPermissions {
    configure: String,
    write: String,
    read: String,
}

/// Patterns of the routing keys that a user may use with an exchange. An empty one matches none.
#[derive(Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct TopicPermissions {
    write: String,
    read: String,
}

/// The limits that RabbitMQ knows for users.
const LIMIT_NAMES: [&str; 2] = ["max-connections", "max-channels"];

fn validate_role(role: &Role) -> Result<(), String> {
    let Role { tags, vhosts, vhost_topics, limits, .. } = role;
    if tags.is_empty() && vhosts.0.is_empty() && vhost_topics.0.is_empty() {
        return Err("tags, vhosts and vhost_topics are all empty: set one of them".to_owned());
    }
    // RabbitMQ's API can't reach such a virtual host, since a URL can't have such a segment.
    let mut vhosts = vhosts.0.keys().chain(vhost_topics.0.keys());
    if vhosts.any(|vhost| matches!(vhost.as_str(), "" | "." | "..")) {
        return Err("the name of a virtual host must not be empty or made of dots".to_owned());
    }
    match limits.0.keys().all(|name| LIMIT_NAMES.contains(&name.as_str())) {
        true => Ok(()),
        false => Err("limits may have max-connections and max-channels".to_owned()),
    }
}
