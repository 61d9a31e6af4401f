//! Policies: what a token may do to which paths.
//!
//! In reading order:
//!
//! - [`capability`]: [`Capabilities`], the operations that can be granted
//! - [`pattern`]: [`PathPattern`], paths with the wildcards `*` and `+`, ordered by how specific
//!   they are
//! - [`field_reading`]: how the handler of a request reads its fields
//! - [`conditions`]: what a rule requires of a request's fields and response wrapping
//! - [`language`]: parses a policy in HCL or JSON into [`PathRule`]s
//! - [`acl`]: [`Acl`], all policies of a token, evaluated together
//! - [`store`]: [`PolicyStore`], the policies of a server
//! - [`password`]: [`PasswordPolicy`], rules for generated passwords
//! - [`password_store`]: [`PasswordPolicies`], the password policies of a server
//!
//! The language is Vault's: <https://developer.hashicorp.com/vault/docs/concepts/policies>

// The fuzz checks are compiled into this crate's tests and refer to it by its external name.
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
