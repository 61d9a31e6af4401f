//! Field kinds: how a value is read from what clients send, and written to storage and answers.
//!
//! Clients are loose with types: a number comes as `3600` or `"3600"`, a list as JSON or as
//! `"a,b"`. A field kind knows all the forms, once, so that an engine sees a Rust type and no map
//! of anything. Errors say what was expected and never repeat the value: it may be a secret.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::value::RawValue;
use strongroom_types::duration::parse_nanos;
use strongroom_types::fields::write_string;
use strongroom_types::{Fields, RawObject, Secret, Ttl};

use crate::pattern::Captures;

/// A type that a document, an input, an answer or a receipt may have as a field.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a field kind",
    note = "an untyped map never reaches an engine: use String, bool, integers, DurationSecs, \
            CommaList, KeyValues, BaseUrl, Identifier, Secret<String> or Option of one of these"
)]
pub trait Field: Sized + Send + Sync + 'static {
    /// The kind's name in help and OpenAPI.
    const KIND: FieldKind;
    /// Whether the value is secret: stored, given in answers, never shown when read back.
    const SECRET: bool = false;
    /// The value of a field that is neither given nor has a default; `None` if there is none.
    fn empty() -> Option<Self>;
    /// Reads any form a client may use.
    fn read(raw: &RawValue) -> Result<Self, BadValue>;
    /// Writes JSON; `false` to leave the field out. For the derive macros.
    #[doc(hidden)]
    fn write(&self, out: &mut Vec<u8>) -> bool;
}

/// Marks field kinds that may be kept with a lease. Deliberately not implemented for [`Secret`],
/// nor for strings in general: an identifier that names a credential is an [`Identifier`].
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
pub struct BadValue(pub &'static str);

/// A field that can't be accepted. The message is for the user and repeats no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidInput {
    /// Of the wrong form.
    #[error("error converting input for field {field:?}: {reason}")]
    Bad {
        /// Its name.
        field: &'static str,
        /// What was expected.
        reason: BadValue,
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

    pub(crate) fn finish(mut self) -> RawObject {
        self.json.push(b'}');
        RawObject::from_own_json(self.json)
    }
}

/// Reads a field that must be there. For the derive macros.
#[doc(hidden)]
pub fn required<F: Field>(fields: &Fields, field: &'static str) -> Result<F, InvalidInput> {
    match given(fields, field) {
        Some(raw) => F::read(raw).map_err(|reason| InvalidInput::Bad { field, reason }),
        None => Err(InvalidInput::Missing { field }),
    }
}

/// Reads a field that is empty when not given. For the derive macros.
#[doc(hidden)]
pub fn optional<F: Field>(fields: &Fields, field: &'static str) -> Result<F, InvalidInput> {
    match given(fields, field) {
        Some(raw) => F::read(raw).map_err(|reason| InvalidInput::Bad { field, reason }),
        None => F::empty().ok_or(InvalidInput::Missing { field }),
    }
}

/// Reads a field that has a default. For the derive macros.
#[doc(hidden)]
pub fn with_default<F: Field>(
    fields: &Fields,
    field: &'static str,
    default: &'static str,
) -> Result<F, InvalidInput> {
    let bad = |reason| InvalidInput::Bad { field, reason };
    if let Some(raw) = given(fields, field) {
        return F::read(raw).map_err(bad);
    }
    // The default is text, as a client would send it.
    let text =
        serde_json::value::to_raw_value(default).unwrap_or_else(|_| RawValue::NULL.to_owned());
    F::read(&text).map_err(bad)
}

/// Lets captures of the path win over fields of the body, and gives the warnings that clients know:
/// for fields nobody asked for, and for fields that were replaced.
pub fn take_captures<'d>(
    declared: impl Iterator<Item = &'d str>,
    captures: &Captures,
    fields: &mut Fields,
) -> Vec<String> {
    let captured = captures.iter().map(|(name, _)| name);
    let known: Vec<&str> = declared.chain(captured).collect();
    let names = fields.iter().map(|(name, _)| name);
    let ignored: Vec<&str> = names.filter(|name| !known.contains(name)).collect();
    let mut warnings = Vec::new();
    if !ignored.is_empty() {
        let names = ignored.join(" ");
        warnings.push(format!("Endpoint ignored these unrecognized parameters: [{names}]"));
    }
    let mut replaced = Vec::new();
    for (name, value) in captures.iter() {
        if fields.contains(name) {
            replaced.push(name);
        }
        fields.set(name, &value);
    }
    if !replaced.is_empty() {
        let names = replaced.join(" ");
        warnings.push(format!(
            "Endpoint replaced the value of these parameters with the values captured from the \
             endpoint's path: [{names}]"
        ));
    }
    warnings
}

/// A `null` is as good as nothing.
fn given<'f>(fields: &'f Fields, field: &str) -> Option<&'f RawValue> {
    fields.get(field).filter(|raw| raw.get() != "null")
}

/// The JSON text inside quotes, unescaped; `None` for anything but a string.
fn text_of(raw: &RawValue) -> Option<String> {
    raw.get().starts_with('"').then(|| serde_json::from_str(raw.get()).ok())?
}

impl Field for String {
    const KIND: FieldKind = FieldKind::String;

    fn empty() -> Option<Self> {
        Some(Self::new())
    }

    /// Numbers and booleans are taken as they are written.
    fn read(raw: &RawValue) -> Result<Self, BadValue> {
        let json = raw.get();
        match json.as_bytes().first() {
            Some(b'{' | b'[') => Err(BadValue("text")),
            Some(b'"') => text_of(raw).ok_or(BadValue("text")),
            _ => Ok(json.to_owned()),
        }
    }

    fn write(&self, out: &mut Vec<u8>) -> bool {
        write_string(out, self);
        true
    }
}

impl Field for bool {
    const KIND: FieldKind = FieldKind::Boolean;

    fn empty() -> Option<Self> {
        Some(false)
    }

    fn read(raw: &RawValue) -> Result<Self, BadValue> {
        match String::read(raw).unwrap_or_default().as_str() {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
            _ => Err(BadValue("true or false")),
        }
    }

    fn write(&self, out: &mut Vec<u8>) -> bool {
        out.extend_from_slice(if *self { b"true" } else { b"false" });
        true
    }
}

impl LeaseSafe for bool {}

macro_rules! integer_field {
    ($($integer:ty),*) => {$(
        impl Field for $integer {
            const KIND: FieldKind = FieldKind::Integer;

            fn empty() -> Option<Self> {
                Some(0)
            }

            fn read(raw: &RawValue) -> Result<Self, BadValue> {
                let text = String::read(raw).unwrap_or_default();
                text.trim().parse().map_err(|_| BadValue(concat!("a whole number (", stringify!($integer), ")")))
            }

            fn write(&self, out: &mut Vec<u8>) -> bool {
                out.extend_from_slice(self.to_string().as_bytes());
                true
            }
        }

        impl LeaseSafe for $integer {}
    )*};
}
integer_field!(i64, u64, u32, u16);

/// A duration in whole seconds: read from a number, `"3600"` or `"1h"`, written as a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct DurationSecs(pub Ttl);

impl Field for DurationSecs {
    const KIND: FieldKind = FieldKind::Duration;

    fn empty() -> Option<Self> {
        Some(Self::default())
    }

    fn read(raw: &RawValue) -> Result<Self, BadValue> {
        const BAD: BadValue = BadValue("a duration such as 3600 or \"1h\"");
        let text = String::read(raw).map_err(|_| BAD)?;
        let nanos = u64::try_from(parse_nanos(&text).map_err(|_| BAD)?).map_err(|_| BAD)?;
        Ok(Self(Ttl::from_secs(nanos / 1_000_000_000)))
    }

    fn write(&self, out: &mut Vec<u8>) -> bool {
        self.0.as_secs().write(out)
    }
}

impl LeaseSafe for DurationSecs {}

/// A list of texts: read from a JSON list or from `"a,b"`, written as a list. Blanks around the
/// parts and empty parts go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommaList(pub Vec<String>);

impl Field for CommaList {
    const KIND: FieldKind = FieldKind::CommaList;

    fn empty() -> Option<Self> {
        Some(Self::default())
    }

    fn read(raw: &RawValue) -> Result<Self, BadValue> {
        const BAD: BadValue = BadValue("a list of texts, or one text with commas");
        let parts: Vec<String> = if raw.get().starts_with('[') {
            let items: Vec<&RawValue> = serde_json::from_str(raw.get()).map_err(|_| BAD)?;
            items.into_iter().map(String::read).collect::<Result<_, _>>().map_err(|_| BAD)?
        } else {
            let text = String::read(raw).map_err(|_| BAD)?;
            text.split(',').map(str::to_owned).collect()
        };
        let trimmed = parts.iter().map(|part| part.trim().to_owned());
        Ok(Self(trimmed.filter(|part| !part.is_empty()).collect()))
    }

    fn write(&self, out: &mut Vec<u8>) -> bool {
        out.push(b'[');
        for (index, part) in self.0.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            write_string(out, part);
        }
        out.push(b']');
        true
    }
}

/// Names with texts: read from an object, a list of `k=v`, or `"k=v,k2=v2"`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyValues(pub BTreeMap<String, String>);

impl Field for KeyValues {
    const KIND: FieldKind = FieldKind::KeyValues;

    fn empty() -> Option<Self> {
        Some(Self::default())
    }

    fn read(raw: &RawValue) -> Result<Self, BadValue> {
        const BAD: BadValue = BadValue("an object of texts, or texts of the form name=value");
        if raw.get().starts_with('{') {
            let pairs: BTreeMap<String, &RawValue> =
                serde_json::from_str(raw.get()).map_err(|_| BAD)?;
            let read = |(name, value): (String, &RawValue)| Ok((name, String::read(value)?));
            let pairs = pairs.into_iter().map(read).collect::<Result<_, BadValue>>();
            return pairs.map(Self).map_err(|_| BAD);
        }
        let split = |part: String| {
            let (name, value) = part.split_once('=').ok_or(BAD)?;
            Ok((name.trim().to_owned(), value.to_owned()))
        };
        CommaList::read(raw)
            .map_err(|_| BAD)?
            .0
            .into_iter()
            .map(split)
            .collect::<Result<_, _>>()
            .map(Self)
    }

    fn write(&self, out: &mut Vec<u8>) -> bool {
        out.push(b'{');
        for (index, (name, value)) in self.0.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            write_string(out, name);
            out.push(b':');
            write_string(out, value);
        }
        out.push(b'}');
        true
    }
}

/// The base URL of an outside HTTP API: `http` or `https`, a host, no user, query or fragment. A
/// trailing slash goes, so that paths can be appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl(String);

impl BaseUrl {
    /// Checks a URL.
    pub fn parse(text: &str) -> Option<Self> {
        let uri: http::Uri = text.parse().ok()?;
        let plain = matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.query().is_none()
            && !text.contains('#')
            && uri.authority().is_some_and(|a| !a.host().is_empty() && !a.as_str().contains('@'));
        plain.then(|| Self(text.trim_end_matches('/').to_owned()))
    }

    /// The URL with a path behind it; `path` starts with a slash.
    pub fn join(&self, path: &str) -> String {
        format!("{}{path}", self.0)
    }

    /// The URL as text, without a trailing slash.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Field for BaseUrl {
    const KIND: FieldKind = FieldKind::String;

    fn empty() -> Option<Self> {
        None
    }

    fn read(raw: &RawValue) -> Result<Self, BadValue> {
        let text = text_of(raw).unwrap_or_default();
        Self::parse(&text).ok_or(BadValue("a URL such as https://api.example.com"))
    }

    fn write(&self, out: &mut Vec<u8>) -> bool {
        write_string(out, &self.0);
        true
    }
}

/// Names something in an outside system without opening it: an id, an accessor, a user name. Safe
/// to keep with a lease, and to log.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identifier(String);

impl Identifier {
    /// Up to 512 bytes of printable text.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = !text.is_empty() && text.len() <= 512;
        let plain = text.chars().all(strongroom_types::path::is_printable);
        (fits && plain).then(|| Self(text.to_owned()))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Field for Identifier {
    const KIND: FieldKind = FieldKind::String;

    fn empty() -> Option<Self> {
        None
    }

    fn read(raw: &RawValue) -> Result<Self, BadValue> {
        Self::parse(&text_of(raw).unwrap_or_default())
            .ok_or(BadValue("an identifier of 1 to 512 printable characters"))
    }

    fn write(&self, out: &mut Vec<u8>) -> bool {
        write_string(out, &self.0);
        true
    }
}

impl LeaseSafe for Identifier {}

impl Field for Secret<String> {
    const KIND: FieldKind = FieldKind::String;
    const SECRET: bool = true;

    fn empty() -> Option<Self> {
        None
    }

    fn read(raw: &RawValue) -> Result<Self, BadValue> {
        match text_of(raw) {
            Some(text) if !text.is_empty() => Ok(Self::new(text)),
            _ => Err(BadValue("text that is not empty")),
        }
    }

    fn write(&self, out: &mut Vec<u8>) -> bool {
        write_string(out, self.expose_secret());
        true
    }
}

impl<F: Field> Field for Option<F> {
    const KIND: FieldKind = F::KIND;
    const SECRET: bool = F::SECRET;

    fn empty() -> Option<Self> {
        Some(None)
    }

    fn read(raw: &RawValue) -> Result<Self, BadValue> {
        F::read(raw).map(Some)
    }

    fn write(&self, out: &mut Vec<u8>) -> bool {
        self.as_ref().is_some_and(|value| value.write(out))
    }
}

impl<F: LeaseSafe> LeaseSafe for Option<F> {}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<F: Field>(json: &str) -> Result<F, BadValue> {
        F::read(serde_json::from_str::<&RawValue>(json).unwrap())
    }

    fn list(parts: &[&str]) -> CommaList {
        CommaList(parts.iter().map(|part| (*part).to_owned()).collect())
    }

    #[test]
    fn takes_every_form_clients_use() {
        for json in ["3600", "\"3600\"", "\"1h\"", "3600.7", "\"60m\""] {
            assert_eq!(read::<DurationSecs>(json).unwrap().0, Ttl::from_secs(3600), "{json}");
        }
        for json in ["[\"a\",\"b\"]", "\"a,b\"", "\" a , b ,\"", "[\" a\",\"\",\"b\"]"] {
            assert_eq!(read::<CommaList>(json).unwrap(), list(&["a", "b"]), "{json}");
        }
        for json in ["{\"k\":\"v\",\"n\":1}", "[\"k=v\",\"n=1\"]", "\"k=v,n=1\""] {
            let pairs = read::<KeyValues>(json).unwrap().0;
            assert_eq!(
                pairs.into_iter().collect::<Vec<_>>(),
                [("k".into(), "v".into()), ("n".into(), "1".into())]
            );
        }
        for json in ["true", "\"true\"", "1", "\"1\"", "\"T\""] {
            assert!(read::<bool>(json).unwrap(), "{json}");
        }
        for json in ["7", "\"7\"", "\" 7 \""] {
            assert_eq!(read::<i64>(json).unwrap(), 7);
        }
        assert_eq!(read::<String>("12345678901234567890").unwrap(), "12345678901234567890");
    }

    #[test]
    fn refusals_never_repeat_the_value() {
        let secret = "\"hunter2\"";
        let errors = [
            read::<DurationSecs>(secret).unwrap_err(),
            read::<bool>(secret).unwrap_err(),
            read::<i64>(secret).unwrap_err(),
            read::<BaseUrl>(secret).unwrap_err(),
            read::<KeyValues>(secret).unwrap_err(),
        ];
        for error in errors {
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
        assert!(read::<String>("{\"a\":1}").is_err());
        assert!(read::<DurationSecs>("-1").is_err());
        assert!(read::<Secret<String>>("\"\"").is_err());
        assert!(read::<Secret<String>>("17").is_err());
        assert!(read::<Identifier>("\"a\\nb\"").is_err());
        assert!(read::<u16>("70000").is_err());
    }

    #[test]
    fn base_urls_are_plain() {
        for good in ["http://127.0.0.1:8080", "https://api.example.com/v2/", "http://[::1]:80"] {
            assert!(BaseUrl::parse(good).is_some(), "{good}");
        }
        for bad in [
            "",
            "ftp://a",
            "api.example.com",
            "http://",
            "https://u:p@h",
            "http://h/?a=b",
            "http://h/#a",
            "/a",
        ] {
            assert!(BaseUrl::parse(bad).is_none(), "{bad}");
        }
        assert_eq!(BaseUrl::parse("http://h/v2/").unwrap().join("/tokens"), "http://h/v2/tokens");
    }

    #[test]
    fn objects_leave_out_what_is_not_there() {
        let mut out = ObjectWriter::new();
        out.field("none", &None::<String>);
        out.field("a", &1_u64);
        out.field("b", &None::<i64>);
        out.field("c", &list(&["x\"y"]));
        assert_eq!(out.finish().as_bytes(), br#"{"a":1,"c":["x\"y"]}"#);
        assert_eq!(ObjectWriter::new().finish().as_bytes(), b"{}");
    }
}
