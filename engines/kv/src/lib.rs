//! Key/value secrets, version 1: JSON objects under paths, kept encrypted and given back exactly as
//! they were written.
//!
//! API: <https://developer.hashicorp.com/vault/api-docs/secret/kv/kv-v1>
#![deny(missing_docs)]

use strongroom_sdk::{Blueprint, FreeForm};

/// The engine.
pub fn blueprint() -> Blueprint {
    Blueprint::new("kv", env!("CARGO_PKG_VERSION"))
        .help("Keeps arbitrary secrets, encrypted at rest.")
        .free_form(
            "{path..}",
            "A secret: any JSON object. A field `ttl` or `lease` tells readers how often to look \
             again.",
            FreeForm::new().refresh_from(&["ttl", "lease"]),
        )
}
