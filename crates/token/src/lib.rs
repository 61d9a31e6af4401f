//! Tokens. A token is stored under a keyed hash of its id, never under the id; it knows its parent,
//! and the store knows its children, so that revoking one revokes the tree below it.
//!
//! In reading order:
//!
//! - [`token`]: [`Token`] and [`TokenKey`]
//! - [`store`]: [`TokenStore`]: create, look up, spend a use, renew, and the steps of a revocation
//! - [`marks`]: which tokens are being revoked; a token below a marked one is refused at once
//!
//! Formats, and why a revocation survives a crash in its middle: `docs/src/design/tokens.md`.

pub mod marks;
pub mod store;
#[cfg(test)]
mod tests;
pub mod token;

pub use marks::Mark;
pub use store::{Created, Error, Found, MAX_DEPTH, NewToken, Spent, TokenStore};
pub use token::{Token, TokenKey};
