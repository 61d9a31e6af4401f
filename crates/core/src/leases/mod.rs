//! Leases, where they meet tokens and engines.
//!
//! - [`lifetimes`]: how long a lease may live, as pure arithmetic
//! - [`issue`]: an engine's credential becomes a lease, before the answer leaves
//! - [`renew`]: extending a lease
//! - [`detached`]: work that goes on when the request it is for is dropped
//! - [`revoker`]: the keeper's hands: revoking credentials and trees of tokens
//! - [`token_revoker`]: the walk down a tree of tokens

pub mod detached;
pub mod issue;
pub mod lifetimes;
pub mod renew;
pub mod revoker;
#[cfg(test)]
mod tests;
pub mod token_revoker;
