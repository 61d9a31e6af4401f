//! Issues ACL tokens of HashiCorp Nomad, for as long as their leases last.
//!
//! Paths, as in Vault's engine of this name: `config/access` (where Nomad is, and a management token),
//! `config/lease` (lifetimes where roles name none), `role/:name` (what a token may do), `creds/:name`
//! (a token). Guide and API reference: `docs/src/engines/nomad.md`.
//!
//! - `access`: how to reach Nomad
//! - `role`: what a token may do, and for how long
//! - `token`: issuing, renewing, revoking, and finding again what was lost
//! - `api`: Nomad's HTTP API, as far as that needs it
//! - `connect`: HTTP clients and their certificates
//! - `exchange`: one request and its answer, neither trusted further than it must be
#![deny(missing_docs)]

mod access;
mod api;
mod exchange;
mod http_client;
mod role;
mod token;

use strongroom_sdk::Blueprint;

use crate::access::NomadAccessConfig;
use crate::role::{NomadLeaseConfig, Role};
use crate::token::NomadToken;

/// The engine.
pub fn blueprint() -> Blueprint {
    Blueprint::new("nomad", env!("CARGO_PKG_VERSION"))
        .help("Issues ACL tokens of HashiCorp Nomad and deletes them when their leases end.")
        .document::<NomadAccessConfig>()
        .document::<NomadLeaseConfig>()
        .document::<Role>()
        .credential(NomadToken::default())
}
