//! Field kinds: how values are parsed from requests, and written to storage and responses.
//!
//! Clients are loose with types: a number is sent as `3600` or `"3600"`, a list as a JSON array or
//! as `"a,b"`. Each field kind accepts all forms of its type, so an engine gets a Rust type and
//! never an untyped map. Error messages describe what was expected and never repeat the value,
//! which may be a secret.

mod choice;
mod default;
mod group;
mod headers;
mod json;
mod kinds;
mod legacy;
mod lists;
mod lower_case;
mod numbers;
mod sealed;
#[cfg(test)]
pub(crate) mod testing;
mod times;
mod unknown;
mod verbatim;

use std::fmt;

pub use choice::FieldChoice;
#[doc(hidden)]
pub use default::check_default;
pub use group::FieldGroup;
#[doc(hidden)]
pub use group::{count_specs, join_specs, legacy_spec, rename_legacy_fields};
pub use headers::HeaderList;
pub use json::Json;
pub use kinds::{BaseUrl, CommaList, DurationSecs, Identifier, KeyValues};
pub use legacy::LegacyName;
#[doc(hidden)]
pub use legacy::sent_name;
pub use lists::{CidrList, PolicyNames};
pub use lower_case::LowerCase;
pub use numbers::IntegerList;
pub use sealed::Sealed;
pub use times::SignedDurationSecs;
pub use unknown::{FieldWarnings, apply_captures};
pub use verbatim::{NullableField, Verbatim};

use serde_json::value::RawValue;
use strongroom_types::fields::write_string;
use strongroom_types::{Fields, RawObject};

use crate::display::FieldDisplay;

/// A type that can be a field of a document, an input, a response or a receipt.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a field kind",
    note = "an untyped map never reaches an engine: use String, bool, integers, DurationSecs, \
            CommaList, KeyValues, BaseUrl, Identifier, another kind of `strongroom_sdk::field`, \
            Secret<String>, or Option or NullableField of one of these"
)]
pub trait Field: Sized + Send + Sync + 'static {
    /// The kind of value, as help and OpenAPI describe it.
    const KIND: FieldKind;
    /// Whether the value is secret: stored, returned in responses, never shown when a document is
    /// read.
    const SECRET: bool = false;
    /// The only values that the field accepts; empty if they can't be listed.
    const ALLOWED_VALUES: &'static [&'static str] = &[];
    /// Whether [`Field::read`] receives `null`. Otherwise `null` counts as not given.
    const TAKES_NULL: bool = false;
    /// The value of a field that is neither given nor has a default; `None` if the field is then
    /// missing.
    fn value_if_absent() -> Option<Self>;
    /// Parses the value from any JSON form that clients use for it.
    ///
    /// # Errors
    ///
    /// [`InvalidValue`], which names the expected form.
    fn read(raw: &RawValue) -> Result<Self, InvalidValue>;
    /// Writes the value as JSON; returns `false` to leave the field out. For the derive macros.
    #[doc(hidden)]
    fn write(&self, out: &mut Vec<u8>) -> bool;
}

/// Marks field kinds that may be stored with a lease. Deliberately not implemented for
/// [`Secret`](strongroom_types::Secret) or for strings in general: use an [`Identifier`] for the
/// name or id of a credential, or [`Sealed`] if only the secret itself revokes it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be kept with a lease",
    note = "a receipt keeps what is needed to find the credential again, never the secret itself: \
            wrap a name or id in `Identifier`, or in `Sealed` if only the secret itself revokes it"
)]
pub trait LeaseSafe: Field {
    /// Whether a lease with such a field is stored under the seal as well.
    const SEALED: bool = false;
}

/// The kinds of field values, as help and OpenAPI describe them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FieldKind {
    /// A string; numbers and booleans are accepted as text.
    String,
    /// A string that is trimmed and lower-cased.
    LowerCaseString,
    /// An integer, also accepted as a string of digits.
    Integer,
    /// A number that may have a fraction, also accepted as a string.
    Float,
    /// A boolean, also accepted as a string.
    Boolean,
    /// A number of seconds, or a string such as `1h`.
    Duration,
    /// A point in time: RFC 3339, or seconds since 1970.
    Time,
    /// An array of strings, or one string with commas.
    CommaList,
    /// A list as of [`FieldKind::CommaList`] of names of policies, which are trimmed and
    /// lower-cased.
    PolicyNames,
    /// An array of integers, or one string with commas.
    IntegerList,
    /// An object of strings, or strings of the form `k=v`.
    KeyValues,
    /// A JSON object that is kept as it was sent.
    Object,
    /// JSON, or a string that contains JSON.
    Json,
    /// HTTP headers: an object, base64 of it, or strings of the form `name:value`.
    Headers,
}

impl FieldKind {
    /// The name of this kind in help texts, as Vault prints it.
    pub fn help_name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::LowerCaseString => "lowercase string",
            Self::Integer => "int",
            Self::Float => "float",
            Self::Boolean => "bool",
            Self::Duration => "duration (sec)",
            Self::Time => "time",
            Self::CommaList | Self::PolicyNames | Self::IntegerList => "slice",
            Self::KeyValues => "keypair",
            Self::Object | Self::Json => "map",
            Self::Headers => "header",
        }
    }
}

/// Whether a field of this type holds a text or an object that isn't treated as a secret. The
/// derive macros reject it under a name that suggests one.
#[doc(hidden)]
pub const fn is_plain_text<F: Field>() -> bool {
    use FieldKind::{Json, LowerCaseString, Object, String};
    let is_text = matches!(F::KIND, String | LowerCaseString | Object | Json);
    is_text && !F::SECRET && F::ALLOWED_VALUES.is_empty()
}

/// Checks that a field may be shown in a list. For the derive macros.
///
/// # Panics
///
/// If the field is a secret; in a constant, that is a compile error.
#[doc(hidden)]
pub const fn check_listed<F: Field>() {
    assert!(!F::SECRET, "a secret is never shown, so its field can't be `listed`");
}

/// The declaration of one field of a document, input or response.
#[derive(Clone, Copy, Debug)]
pub struct FieldSpec {
    /// The field's name in the API.
    pub name: &'static str,
    /// The description for help and OpenAPI: the documentation comment of the Rust field.
    pub help: &'static str,
    /// The kind of value that the field accepts.
    pub kind: FieldKind,
    /// The only values that the field accepts; empty if they can't be listed.
    pub allowed_values: &'static [&'static str],
    /// Whether the value is never shown when a document is read.
    pub secret: bool,
    /// Whether a new document or an input must contain the field.
    pub required: bool,
    /// Whether only the engine sets the field. Clients can't, so it is no parameter of a request.
    pub internal: bool,
    /// Whether a write that replaces the document keeps the stored value if it doesn't contain the
    /// field.
    pub keep: bool,
    /// The value if the field is not given, in the form in which a client would send it.
    pub default: Option<&'static str>,
    /// If this is a legacy name of another field, that field.
    pub legacy: Option<LegacyName>,
    /// How user interfaces present the field.
    pub display: FieldDisplay,
}

impl FieldSpec {
    /// The current name of the field if this is a legacy name, which help and OpenAPI show as
    /// deprecated.
    pub fn legacy_name_of(&self) -> Option<&'static str> {
        self.legacy.map(|legacy| legacy.current)
    }
}

/// A value of the wrong form; the text names the expected form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {0}")]
pub struct InvalidValue(pub &'static str);

/// A field that was rejected. The message is for the user and never contains the value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidInput {
    /// The value has the wrong form.
    #[error("error converting input for field {field:?}: {reason}")]
    Invalid {
        /// The field's name in the API.
        field: &'static str,
        /// The form that was expected.
        reason: InvalidValue,
    },
    /// The field was not given and has no default.
    #[error("missing required field {field:?}")]
    Missing {
        /// The field's name in the API.
        field: &'static str,
    },
}

/// Writes the fields of one JSON object, in the order in which they are added. [`build_object`]
/// creates it, and the derive macros fill it.
pub struct ObjectWriter {
    json: Vec<u8>,
}

impl fmt::Debug for ObjectWriter {
    /// Prints only the size, since the fields may contain a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ObjectWriter({} bytes)", self.json.len())
    }
}

impl ObjectWriter {
    fn new() -> Self {
        Self { json: b"{".to_vec() }
    }

    /// Adds the field `name`, unless the value asks to be left out (`None`, for example).
    pub fn field(&mut self, name: &str, value: &impl Field) {
        let start = self.json.len();
        if start > 1 {
            self.json.push(b',');
        }
        write_string(&mut self.json, name);
        self.json.push(b':');
        if !value.write(&mut self.json) {
            self.json.truncate(start);
        }
    }

    /// Adds the field `name` whose value is an object; `write` adds that object's fields.
    pub fn write_object(&mut self, name: &str, write: impl FnOnce(&mut Self)) {
        if self.json.len() > 1 {
            self.json.push(b',');
        }
        write_string(&mut self.json, name);
        self.json.push(b':');
        self.json.extend_from_slice(build_object(write).as_bytes());
    }

    fn into_object(mut self) -> RawObject {
        self.json.push(b'}');
        RawObject::from_own_json(self.json)
    }
}

/// The JSON object with the fields that `write` adds, secrets included. Not available to authors of
/// engines, whose documents and responses the SDK writes.
pub fn build_object(write: impl FnOnce(&mut ObjectWriter)) -> RawObject {
    let mut out = ObjectWriter::new();
    write(&mut out);
    out.into_object()
}

/// Parses a required field. For the derive macros.
///
/// # Errors
///
/// [`InvalidInput`] if the field is missing or has the wrong form.
#[doc(hidden)]
pub fn required<F: Field>(fields: &Fields, field: &'static str) -> Result<F, InvalidInput> {
    match present_value::<F>(fields, field) {
        Some(raw) => F::read(raw).map_err(|reason| InvalidInput::Invalid { field, reason }),
        None => Err(InvalidInput::Missing { field }),
    }
}

/// Parses a field that has an empty value if not given. For the derive macros.
///
/// # Errors
///
/// [`InvalidInput`] if the field has the wrong form, or is missing and its kind has no empty value.
#[doc(hidden)]
pub fn optional<F: Field>(fields: &Fields, field: &'static str) -> Result<F, InvalidInput> {
    match present_value::<F>(fields, field) {
        Some(raw) => F::read(raw).map_err(|reason| InvalidInput::Invalid { field, reason }),
        None => F::value_if_absent().ok_or(InvalidInput::Missing { field }),
    }
}

/// Parses a field that has a default. For the derive macros.
///
/// # Errors
///
/// [`InvalidInput`] if the field or its default has the wrong form.
#[doc(hidden)]
pub fn with_default<F: Field>(
    fields: &Fields,
    field: &'static str,
    default: &'static str,
) -> Result<F, InvalidInput> {
    let bad = |reason| InvalidInput::Invalid { field, reason };
    if let Some(raw) = present_value::<F>(fields, field) {
        return F::read(raw).map_err(bad);
    }
    // The default is text, in the form in which a client would send it.
    let text =
        serde_json::value::to_raw_value(default).unwrap_or_else(|_| RawValue::NULL.to_owned());
    F::read(&text).map_err(bad)
}

/// `null` counts as not given, unless the kind accepts it.
fn present_value<'f, F: Field>(fields: &'f Fields, field: &str) -> Option<&'f RawValue> {
    fields.get(field).filter(|raw| F::TAKES_NULL || raw.get() != "null")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_fields_are_left_out() {
        let mut out = ObjectWriter::new();
        out.field("none", &None::<String>);
        out.field("a", &1_u64);
        out.field("b", &None::<i64>);
        out.field("c", &CommaList(vec!["x\"y".to_owned()]));
        assert_eq!(out.into_object().as_bytes(), br#"{"a":1,"c":["x\"y"]}"#);
        assert_eq!(ObjectWriter::new().into_object().as_bytes(), b"{}");
    }

    #[test]
    fn objects_nest() {
        let mut out = ObjectWriter::new();
        out.write_object("a", |_| {});
        out.write_object("b", |out| {
            out.field("null", &NullableField::<String>::Null);
            out.field("nothing", &NullableField::<String>::Absent);
            out.write_object("c", |out| out.field("d", &NullableField::Value(1_u64)));
        });
        assert_eq!(out.into_object().as_bytes(), br#"{"a":{},"b":{"null":null,"c":{"d":1}}}"#);
    }

    #[test]
    fn null_is_absent_except_for_nullable_fields() {
        let fields = Fields::from_trusted(br#"{"n":null,"v":"x"}"#).unwrap();
        assert_eq!(optional::<Option<String>>(&fields, "n"), Ok(None));
        assert_eq!(optional::<NullableField<String>>(&fields, "n"), Ok(NullableField::Null));
        assert_eq!(optional::<NullableField<String>>(&fields, "none"), Ok(NullableField::Absent));
        assert_eq!(
            optional::<NullableField<String>>(&fields, "v"),
            Ok(NullableField::Value("x".to_owned()))
        );
    }

    #[test]
    fn a_half_written_object_prints_nothing_of_itself() {
        let mut out = ObjectWriter::new();
        out.field("key", &strongroom_types::Secret::from_text("hunter2"));
        assert_eq!(format!("{out:?}"), "ObjectWriter(16 bytes)");
    }
}
