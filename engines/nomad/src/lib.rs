//! Issues ACL tokens of HashiCorp Nomad. Each token is valid as long as its lease.
//!
//! Paths, as in Vault's engine of this name: `config/access` (Nomad's address and a management
//! token), `config/lease` (default lifetimes), `role/:name` (the policies of a token),
//! `creds/:name` (a new token). Guide and API reference: `docs/src/engines/nomad.md`.
//!
//! - `access`: how to connect to Nomad
//! - `role`: the policies and lifetimes of a token
//! - `token`: issuing, renewing and revoking tokens, and cleaning up after a crash
//! - `api`: Nomad's HTTP API, with the calls that the engine needs
mod access;
mod api;
mod role;
mod token;

use strongroom_sdk::{Blueprint, LeaseConfig};

use crate::access::NomadAccessConfig;
use crate::role::Role;
use crate::token::NomadToken;

/// The blueprint of the engine, which a server or a plug-in process is started with.
pub fn blueprint() -> Blueprint {
    Blueprint::new("nomad", env!("CARGO_PKG_VERSION"))
        .help("Issues ACL tokens of HashiCorp Nomad and deletes them when their leases end.")
        .document::<NomadAccessConfig>()
        .document::<LeaseConfig>()
        .document::<Role>()
        .credential(NomadToken)
}
