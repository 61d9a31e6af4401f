//! The server itself, under `sys/`.
//!
//! - [`seal`]: initialise, unseal, seal, and the server's status
//! - [`keys`]: the encryption key, and stepping down
//! - [`mounts`]: secrets engines and auth methods
//! - [`remount`]: moving mounts to another path
//! - [`help`]: the server's help on its paths
//! - [`policies`]: policies, and a token's capabilities on a path
//! - [`leases`]: looking up, renewing and revoking leases
//! - [`plugins`]: the plug-in catalog

pub mod help;
pub mod keys;
pub mod leases;
pub mod mounts;
pub mod plugins;
pub mod policies;
pub mod remount;
pub mod seal;
