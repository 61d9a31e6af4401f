//! Field kinds: how values are parsed from requests, and written to storage and responses.
//!
//! Clients are loose with types: a number is sent as `3600` or `"3600"`, a list as a JSON array or
//! as `"a,b"`. Each field kind accepts all forms of its type, so an engine gets a Rust type and
//! never an untyped map. Error messages describe what was expected and never repeat the value,
//! which may be a secret.
//!
//! Engines use the kinds in the root of this crate, from [`BaseUrl`] to [`Verbatim`], beside
//! `String`, `bool`, integers, `Option` and [`Secret`](crate::Secret). The rest of this module is
//! for field kinds of an engine's own.

#[doc(inline)]
pub use strongroom_schema::field::{
    BaseUrl, CidrList, CommaList, DurationSecs, Field, FieldKind, FieldSpec, Identifier,
    InvalidInput, InvalidValue, KeyValues, LeaseSafe, LegacyName, LowerCase, NullableField, ObjectWriter,
    PolicyNames, Verbatim,
};
