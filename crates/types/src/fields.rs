//! The top-level JSON object of a request or a response.
//!
//! A body is read once: checked against limits and split into top-level fields of raw JSON. Policy
//! evaluation, existence check and engine all use this one object, and what is forwarded is rebuilt
//! from it, so no two parsers can disagree. Values are kept as written: numbers keep their digits.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use memchr::memchr2;
use serde::de::{Deserializer as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::secret::Wipe;

/// Limits on a JSON body, checked before anything is allocated for it.
#[derive(Clone, Copy, Debug)]
pub struct JsonLimits {
    /// Maximum nesting depth of objects and arrays.
    pub depth: usize,
    /// Maximum number of strings, keys included.
    pub strings: usize,
    /// Maximum number of objects, arrays, numbers, booleans and nulls together.
    pub values: usize,
}

impl Default for JsonLimits {
    /// Large enough for a KV write of tens of thousands of pairs, small enough to stop memory
    /// exhaustion.
    fn default() -> Self {
        Self { depth: 64, strings: 100_000, values: 200_000 }
    }
}

/// Why a JSON body is refused. Never repeats any part of the body, which may hold a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidJson {
    /// The body isn't valid JSON, or contains an unpaired surrogate escape.
    #[error("failed to decode JSON input: {what} at line {line} column {column}")]
    Syntax {
        /// What is wrong, without quoting the input.
        what: &'static str,
        /// Line of the error, counted from 1.
        line: usize,
        /// Column of the error, counted from 1.
        column: usize,
    },
    /// The body is valid JSON but not an object.
    #[error("failed to decode JSON input: the body must be a JSON object")]
    NotAnObject,
    /// The body exceeds a limit of [`JsonLimits`]; the value names which.
    #[error("refused JSON input due to high complexity: exceeded maximum {0}")]
    TooComplex(&'static str),
}

/// A JSON object as a map from top-level field name to raw JSON. Of duplicate keys the last one
/// wins, as in Go. Clones share the values until one of them is modified.
#[derive(Clone, Default)]
pub struct Fields(Option<Arc<FieldMap>>);

type FieldMap = BTreeMap<String, Box<RawValue>>;

static EMPTY_FIELDS: FieldMap = BTreeMap::new();

/// Estimated memory per field in bytes, beside its name and value: two allocations and its share of
/// a map node, rounded up.
pub const FIELD_OVERHEAD: usize = 160;

/// A body that passed [`Fields::check_body`] and is not parsed yet.
#[derive(Clone, Copy)]
pub struct CheckedBody<'b> {
    body: &'b [u8],
    field_count: usize,
}

impl CheckedBody<'_> {
    /// Number of top-level fields, duplicates included.
    pub fn field_count(&self) -> usize {
        self.field_count
    }

    /// Upper bound on the memory, in bytes, that the parsed fields will take.
    pub fn estimated_bytes(&self) -> usize {
        self.body.len().saturating_add(self.field_count.saturating_mul(FIELD_OVERHEAD))
    }

    /// Parses the fields. An empty body (or only white space, or `null`) gives no fields.
    ///
    /// # Errors
    ///
    /// If the body isn't valid JSON, or isn't an object.
    pub fn parse(self) -> Result<Fields, InvalidJson> {
        let text = self.body.trim_ascii();
        if text.is_empty() || text == b"null" {
            return Ok(Fields::new());
        }
        if text.first() != Some(&b'{') {
            return match serde_json::from_slice::<&RawValue>(text) {
                Ok(_) => Err(InvalidJson::NotAnObject),
                Err(error) => Err(syntax_error(&error)),
            };
        }
        Fields::read(text).map_err(|error| syntax_error(&error))
    }
}

impl Fields {
    /// An empty object, which takes no memory of its own.
    pub fn new() -> Self {
        Self::default()
    }

    /// Checks and parses a body. An empty one (or only white space, or `null`) gives no fields.
    ///
    /// # Errors
    ///
    /// If the body exceeds a limit, isn't valid JSON, or isn't an object.
    pub fn parse(body: &[u8], limits: &JsonLimits) -> Result<Self, InvalidJson> {
        Self::check_body(body, limits)?.parse()
    }

    /// Checks a body against the limits and estimates the memory its fields will take, without
    /// allocating for them.
    ///
    /// # Errors
    ///
    /// If a limit is exceeded, or a string contains an unpaired surrogate escape.
    pub fn check_body<'b>(
        body: &'b [u8],
        limits: &JsonLimits,
    ) -> Result<CheckedBody<'b>, InvalidJson> {
        let fields = check_limits(body, limits)?;
        Ok(CheckedBody { body, field_count: fields })
    }

    /// Parses an object written by this server or one of its engines. The strict limits for client
    /// input don't apply; nesting is limited to 512.
    ///
    /// # Errors
    ///
    /// If the bytes aren't valid JSON, aren't an object, or are nested too deeply.
    pub fn from_trusted(object: &[u8]) -> Result<Self, InvalidJson> {
        Self::parse(object, &JsonLimits { depth: 512, strings: usize::MAX, values: usize::MAX })
    }

    fn read(text: &[u8]) -> Result<Self, serde_json::Error> {
        struct ObjectVisitor;

        impl<'de> Visitor<'de> for ObjectVisitor {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = BTreeMap::new();
                while let Some((key, value)) = map.next_entry::<String, Box<RawValue>>()? {
                    fields.insert(key, value);
                }
                Ok(Fields::from_map(fields))
            }
        }
        let mut reader = serde_json::Deserializer::from_slice(text);
        let fields = reader.deserialize_map(ObjectVisitor)?;
        reader.end()?;
        Ok(fields)
    }

    fn from_map(map: FieldMap) -> Self {
        Self(if map.is_empty() { None } else { Some(Arc::new(map)) })
    }

    fn as_map(&self) -> &FieldMap {
        self.0.as_deref().unwrap_or(&EMPTY_FIELDS)
    }

    fn as_map_mut(&mut self) -> &mut FieldMap {
        Arc::make_mut(self.0.get_or_insert_default())
    }

    /// The raw JSON of the field `name`, or `None` if the object has no such field.
    pub fn get(&self, name: &str) -> Option<&RawValue> {
        self.as_map().get(name).map(|raw| &**raw)
    }

    /// Whether the field is present, whatever its value (including `null`).
    pub fn contains(&self, name: &str) -> bool {
        self.as_map().contains_key(name)
    }

    /// Sets the field to raw JSON, replacing any previous value.
    pub fn set_raw(&mut self, name: impl Into<String>, value: Box<RawValue>) {
        self.as_map_mut().insert(name.into(), value);
    }

    /// Sets the field to the JSON form of `value`, or to `null` if `value` can't be serialised.
    pub fn set(&mut self, name: impl Into<String>, value: &impl serde::Serialize) {
        // Callers pass plain data, for which serialisation doesn't fail.
        let raw =
            serde_json::value::to_raw_value(value).unwrap_or_else(|_| RawValue::NULL.to_owned());
        self.as_map_mut().insert(name.into(), raw);
    }

    /// Removes the field and returns its raw JSON, or `None` if it wasn't present.
    pub fn remove(&mut self, name: &str) -> Option<Box<RawValue>> {
        // Avoids copying a shared map when there is nothing to remove.
        if self.contains(name) { self.as_map_mut().remove(name) } else { None }
    }

    /// Overwrites the values in memory, for fields that held a secret and are no longer needed.
    /// Values still shared with a clone are left unchanged.
    pub fn wipe(self) {
        for value in self.0.and_then(Arc::into_inner).unwrap_or_default().into_values() {
            String::from(Box::<str>::from(value)).wipe();
        }
    }

    /// Iterates over names and raw JSON values, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &RawValue)> {
        self.as_map().iter().map(|(name, raw)| (name.as_str(), &**raw))
    }

    /// Number of fields at the top level.
    pub fn len(&self) -> usize {
        self.as_map().len()
    }

    /// Whether the object has no fields.
    pub fn is_empty(&self) -> bool {
        self.as_map().is_empty()
    }

    /// The field decoded as text, or `None` if it is missing or isn't a JSON string.
    pub fn text(&self, name: &str) -> Option<String> {
        serde_json::from_str(self.get(name)?.get()).ok()
    }

    /// Serialises the fields into one JSON object, sorted by name.
    pub fn to_object(&self) -> RawObject {
        let size: usize = self.as_map().iter().map(|(k, v)| k.len() + v.get().len() + 4).sum();
        let mut json = Vec::with_capacity(size + 2);
        json.push(b'{');
        for (index, (name, raw)) in self.as_map().iter().enumerate() {
            if index > 0 {
                json.push(b',');
            }
            write_string(&mut json, name);
            json.push(b':');
            json.extend_from_slice(raw.get().as_bytes());
        }
        json.push(b'}');
        RawObject(json.into())
    }
}

impl fmt::Debug for Fields {
    /// Prints names only: values may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.as_map().keys()).finish()
    }
}

impl FromIterator<(String, Box<RawValue>)> for Fields {
    fn from_iter<I: IntoIterator<Item = (String, Box<RawValue>)>>(pairs: I) -> Self {
        Self::from_map(pairs.into_iter().collect())
    }
}

/// A serialised JSON object. Engines return one as response data, which is copied into the response
/// envelope unchanged.
#[derive(Clone, PartialEq, Eq)]
pub struct RawObject(Bytes);

impl RawObject {
    /// The empty object, `{}`, without an allocation.
    pub fn empty() -> Self {
        Self(Bytes::from_static(b"{}"))
    }

    /// `null`, which some responses contain instead of an object.
    pub fn null() -> Self {
        Self(Bytes::from_static(b"null"))
    }

    /// Checks that the bytes are one JSON object, and keeps them unchanged.
    ///
    /// # Errors
    ///
    /// If the bytes aren't valid JSON or aren't an object.
    pub fn from_json(json: impl Into<Bytes>) -> Result<Self, InvalidJson> {
        let json = json.into();
        // Parsing as `Fields` is the check.
        Fields::from_trusted(&json)?;
        if json.trim_ascii().first() == Some(&b'{') {
            Ok(Self(json))
        } else {
            Err(InvalidJson::NotAnObject)
        }
    }

    /// Wraps bytes without checking them: only for JSON objects that this server wrote, or checked
    /// when it stored them.
    pub fn from_own_json(json: impl Into<Bytes>) -> Self {
        Self(json.into())
    }

    /// Serialises a value whose JSON form is an object: a struct or a map with string keys.
    ///
    /// # Errors
    ///
    /// If the value can't be serialised or isn't an object.
    pub fn from_serialize(value: &impl serde::Serialize) -> Result<Self, InvalidJson> {
        match serde_json::to_vec(value) {
            Ok(json) if json.first() == Some(&b'{') => Ok(Self(json.into())),
            _ => Err(InvalidJson::NotAnObject),
        }
    }

    /// The JSON text of the object.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The JSON text of the object, without copying.
    pub fn into_bytes(self) -> Bytes {
        self.0
    }

    /// Whether the object has no fields.
    pub fn is_empty(&self) -> bool {
        let inner = self.0.trim_ascii();
        inner.strip_prefix(b"{").is_some_and(|rest| rest.trim_ascii_start() == b"}")
    }

    /// Splits the object into fields; gives no fields if it isn't valid JSON.
    pub fn fields(&self) -> Fields {
        Fields::from_trusted(&self.0).unwrap_or_default()
    }
}

impl fmt::Debug for RawObject {
    /// Prints the size only: the content may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RawObject({} bytes)", self.0.len())
    }
}

/// Appends `text` to `out` as a quoted and escaped JSON string.
pub fn write_string(out: &mut Vec<u8>, text: &str) {
    // Writing a string into memory can't fail.
    let _ = serde_json::to_writer(out, text);
}

/// Scans the bytes once, before parsing, to check depth, counts and surrogate pairs. Accepts a
/// superset of JSON; the parser that runs afterwards checks the syntax. Returns the number of
/// top-level fields.
fn check_limits(body: &[u8], limits: &JsonLimits) -> Result<usize, InvalidJson> {
    let (mut depth, mut strings, mut values) = (0_usize, 0_usize, 0_usize);
    let mut fields = 0_usize;
    let mut bytes = body.iter();
    let mut in_scalar = false;
    while let Some(byte) = bytes.next() {
        let starts_scalar = match byte {
            b'"' => {
                strings += 1;
                loop {
                    let Some(at) = memchr2(b'"', b'\\', bytes.as_slice()) else {
                        // The string is unterminated.
                        bytes = [].iter();
                        break;
                    };
                    if bytes.nth(at) == Some(&b'"') {
                        break;
                    }
                    if bytes.next() == Some(&b'u') {
                        let rest = bytes.as_slice();
                        let skipped =
                            escape_len(rest).ok_or_else(|| lone_surrogate_error(body, rest))?;
                        bytes = rest.get(skipped..).unwrap_or_default().iter();
                    }
                }
                false
            }
            b'{' | b'[' => {
                depth += 1;
                values += 1;
                false
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                false
            }
            b':' => {
                if depth == 1 {
                    fields += 1;
                }
                false
            }
            b',' | b' ' | b'\t' | b'\n' | b'\r' => false,
            _ => true,
        };
        if starts_scalar && !in_scalar {
            values += 1;
        }
        in_scalar = starts_scalar;
        if depth > limits.depth {
            return Err(InvalidJson::TooComplex("depth"));
        }
        if strings > limits.strings {
            return Err(InvalidJson::TooComplex("number of strings"));
        }
        if values > limits.values {
            return Err(InvalidJson::TooComplex("number of values"));
        }
    }
    Ok(fields)
}

/// The number of bytes after `\u` that belong to one character. Zero if they aren't hex digits,
/// which the parser refuses later. `None` for an unpaired surrogate: the parser doesn't check the
/// escapes of raw values, and decoding the field as text would fail later.
fn escape_len(rest: &[u8]) -> Option<usize> {
    let code = |at: usize| {
        let digits = std::str::from_utf8(rest.get(at..at + 4)?).ok()?;
        u16::from_str_radix(digits, 16).ok()
    };
    match code(0) {
        Some(0xD800..=0xDBFF) => {
            let second = (rest.get(4..6) == Some(b"\\u")).then(|| code(6)).flatten();
            matches!(second, Some(0xDC00..=0xDFFF)).then_some(10)
        }
        Some(0xDC00..=0xDFFF) => None,
        Some(_) => Some(4),
        None => Some(0),
    }
}

fn lone_surrogate_error(body: &[u8], rest: &[u8]) -> InvalidJson {
    let read = body.get(..body.len().saturating_sub(rest.len())).unwrap_or_default();
    let line = read.iter().filter(|byte| **byte == b'\n').count() + 1;
    let column = read.rsplit(|byte| *byte == b'\n').next().map_or(0, <[u8]>::len);
    InvalidJson::Syntax { what: "invalid JSON", line, column }
}

/// Messages of serde_json may quote the input (`invalid type: string "hunter2"`), so only the
/// category and the position are passed on.
fn syntax_error(error: &serde_json::Error) -> InvalidJson {
    use serde_json::error::Category;
    let what = match error.classify() {
        Category::Eof => "unexpected end of JSON input",
        Category::Syntax | Category::Data | Category::Io => "invalid JSON",
    };
    InvalidJson::Syntax { what, line: error.line(), column: error.column() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(body: &str) -> Result<Fields, InvalidJson> {
        Fields::parse(body.as_bytes(), &JsonLimits::default())
    }

    #[test]
    fn keeps_values_as_written() {
        let body = r#"{"n":12345678901234567890,"d":1.10,"e":1e3,"s":"a\u0041","o":{"x": [1, 2]}}"#;
        let fields = parse(body).unwrap();
        assert_eq!(fields.get("n").unwrap().get(), "12345678901234567890");
        assert_eq!(fields.get("d").unwrap().get(), "1.10");
        assert_eq!(fields.get("e").unwrap().get(), "1e3");
        assert_eq!(fields.get("o").unwrap().get(), r#"{"x": [1, 2]}"#);
        assert_eq!(fields.text("s").unwrap(), "aA");
        let again = Fields::parse(fields.to_object().as_bytes(), &JsonLimits::default()).unwrap();
        assert_eq!(again.to_object(), fields.to_object());
    }

    #[test]
    fn a_changed_clone_leaves_the_other_as_it_was() {
        let first = parse(r#"{"a":1,"b":2}"#).unwrap();
        let mut second = first.clone();
        assert!(second.remove("c").is_none());
        assert!(std::ptr::eq(first.get("a").unwrap(), second.get("a").unwrap()), "not copied");
        assert_eq!(second.remove("a").unwrap().get(), "1");
        second.set("b", &3);
        assert_eq!(first.to_object().as_bytes(), br#"{"a":1,"b":2}"#);
        assert_eq!(second.to_object().as_bytes(), br#"{"b":3}"#);
    }

    #[test]
    fn last_duplicate_wins_even_when_spelled_differently() {
        let fields = parse(r#"{"a":1,"\u0061":2}"#).unwrap();
        assert_eq!(fields.get("a").unwrap().get(), "2");
        assert_eq!(fields.len(), 1);
    }

    #[test]
    fn a_lone_surrogate_is_refused() {
        for body in [
            r#"{"a":"\ud800"}"#,
            r#"{"a":"\udc00"}"#,
            r#"{"a":["\ud800\u0041"]}"#,
            r#"{"a":"\ud800\ud800"}"#,
            r#"{"a":"\uD83D x"}"#,
            r#"{"\udfff":1}"#,
        ] {
            assert!(matches!(parse(body), Err(InvalidJson::Syntax { .. })), "{body}");
        }
        let place = InvalidJson::Syntax { what: "invalid JSON", line: 2, column: 7 };
        assert_eq!(parse("{\n\"a\":\"\\ud800\"}").unwrap_err(), place);
        let fields = parse(r#"{"a":"\ud83d\ude00","b":"\\ud800"}"#).unwrap();
        assert_eq!(fields.text("a").as_deref(), Some("\u{1f600}"));
        assert_eq!(fields.text("b").as_deref(), Some("\\ud800"));
    }

    #[test]
    fn an_empty_body_has_no_fields() {
        for body in ["", "  \n", "null", "{}"] {
            assert!(parse(body).unwrap().is_empty());
        }
    }

    #[test]
    fn cve_2025_4166_and_cve_2025_52893_errors_never_repeat_the_input() {
        for body in [
            r#"["hunter2"]"#,
            r#"{"a":hunter2}"#,
            r#"{"hunter2"}"#,
            "\"hunter2\"",
            r#"{"a":"hunter2"#,
            r#"{"a":1} hunter2"#,
        ] {
            let error = parse(body).unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
            assert!(error.starts_with("failed to decode JSON input: "), "{error}");
        }
    }

    #[test]
    fn cve_2025_6203_and_cve_2025_59043_limits_hold_before_parsing() {
        let limits = JsonLimits { depth: 3, strings: 4, values: 6 };
        let refused = |body: &str| Fields::parse(body.as_bytes(), &limits).unwrap_err();
        assert_eq!(refused(r#"{"a":[[[1]]]}"#), InvalidJson::TooComplex("depth"));
        assert_eq!(
            refused(r#"{"a":"b","c":"d","e":1}"#),
            InvalidJson::TooComplex("number of strings")
        );
        assert_eq!(refused(r#"{"a":[1,2,3,4,5]}"#), InvalidJson::TooComplex("number of values"));
        // Even where the parser would stop earlier.
        assert_eq!(refused(&"[".repeat(100_000)), InvalidJson::TooComplex("depth"));
        assert!(Fields::parse(br#"{"a":["]]]]","\"{{{"]}"#, &limits).is_ok());
    }

    #[test]
    fn debug_shows_names_not_values() {
        let fields = parse(r#"{"password":"hunter2"}"#).unwrap();
        let shown = format!("{fields:?} {:?}", fields.to_object());
        assert!(shown.contains("password") && !shown.contains("hunter2"), "{shown}");
    }

    proptest::proptest! {
        #[test]
        fn never_panics(body in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let _ = Fields::parse(&body, &JsonLimits::default());
        }

        #[test]
        fn agrees_with_serde_json(text in r#"[{}\[\]",:a1 \\nul]{0,24}"#) {
            let ours = parse(&text).is_ok_and(|f| !f.is_empty());
            let theirs = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&text)
                .is_ok_and(|m| !m.is_empty());
            proptest::prop_assert_eq!(ours, theirs);
        }
    }
}
