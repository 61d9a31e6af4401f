//! The server itself, under `sys/`.
//!
//! - [`seal`]: initialise, unseal, seal, and how the server is
//! - [`keys`]: the key that encrypts, and stepping down
//! - [`mounts`]: secrets engines and auth methods
//! - [`remount`]: moving them
//! - [`help`]: what the server says about its paths
//! - [`policies`]: policies, and what a token may do at a path
//! - [`leases`]: looking up, renewing and revoking leases
//! - [`plugins`]: the catalog

pub mod help;
pub mod keys;
pub mod leases;
pub mod mounts;
pub mod plugins;
pub mod policies;
pub mod remount;
pub mod seal;
