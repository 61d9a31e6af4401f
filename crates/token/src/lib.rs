//! Tokens. A token is stored under a keyed hash of its id, never under the id; it knows its parent,
//! and the store knows its children, so that revoking one revokes the tree below it.
//!
//! In reading order:
//!
//! - [`token`]: [`Token`] and [`TokenKey`]
//! - [`store`]: [`TokenStore`]: create, look up, spend a use, renew, and the steps of a revocation
//! - [`batch`]: tokens that are their own record
//! - [`cidr`]: [`Cidr`], where a token may be used from
//! - [`roles`]: [`TokenRole`], rules after which tokens are made
//! - [`tidy`]: removes what points to tokens that are gone
//! - [`revocation_marks`]: which tokens are being revoked; a token below a marked one is refused at once
//!
//! Formats, and why a revocation survives a crash in its middle: `docs/src/design/tokens.md`.

// What the fuzz targets check sees the crate as others do.
#[cfg(test)]
extern crate self as strongroom_token;

pub mod batch;
pub mod cidr;
pub mod error;
#[cfg(test)]
mod fuzzed;
pub mod revocation_marks;
pub mod roles;
pub mod store;
#[cfg(test)]
mod tests;
pub mod tidy;
pub mod token;

pub use batch::MAX_BATCH_CHARS;
pub use cidr::Cidr;
pub use error::Error;
pub use revocation_marks::RevocationMark;
pub use roles::{LegacyFieldNames, TokenRole, TokenRoleStore, TokenTypePolicy};
pub use store::{IssuedToken, MAX_DEPTH, NewToken, StoredToken, TokenStore, UseOutcome};
pub use tidy::{TidyGuard, TidyReport};
pub use token::{Token, TokenKey, TokenKind};
