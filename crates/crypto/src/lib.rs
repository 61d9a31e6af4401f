//! Cryptography, and the only room that names a crypto library (TLS goes through rustls).
//!
//! - [`aead`]: AES-256-GCM with a random nonce, the barrier's cipher
//! - [`mac`]: HMAC-SHA-256, for keyed names of tokens
//! - [`digest`]: SHA-256, for plug-in binaries
//! - [`shamir`]: splitting the unseal key, in the share format of Vault
//! - [`entropy`]: the system's random generator
//! - `trust` (a feature): which TLS servers are believed
//!
//! Primitives come from aws-lc-rs. Shamir comes from vsss-rs, which computes in GF(256) without
//! tables (CVE-2023-25000 was a table).
#![deny(missing_docs)]

// What the fuzz targets check sees the crate as others do.
#[cfg(test)]
extern crate self as strongroom_crypto;

pub mod aead;
pub mod digest;
pub mod entropy;
pub mod mac;
pub mod shamir;
#[cfg(feature = "trust")]
pub mod trust;

#[cfg(test)]
mod fuzzed;

pub use aead::AeadKey;
pub use entropy::SystemEntropy;
pub use mac::MacKey;
