//! Policies: what a token may do to which paths.
//!
//! In reading order:
//!
//! - [`capability`]: [`Capabilities`], what can be granted
//! - [`pattern`]: [`PathPattern`], the globs `*` and `+`, and which of two is more specific
//! - [`language`]: a policy's text, in HCL or JSON, as [`Rule`]s
//! - [`acl`]: [`Acl`], several policies compiled to answer one question quickly
//! - [`store`]: [`PolicyStore`], the policies of a server
//!
//! The language is Vault's: <https://developer.hashicorp.com/vault/docs/concepts/policies>

pub mod acl;
pub mod built_in;
pub mod capability;
pub mod language;
pub mod pattern;
pub mod store;

pub use acl::Acl;
pub use capability::{Capabilities, Capability};
pub use language::{Policy, PolicyError, Rule};
pub use pattern::PathPattern;
pub use store::{PolicyStore, StoreError};
