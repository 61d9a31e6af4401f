//! [`HeaderList`]: HTTP headers that an operator configures.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::value::RawValue;
use strongroom_types::fields::write_string;

use super::kinds::{string_value, write_array};
use super::{Field, FieldKind, InvalidValue};

/// The maximum number of values of all headers together.
const MAX_VALUES: usize = 256;

/// HTTP headers with one or more values each. Vault's name for it is `framework.TypeHeader`.
/// Parsed from
///
/// - an object with a text or a list of texts per name: `{"X-Team": "a", "Accept": ["b", "c"]}`
/// - the same object as JSON in a text, or as base64 of that
/// - a list of texts, or one text with commas, of the form `name:value`
///
/// and written as an object of lists. Names have the form that Go gives them (`Content-Type`); of
/// names that differ only in case the values are joined. At most 256 values. `Debug` prints names
/// only, since values may be secret.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct HeaderList(BTreeMap<String, Vec<String>>);

impl HeaderList {
    /// The names, each with its values in the order in which they were given.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[String])> {
        self.0.iter().map(|(name, values)| (name.as_str(), values.as_slice()))
    }

    /// The values of a header, whose name may be in any case; empty if it isn't in the list.
    pub fn values(&self, name: &str) -> &[String] {
        self.0.get(&canonical_name(name)).map_or(&[], Vec::as_slice)
    }

    /// Whether the list contains no header.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a value; `None` if the name or the value can't be part of an HTTP message, or there
    /// are too many values.
    fn add_value(&mut self, name: &str, value: &str) -> Option<()> {
        let (name, value) = (name.trim(), value.trim());
        let count: usize = self.0.values().map(Vec::len).sum();
        let is_valid = http::HeaderName::from_bytes(name.as_bytes()).is_ok()
            && http::HeaderValue::from_str(value).is_ok();
        if !is_valid || count >= MAX_VALUES {
            return None;
        }
        self.0.entry(canonical_name(name)).or_default().push(value.to_owned());
        Some(())
    }

    fn from_object(json: &str) -> Option<Self> {
        let object: BTreeMap<String, &RawValue> = serde_json::from_str(json).ok()?;
        let mut headers = Self::default();
        for (name, value) in object {
            if value.get().starts_with('[') {
                let values: Vec<&RawValue> = serde_json::from_str(value.get()).ok()?;
                for value in values {
                    headers.add_value(&name, &String::read(value).ok()?)?;
                }
            } else {
                headers.add_value(&name, &String::read(value).ok()?)?;
            }
        }
        Some(headers)
    }

    fn from_pairs<'t>(pairs: impl Iterator<Item = &'t str>) -> Option<Self> {
        let mut headers = Self::default();
        for pair in pairs.map(str::trim).filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once(':')?;
            headers.add_value(name, value)?;
        }
        Some(headers)
    }

    fn from_text(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.starts_with('{') {
            return Self::from_object(text);
        }
        // Base64 contains no colon, and a pair contains at least one.
        if text.contains(':') || text.is_empty() {
            return Self::from_pairs(text.split(','));
        }
        let json = data_encoding::BASE64.decode(text.as_bytes()).ok()?;
        Self::from_object(std::str::from_utf8(&json).ok()?)
    }
}

/// The name with a capital at the start and after each hyphen, and small letters otherwise.
fn canonical_name(name: &str) -> String {
    let mut starts_word = true;
    let canonical = name.chars().map(|c| {
        let cased = if starts_word { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() };
        starts_word = c == '-';
        cased
    });
    canonical.collect()
}

impl fmt::Debug for HeaderList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Field for HeaderList {
    const KIND: FieldKind = FieldKind::Headers;

    fn value_if_absent() -> Option<Self> {
        Some(Self::default())
    }

    fn read(raw: &RawValue) -> Result<Self, InvalidValue> {
        const BAD: InvalidValue = InvalidValue(
            "at most 256 HTTP headers: an object of texts or lists of texts, that object in \
             base64, or texts of the form name:value",
        );
        let json = raw.get();
        let headers = match json.as_bytes().first() {
            Some(b'{') => Self::from_object(json),
            Some(b'[') => {
                let texts: Option<Vec<String>> = serde_json::from_str(json).ok();
                texts.and_then(|texts| Self::from_pairs(texts.iter().map(String::as_str)))
            }
            _ => string_value(raw).and_then(|text| Self::from_text(&text)),
        };
        headers.ok_or(BAD)
    }

    fn write(&self, out: &mut Vec<u8>) -> bool {
        out.push(b'{');
        for (index, (name, values)) in self.0.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            write_string(out, name);
            out.push(b':');
            write_array(out, values, |out, value| write_string(out, value));
        }
        out.push(b'}');
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::testing::{read_field, write_field};

    #[test]
    fn every_form_gives_the_same_headers() {
        let object = r#"{"x-team":"a","ACCEPT":["b","c"]}"#;
        let base64 = data_encoding::BASE64.encode(object.as_bytes());
        for json in [
            object.to_owned(),
            serde_json::to_string(object).unwrap(),
            format!("\"{base64}\""),
            r#"["x-team:a","accept: b","Accept:c"]"#.to_owned(),
            r#""accept:b, Accept:c,x-team:a""#.to_owned(),
        ] {
            let headers = read_field::<HeaderList>(&json).unwrap();
            assert_eq!(write_field(&headers), r#"{"Accept":["b","c"],"X-Team":["a"]}"#, "{json}");
            assert_eq!(headers.values("X-TEAM"), ["a"]);
            assert_eq!(read_field::<HeaderList>(&write_field(&headers)), Ok(headers));
        }
        for json in ["\"\"", "{}", "[]"] {
            assert!(read_field::<HeaderList>(json).unwrap().is_empty(), "{json}");
        }
        let later = read_field::<HeaderList>(r#"["authorization: a:b"]"#).unwrap();
        assert_eq!(later.values("Authorization"), ["a:b"]);
    }

    #[test]
    fn what_is_no_header_is_refused() {
        for json in [
            r#"{"a b":"c"}"#,
            r#"{"":"c"}"#,
            r#"{"a":"b\r\nc: d"}"#,
            r#"{"a":{"b":"c"}}"#,
            r#"{"a":[["b"]]}"#,
            r#"["a"]"#,
            r#""hunter2""#,
            r#""a:b,c""#,
            "17",
            "true",
        ] {
            let error = read_field::<HeaderList>(json).unwrap_err();
            assert!(!error.to_string().contains("hunter2"), "{json}");
        }
        let many = |count: usize| format!("[{}]", vec!["\"a:b\""; count].join(","));
        assert!(read_field::<HeaderList>(&many(MAX_VALUES)).is_ok());
        assert!(read_field::<HeaderList>(&many(MAX_VALUES + 1)).is_err());
    }

    #[test]
    fn debug_prints_names_only() {
        let headers = read_field::<HeaderList>(r#"{"authorization":"hunter2"}"#).unwrap();
        assert_eq!(format!("{headers:?}"), "{\"Authorization\"}");
    }
}
