//! Cryptography. The only crate that uses a crypto library directly (TLS goes through rustls).
//!
//! - [`aead`]: AES-256-GCM with a random nonce, the barrier's cipher
//! - [`mac`]: HMAC-SHA-256, which turns token ids into storage keys
//! - [`digest`]: SHA-256, for checksums of plug-in binaries
//! - [`shamir`]: splitting the unseal key, in the share format of Vault
//! - [`entropy`]: the system's random generator
//! - [`rs256`]: RSA signatures, for tokens that outside systems verify
//! - `trust` (a feature): verification of TLS server certificates against given authorities
//!
//! Primitives come from aws-lc-rs. Shamir comes from vsss-rs, which computes in GF(256) without
//! lookup tables; tables were the timing leak of CVE-2023-25000.
// The fuzz checks are compiled into this crate's tests and refer to it by its external name.
#[cfg(test)]
extern crate self as strongroom_crypto;

pub mod aead;
pub mod digest;
pub mod entropy;
pub mod mac;
pub mod rs256;
pub mod shamir;
#[cfg(feature = "trust")]
pub mod trust;

#[cfg(test)]
mod fuzzed;

pub use aead::AeadKey;
pub use entropy::SystemEntropy;
pub use mac::MacKey;
pub use rs256::Rs256Key;
