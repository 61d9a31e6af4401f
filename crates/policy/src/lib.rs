//! Policies: what a token may do to which paths.
//!
//! In reading order:
//!
//! - [`capability`]: [`Capabilities`], what can be granted
//! - [`pattern`]: [`PathPattern`], the globs `*` and `+`, and which of two is more specific
//! - [`field_reading`]: how the handler of a request reads its fields
//! - [`conditions`]: what a rule asks of a request's fields and of its wrapping
//! - [`language`]: a policy's text, in HCL or JSON, as [`PathRule`]s
//! - [`acl`]: [`Acl`], several policies compiled to answer one question quickly
//! - [`store`]: [`PolicyStore`], the policies of a server
//! - [`password`]: [`PasswordPolicy`], another kind: what generated passwords are made of
//! - [`password_store`]: [`PasswordPolicies`], those of a server
//!
//! The language is Vault's: <https://developer.hashicorp.com/vault/docs/concepts/policies>

// What the fuzz targets check sees the crate as others do.
#[cfg(test)]
extern crate self as strongroom_policy;

pub mod acl;
pub mod built_in;
pub mod capability;
pub mod conditions;
pub mod field_reading;
pub mod language;
pub mod password;
pub mod password_store;
pub mod pattern;
pub mod store;

#[cfg(test)]
mod fuzzed;

pub use acl::{Acl, AclRequest, PathCase};
pub use capability::{Capabilities, Capability};
pub use conditions::{PathGrant, RequestConditions};
pub use field_reading::{
    DerivedField, FieldDeclaration, FieldReading, FieldReadings, InnerField, case_folded,
};
pub use language::{PathRule, Policy, PolicyError, from_base64};
pub use password::{PasswordError, PasswordPolicy};
pub use password_store::PasswordPolicies;
pub use pattern::PathPattern;
pub use store::{PolicyStore, PolicyStoreError};
