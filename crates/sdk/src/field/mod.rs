//! Field kinds: how a value is read from what clients send, and written to storage and answers.
//!
//! Clients are loose with types: a number comes as `3600` or `"3600"`, a list as JSON or as
//! `"a,b"`. A field kind knows all the forms, once, so that an engine sees a Rust type and no map
//! of anything. Errors say what was expected and never repeat the value: it may be a secret.

mod default;
mod kinds;
mod unknown;
mod verbatim;

use std::fmt;

#[doc(hidden)]
pub use default::check_default;
pub use kinds::{BaseUrl, CommaList, DurationSecs, Identifier, KeyValues};
pub use unknown::{FieldWarnings, apply_captures};
pub use verbatim::{NullableField, Verbatim};

use serde_json::value::RawValue;
use strongroom_types::fields::write_string;
use strongroom_types::{Fields, RawObject};

/// A type that a document, an input, an answer or a receipt may have as a field.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a field kind",
    note = "an untyped map never reaches an engine: use String, bool, integers, DurationSecs, \
            CommaList, KeyValues, BaseUrl, Identifier, Verbatim, Secret<String>, or Option or \
            NullableField of one of these"
)]
pub trait Field: Sized + Send + Sync + 'static {
    /// The kind's name in help and OpenAPI.
    const KIND: FieldKind;
    /// Whether the value is secret: stored, given in answers, never shown when read back.
    const SECRET: bool = false;
    /// Whether a `null` is handed to [`Field::read`], and isn't as good as nothing.
    const TAKES_NULL: bool = false;
    /// The value of a field that is neither given nor has a default; `Impossible` if there is none.
    fn value_if_absent() -> Option<Self>;
    /// Reads any form a client may use.
    fn read(raw: &RawValue) -> Result<Self, InvalidValue>;
    /// Writes JSON; `false` to leave the field out. For the derive macros.
    #[doc(hidden)]
    fn write(&self, out: &mut Vec<u8>) -> bool;
}

/// Marks field kinds that may be kept with a lease. Deliberately not implemented for
/// [`Secret`](strongroom_types::Secret), nor for strings in general: an identifier that names a
/// credential is an [`Identifier`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be kept with a lease",
    note = "a receipt keeps what is needed to find the credential again, never the secret itself: \
            wrap a name or id in `Identifier`"
)]
pub trait LeaseSafe: Field {}

/// Kinds of fields, as the API describes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FieldKind {
    /// Text.
    String,
    /// A whole number.
    Integer,
    /// True or false.
    Boolean,
    /// Seconds, or text such as `1h`.
    Duration,
    /// A list of texts, or one text with commas.
    CommaList,
    /// Names with texts.
    KeyValues,
    /// A JSON object.
    Object,
}

/// One field of a document, input or answer.
#[derive(Clone, Copy, Debug)]
pub struct FieldSpec {
    /// Its name in the API.
    pub name: &'static str,
    /// What it is for: the documentation comment of the Rust field.
    pub help: &'static str,
    /// Its kind.
    pub kind: FieldKind,
    /// Whether it is never shown.
    pub secret: bool,
    /// Whether a new document must have it.
    pub required: bool,
    /// What it is when not given, as a client would write it.
    pub default: Option<&'static str>,
}

/// A value of the wrong form; says what was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {0}")]
pub struct InvalidValue(pub &'static str);

/// A field that can't be accepted. The message is for the user and repeats no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidInput {
    /// Of the wrong form.
    #[error("error converting input for field {field:?}: {reason}")]
    Invalid {
        /// Its name.
        field: &'static str,
        /// What was expected.
        reason: InvalidValue,
    },
    /// Not given, and there is no default.
    #[error("missing required field {field:?}")]
    Missing {
        /// Its name.
        field: &'static str,
    },
}

/// Writes the fields of one JSON object. Made by this crate only; derive macros fill it.
pub struct ObjectWriter {
    json: Vec<u8>,
}

impl fmt::Debug for ObjectWriter {
    /// Its size only: it may hold a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ObjectWriter({} bytes)", self.json.len())
    }
}

impl ObjectWriter {
    pub(crate) fn new() -> Self {
        Self { json: b"{".to_vec() }
    }

    /// Adds a field.
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

    /// Adds a field that is an object, which `write` fills.
    pub fn write_object(&mut self, name: &str, write: impl FnOnce(&mut Self)) {
        if self.json.len() > 1 {
            self.json.push(b',');
        }
        write_string(&mut self.json, name);
        self.json.push(b':');
        let mut inner = Self::new();
        write(&mut inner);
        self.json.extend_from_slice(inner.into_object().as_bytes());
    }

    pub(crate) fn into_object(mut self) -> RawObject {
        self.json.push(b'}');
        RawObject::from_own_json(self.json)
    }
}

/// Reads a field that must be there. For the derive macros.
#[doc(hidden)]
pub fn required<F: Field>(fields: &Fields, field: &'static str) -> Result<F, InvalidInput> {
    match present_value::<F>(fields, field) {
        Some(raw) => F::read(raw).map_err(|reason| InvalidInput::Invalid { field, reason }),
        None => Err(InvalidInput::Missing { field }),
    }
}

/// Reads a field that is empty when not given. For the derive macros.
#[doc(hidden)]
pub fn optional<F: Field>(fields: &Fields, field: &'static str) -> Result<F, InvalidInput> {
    match present_value::<F>(fields, field) {
        Some(raw) => F::read(raw).map_err(|reason| InvalidInput::Invalid { field, reason }),
        None => F::value_if_absent().ok_or(InvalidInput::Missing { field }),
    }
}

/// Reads a field that has a default. For the derive macros.
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
    // The default is text, as a client would send it.
    let text =
        serde_json::value::to_raw_value(default).unwrap_or_else(|_| RawValue::NULL.to_owned());
    F::read(&text).map_err(bad)
}

/// A `null` is as good as nothing, unless the kind says otherwise.
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
