//! Field kinds: how values are parsed from requests, and written to storage and responses.
//!
//! Clients are loose with types: a number is sent as `3600` or `"3600"`, a list as a JSON array or
//! as `"a,b"`. Each field kind accepts all forms of its type, so an engine gets a Rust type and
//! never an untyped map. Error messages describe what was expected and never repeat the value,
//! which may be a secret.
//!
//! Engines use the kinds in the root of this crate, from [`BaseUrl`] to [`Verbatim`], beside
//! `String`, `bool`, integers, `f64`, [`Timestamp`](crate::Timestamp), `Option` and
//! [`Secret`](crate::Secret). The rest of this module is for field kinds of an engine's own.
//!
//! | kind | for |
//! |---|---|
//! | `String`, [`LowerCase`], [`Identifier`], [`BaseUrl`] | a text: any, trimmed and lower-cased, the name of an object outside, an address |
//! | [`Secret<String>`](crate::Secret) | a text that is never shown when a document is read |
//! | [`Sealed`] | a secret in a receipt, where only the secret itself revokes the credential |
//! | `i64`, `u64`, `u32`, `u16`, `f64`, [`IntegerList`] | numbers |
//! | [`DurationSecs`], [`SignedDurationSecs`], [`Timestamp`](crate::Timestamp) | durations and times |
//! | [`CommaList`], [`CidrList`], [`PolicyNames`] | lists: of texts, of networks, of policies for a token |
//! | an enum with [`FieldChoice`] | one of a few values |
//! | [`KeyValues`], [`HeaderList`], [`Json`], [`Verbatim`] | maps and nested objects: of texts, of HTTP headers, with a Rust type, unread |
//! | `Option`, [`NullableField`] | a value that may be absent, also one where `null` means something |

#[doc(inline)]
pub use strongroom_schema::display::FieldDisplay;
#[doc(inline)]
pub use strongroom_schema::field::{
    BaseUrl, CidrList, CommaList, DurationSecs, Field, FieldChoice, FieldGroup, FieldKind,
    FieldSpec, HeaderList, Identifier, IntegerList, InvalidInput, InvalidValue, Json, KeyValues,
    LeaseSafe, LegacyName, LowerCase, NullableField, ObjectWriter, PolicyNames, Sealed,
    SignedDurationSecs, Verbatim,
};
