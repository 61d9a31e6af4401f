//! The server itself, under `sys/`.
//!
//! - [`seal`]: initialise, unseal, seal, and how the server is
//! - [`mounts`]: secrets engines
//! - [`policies`]: policies, and what a token may do at a path
//! - [`leases`]: looking up, renewing and revoking leases
//! - [`plugins`]: the catalog

pub mod leases;
pub mod mounts;
pub mod plugins;
pub mod policies;
pub mod seal;
