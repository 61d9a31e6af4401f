//! Issuing, renewing and revoking leases: the part that involves engines and tokens. Storage and
//! scheduling are in `strongroom-lease`.
//!
//! - [`lifetimes`]: the arithmetic of lease and token lifetimes
//! - [`issue`]: registering an engine's credential as a lease, before the response is sent
//! - [`renew`]: renewing a lease through its engine
//! - [`detached`]: work that continues when its request is dropped
//! - [`revoker`]: revokes leases for the expiration manager
//! - [`token_revoker`]: revokes a token with its descendants

pub mod detached;
pub mod issue;
pub mod lifetimes;
pub mod renew;
pub mod revoker;
#[cfg(test)]
mod tests;
pub mod token_revoker;
