//! Leases, where they meet tokens and engines.
//!
//! - [`lifetimes`]: how long a lease may live, as pure arithmetic
//! - [`issue`]: an engine's credential becomes a lease, before the answer leaves
//! - [`renew`]: extending a lease
//! - [`whole`]: work that goes on when the request it is for is dropped
//! - [`ending`]: the keeper's hands: revoking credentials and trees of tokens
//! - [`trees`]: the walk down a tree of tokens

pub mod ending;
pub mod issue;
pub mod lifetimes;
pub mod renew;
#[cfg(test)]
mod tests;
pub mod trees;
pub mod whole;
