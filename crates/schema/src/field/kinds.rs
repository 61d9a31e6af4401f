//! The field kinds: Rust types that can be fields, and how each is parsed and written.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::value::RawValue;
use strongroom_types::fields::write_string;
use strongroom_types::{Secret, Ttl, parse_bool};

use super::{Field, FieldKind, InvalidValue, LeaseSafe};

/// The unescaped value of a JSON string; `None` for any other JSON value.
pub(super) fn string_value(raw: &RawValue) -> Option<String> {
    raw.get().starts_with('"').then(|| serde_json::from_str(raw.get()).ok())?
}

impl Field for String {
    const KIND: FieldKind = FieldKind::String;

    fn value_if_absent() -> Option<Self> {
        Some(Self::new())
    }

    /// Numbers and booleans are taken as they are written.
    fn read(raw: &RawValue) -> Result<Self, InvalidValue> {
        let json = raw.get();
        match json.as_bytes().first() {
            Some(b'{' | b'[') => Err(InvalidValue("text")),
            Some(b'"') => string_value(raw).ok_or(InvalidValue("text")),
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

    fn value_if_absent() -> Option<Self> {
        Some(false)
    }

    fn read(raw: &RawValue) -> Result<Self, InvalidValue> {
        parse_bool(&String::read(raw).unwrap_or_default()).ok_or(InvalidValue("true or false"))
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

            fn value_if_absent() -> Option<Self> {
                Some(0)
            }

            fn read(raw: &RawValue) -> Result<Self, InvalidValue> {
                let text = String::read(raw).unwrap_or_default();
                text.trim().parse().map_err(|_| InvalidValue(concat!("a whole number (", stringify!($integer), ")")))
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

/// A duration in whole seconds: parsed from a number, `"3600"` or `"1h"`, written as a number. A
/// fraction of a second is rounded up, because zero means "not set".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct DurationSecs(pub Ttl);

impl Field for DurationSecs {
    const KIND: FieldKind = FieldKind::Duration;

    fn value_if_absent() -> Option<Self> {
        Some(Self::default())
    }

    fn read(raw: &RawValue) -> Result<Self, InvalidValue> {
        const BAD: InvalidValue = InvalidValue("a duration such as 3600 or \"1h\"");
        let text = String::read(raw).map_err(|_| BAD)?;
        Ttl::parse(&text).map(Self).map_err(|_| BAD)
    }

    fn write(&self, out: &mut Vec<u8>) -> bool {
        self.0.as_secs().write(out)
    }
}

impl LeaseSafe for DurationSecs {}

/// The maximum number of parts of a [`CommaList`] or [`KeyValues`]. The limits on request bodies
/// count strings, and a string with commas is only one; each part costs many times its size in the
/// body.
pub(super) const MAX_PARTS: usize = 4096;
pub(super) const TOO_MANY_PARTS: InvalidValue = InvalidValue("at most 4096 entries");

/// A list of strings: parsed from a JSON array or from `"a,b"`, written as an array. White space
/// around parts is trimmed and empty parts are dropped. At most 4096 parts, including the empty
/// ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommaList(pub Vec<String>);

impl Field for CommaList {
    const KIND: FieldKind = FieldKind::CommaList;

    fn value_if_absent() -> Option<Self> {
        Some(Self::default())
    }

    fn read(raw: &RawValue) -> Result<Self, InvalidValue> {
        const BAD: InvalidValue = InvalidValue("a list of texts, or one text with commas");
        let trimmed = |part: &str| Some(part.trim().to_owned()).filter(|part| !part.is_empty());
        if raw.get().starts_with('[') {
            let items: Vec<&RawValue> = serde_json::from_str(raw.get()).map_err(|_| BAD)?;
            if items.len() > MAX_PARTS {
                return Err(TOO_MANY_PARTS);
            }
            let parts = items.into_iter().map(String::read).collect::<Result<Vec<_>, _>>();
            return Ok(Self(parts.map_err(|_| BAD)?.iter().filter_map(|p| trimmed(p)).collect()));
        }
        let text = String::read(raw).map_err(|_| BAD)?;
        if text.split(',').nth(MAX_PARTS).is_some() {
            return Err(TOO_MANY_PARTS);
        }
        Ok(Self(text.split(',').filter_map(trimmed).collect()))
    }

    fn write(&self, out: &mut Vec<u8>) -> bool {
        write_array(out, &self.0, |out, part| write_string(out, part));
        true
    }
}

/// Writes a JSON array; `write` adds each item.
pub(super) fn write_array<T>(out: &mut Vec<u8>, items: &[T], write: impl Fn(&mut Vec<u8>, &T)) {
    out.push(b'[');
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(out, item);
    }
    out.push(b']');
}

/// A map of strings: parsed from a JSON object, an array of `k=v`, or `"k=v,k2=v2"`; at most 4096
/// entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyValues(pub BTreeMap<String, String>);

impl Field for KeyValues {
    const KIND: FieldKind = FieldKind::KeyValues;

    fn value_if_absent() -> Option<Self> {
        Some(Self::default())
    }

    fn read(raw: &RawValue) -> Result<Self, InvalidValue> {
        const BAD: InvalidValue =
            InvalidValue("an object of texts, or texts of the form name=value");
        if raw.get().starts_with('{') {
            let pairs: BTreeMap<String, &RawValue> =
                serde_json::from_str(raw.get()).map_err(|_| BAD)?;
            if pairs.len() > MAX_PARTS {
                return Err(TOO_MANY_PARTS);
            }
            let read = |(name, value): (String, &RawValue)| Ok((name, String::read(value)?));
            let pairs = pairs.into_iter().map(read).collect::<Result<_, InvalidValue>>();
            return pairs.map(Self).map_err(|_| BAD);
        }
        let split = |part: String| {
            let (name, value) = part.split_once('=').ok_or(BAD)?;
            Ok((name.trim().to_owned(), value.to_owned()))
        };
        CommaList::read(raw)
            .map_err(|error| if error == TOO_MANY_PARTS { error } else { BAD })?
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

/// The base URL of an outside HTTP API: `http` or `https` with a host, without user info, query or
/// fragment. Trailing slashes are removed, so that a path can be appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl(String);

impl BaseUrl {
    /// Parses and checks a URL; `None` if it isn't a valid base URL.
    pub fn parse(text: &str) -> Option<Self> {
        let uri: http::Uri = text.parse().ok()?;
        let plain = matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.query().is_none()
            && !text.contains('#')
            && uri.authority().is_some_and(|a| !a.host().is_empty() && !a.as_str().contains('@'));
        plain.then(|| Self(text.trim_end_matches('/').to_owned()))
    }

    /// The URL with a path appended; `path` must start with a slash.
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

    fn value_if_absent() -> Option<Self> {
        None
    }

    fn read(raw: &RawValue) -> Result<Self, InvalidValue> {
        let text = string_value(raw).unwrap_or_default();
        Self::parse(&text).ok_or(InvalidValue("a URL such as https://api.example.com"))
    }

    fn write(&self, out: &mut Vec<u8>) -> bool {
        write_string(out, &self.0);
        true
    }
}

/// The name of an object in an outside system, which gives no access by itself: an id, an accessor,
/// a user name. It may be stored with a lease and logged.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identifier(String);

impl Identifier {
    /// Accepts 1 to 512 bytes of printable text; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = !text.is_empty() && text.len() <= 512;
        let plain = text.chars().all(strongroom_types::path::is_printable);
        (fits && plain).then(|| Self(text.to_owned()))
    }

    /// The identifier as it was parsed.
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

    fn value_if_absent() -> Option<Self> {
        None
    }

    fn read(raw: &RawValue) -> Result<Self, InvalidValue> {
        Self::parse(&string_value(raw).unwrap_or_default())
            .ok_or(InvalidValue("an identifier of 1 to 512 printable characters"))
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

    fn value_if_absent() -> Option<Self> {
        None
    }

    fn read(raw: &RawValue) -> Result<Self, InvalidValue> {
        match string_value(raw) {
            Some(text) if !text.is_empty() => Ok(Self::new(text)),
            _ => Err(InvalidValue("text that is not empty")),
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
    const ALLOWED_VALUES: &'static [&'static str] = F::ALLOWED_VALUES;

    fn value_if_absent() -> Option<Self> {
        Some(None)
    }

    /// An empty string means `None` if the kind itself has no empty value, so that a client can
    /// clear a key or an address.
    fn read(raw: &RawValue) -> Result<Self, InvalidValue> {
        if raw.get() == "\"\"" && F::value_if_absent().is_none() {
            return Ok(None);
        }
        F::read(raw).map(Some)
    }

    fn write(&self, out: &mut Vec<u8>) -> bool {
        self.as_ref().is_some_and(|value| value.write(out))
    }
}

impl<F: LeaseSafe> LeaseSafe for Option<F> {
    const SEALED: bool = F::SEALED;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<F: Field>(json: &str) -> Result<F, InvalidValue> {
        F::read(serde_json::from_str::<&RawValue>(json).unwrap())
    }

    fn comma_list(parts: &[&str]) -> CommaList {
        CommaList(parts.iter().map(|part| (*part).to_owned()).collect())
    }

    #[test]
    fn takes_every_form_clients_use() {
        for json in ["3600", "\"3600\"", "\"1h\"", "3599.7", "\"60m\"", "\"3599999ms\""] {
            assert_eq!(read::<DurationSecs>(json).unwrap().0, Ttl::from_secs(3600), "{json}");
        }
        for json in ["1", "0.9", "\"500ms\"", "\"1ns\"", "\"0.0000000001s\""] {
            assert_eq!(read::<DurationSecs>(json).unwrap().0, Ttl::from_secs(1), "{json}");
        }
        for json in ["1e3", "-0.5", "\"-1ms\"", "\"NaN\"", "9223372037", "true", "[1]"] {
            assert!(read::<DurationSecs>(json).is_err(), "{json}");
        }
        for json in ["[\"a\",\"b\"]", "\"a,b\"", "\" a , b ,\"", "[\" a\",\"\",\"b\"]"] {
            assert_eq!(read::<CommaList>(json).unwrap(), comma_list(&["a", "b"]), "{json}");
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
    fn cve_2025_12044_a_list_in_one_text_has_a_bound_as_a_json_list_has() {
        let refused = |json: &str, fits: bool| {
            assert_eq!(read::<CommaList>(json).is_ok(), fits, "{} bytes", json.len());
            assert_eq!(read::<KeyValues>(json).is_ok(), fits, "{} bytes", json.len());
            if !fits {
                assert_eq!(read::<CommaList>(json).unwrap_err(), TOO_MANY_PARTS);
                assert_eq!(read::<KeyValues>(json).unwrap_err(), TOO_MANY_PARTS);
            }
        };
        for (parts, fits) in [(MAX_PARTS, true), (MAX_PARTS + 1, false)] {
            let names: Vec<String> = (0..parts).map(|part| format!("a{part}=")).collect();
            refused(&format!("\"{}\"", names.join(",")), fits);
            refused(&format!("[\"{}\"]", names.join("\",\"")), fits);
            let object = names.join("\":\"\",\"");
            let pairs = read::<KeyValues>(&format!("{{\"{object}\":\"\"}}"));
            assert_eq!(pairs.is_ok(), fits);
        }
        // Empty parts count too.
        assert_eq!(read::<CommaList>(&format!("\"{}\"", ",".repeat(5000))), Err(TOO_MANY_PARTS));
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
    fn an_empty_text_takes_an_optional_value_away() {
        assert!(read::<Option<Secret<String>>>("\"\"").unwrap().is_none());
        assert!(read::<Option<BaseUrl>>("\"\"").unwrap().is_none());
        assert_eq!(read::<Option<String>>("\"\"").unwrap(), Some(String::new()));
        assert!(read::<Option<Secret<String>>>("17").is_err());
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
}
