//! Key/value secrets, kept encrypted and given back exactly as they were written.
//!
//! - version 1 ([`blueprint`]): JSON objects under paths; a write replaces
//! - version 2 ([`versioned_blueprint`]): each write makes a new version; versions can be read,
//!   deleted, undeleted and destroyed, writes can depend on the version they replace, and entries
//!   have metadata of their own
//!
//! Which of them a mount runs, its option `version` says. A mount of version 1 becomes one of
//! version 2 when it is opened so; there is no way back.
//!
//! API: <https://developer.hashicorp.com/vault/api-docs/secret/kv>
#![deny(missing_docs)]

mod versioned;

use strongroom_sdk::{Blueprint, FreeForm, VersionedEngine};
pub use versioned::versioned_blueprint;

/// Both versions, as mounts choose by the option `version`.
pub fn engine() -> VersionedEngine {
    VersionedEngine::by_option("version", "1", blueprint()).add_version("2", versioned_blueprint())
}

/// Version 1.
pub fn blueprint() -> Blueprint {
    Blueprint::new("kv", env!("CARGO_PKG_VERSION"))
        .help("Keeps arbitrary secrets, encrypted at rest.")
        .free_form(
            "{path..}",
            "A secret: any JSON object. A field `ttl` or `lease` tells readers how often to look \
             again.",
            FreeForm::new().refresh_from(&["ttl", "lease"]),
        )
        .reject_if_migrated("this mount keeps versions: set its option version to 2")
}
