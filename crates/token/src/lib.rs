//! Tokens. A token is stored under a keyed hash of its id, never under the id. It refers to its
//! parent, and the store indexes its children, so that revoking it revokes the tree below it.
//!
//! In reading order:
//!
//! - [`token`]: [`Token`] and [`TokenKey`]
//! - [`store`]: [`TokenStore`]: create, look up, count uses, renew, and the steps of a revocation
//! - [`batch`]: batch tokens, which carry their own encrypted record
//! - `batch_cipher`: encrypts and decrypts them
//! - [`roles`]: [`TokenRole`], settings for the tokens created through a role
//! - [`tidy`]: removes index entries of tokens that no longer exist
//! - [`revocation_marks`]: which tokens are being revoked; their descendants are refused at once
//!
//! Formats, and why a revocation survives a crash halfway: `docs/src/design/tokens.md`.

// The fuzz checks are compiled into this crate's tests and refer to it by its external name.
#[cfg(test)]
extern crate self as strongroom_token;

mod accessor_hash;
pub mod batch;
mod batch_cipher;
pub mod error;
#[cfg(test)]
mod fuzzed;
pub mod new_token;
pub mod revocation_marks;
pub mod roles;
pub mod store;
#[cfg(test)]
mod tests;
pub mod tidy;
pub mod token;

pub use batch_cipher::MAX_BATCH_CHARS;
pub use error::Error;
pub use new_token::{NewToken, TokenLifetime, TokenOptions};
pub use revocation_marks::RevocationMark;
pub use roles::{LegacyFieldNames, TokenRole, TokenRoleStore};
pub use store::{AccessorPages, IssuedToken, StoredToken, TokenStore, UseOutcome};
pub use tidy::{TidyGuard, TidyReport};
pub use token::{MAX_DEPTH, Token, TokenKey};
