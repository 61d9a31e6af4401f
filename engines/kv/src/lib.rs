//! The key/value engine: stores secrets encrypted and returns them exactly as written.
//!
//! - version 1 ([`blueprint`]): JSON objects at paths; a write replaces the previous one
//! - version 2 ([`versioned_blueprint`]): each write creates a new version. Versions can be read,
//!   deleted, undeleted and destroyed; a write can require that it replaces a certain version, and
//!   entries have metadata
//!
//! A mount's option `version` selects the version. Setting it to 2 upgrades a mount of version 1
//! when it is next opened; there is no downgrade.
//!
//! API: <https://developer.hashicorp.com/vault/api-docs/secret/kv>
mod versioned;

use strongroom_sdk::{Blueprint, FreeForm, VersionedEngine};
pub use versioned::versioned_blueprint;

/// Both versions of the engine; the mount's option `version` selects one.
pub fn engine() -> VersionedEngine {
    VersionedEngine::by_option("version", "1", blueprint()).add_version("2", versioned_blueprint())
}

/// The blueprint of version 1, which keeps only the latest data of a secret.
pub fn blueprint() -> Blueprint {
    Blueprint::new("kv", env!("CARGO_PKG_VERSION"))
        .help("Stores arbitrary secrets, encrypted at rest.")
        .free_form(
            "{path..}",
            "A secret: any JSON object. A field `ttl` or `lease` tells readers how often to look \
             again.",
            FreeForm::new().refresh_from(&["ttl", "lease"]),
        )
        .reject_if_migrated("this mount has versioned data: set its option version to 2")
}
