//! [`OutputValue`]: the value to print, independent of the format. Numbers are kept as written.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserializer as _, MapAccess, Visitor};
use serde_json::value::RawValue;
use strongroom_types::Fields;

/// A JSON value whose numbers keep their digits and whose objects keep their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum OutputValue {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    List(Vec<OutputValue>),
    Object(Vec<(String, OutputValue)>),
}

impl OutputValue {
    /// Parses JSON, with objects sorted by name. Invalid JSON becomes `Null`.
    pub(crate) fn parse(json: &str) -> Self {
        parse_json(json.trim(), true)
    }

    /// Converts a serialisable value; structs keep the order of their fields.
    pub(crate) fn from_serialize(document: &impl serde::Serialize) -> Self {
        parse_json(&serde_json::to_string(document).unwrap_or_default(), false)
    }

    /// Builds an object from raw fields.
    pub(crate) fn from_fields(fields: &Fields) -> Self {
        let pairs = fields.iter().map(|(name, raw)| (name.to_owned(), Self::parse(raw.get())));
        Self::Object(pairs.collect())
    }

    pub(crate) fn from_text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    pub(crate) fn from_number(number: impl fmt::Display) -> Self {
        Self::Number(number.to_string())
    }

    /// A list of strings; `Null` for `None`.
    pub(crate) fn from_texts(texts: Option<&[String]>) -> Self {
        texts.map_or(Self::Null, |texts| Self::List(texts.iter().map(Self::from_text).collect()))
    }

    /// A field of an object, if this is one and has it.
    pub(crate) fn get(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Object(pairs) => {
                pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value)
            }
            _ => None,
        }
    }

    /// A copy in which all objects are sorted by name.
    pub(crate) fn sorted(&self) -> Self {
        match self {
            Self::List(items) => Self::List(items.iter().map(Self::sorted).collect()),
            Self::Object(pairs) => {
                let mut pairs: Vec<_> =
                    pairs.iter().map(|(key, value)| (key.clone(), value.sorted())).collect();
                pairs.sort_by(|(a, _), (b, _)| a.cmp(b));
                Self::Object(pairs)
            }
            plain => plain.clone(),
        }
    }
}

impl fmt::Display for OutputValue {
    /// Formats like Go's `%v`, which tables and `-field` show: `map[a:1 b:[x y]]`, `<nil>`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let separate = |f: &mut fmt::Formatter<'_>, index| {
            if index > 0 { f.write_str(" ") } else { Ok(()) }
        };
        match self {
            Self::Null => f.write_str("<nil>"),
            Self::Bool(value) => value.fmt(f),
            Self::Number(text) | Self::Text(text) => f.write_str(text),
            Self::List(items) => {
                f.write_str("[")?;
                for (index, item) in items.iter().enumerate() {
                    separate(f, index)?;
                    item.fmt(f)?;
                }
                f.write_str("]")
            }
            Self::Object(pairs) => {
                let sorted: BTreeMap<_, _> =
                    pairs.iter().map(|(key, value)| (key, value)).collect();
                f.write_str("map[")?;
                for (index, (key, value)) in sorted.iter().enumerate() {
                    separate(f, index)?;
                    write!(f, "{key}:{value}")?;
                }
                f.write_str("]")
            }
        }
    }
}

fn parse_json(json: &str, sort: bool) -> OutputValue {
    match json.as_bytes().first() {
        Some(b'{') => {
            let mut pairs: Vec<_> = parse_pairs(json)
                .unwrap_or_default()
                .into_iter()
                .map(|(key, raw)| (key, parse_json(raw.get(), sort)))
                .collect();
            if sort {
                pairs.sort_by(|(a, _), (b, _)| a.cmp(b));
            }
            OutputValue::Object(pairs)
        }
        Some(b'[') => {
            let items: Vec<Box<RawValue>> = serde_json::from_str(json).unwrap_or_default();
            OutputValue::List(items.iter().map(|raw| parse_json(raw.get(), sort)).collect())
        }
        Some(b'"') => serde_json::from_str(json).map_or(OutputValue::Null, OutputValue::Text),
        Some(b't') => OutputValue::Bool(true),
        Some(b'f') => OutputValue::Bool(false),
        Some(b'-' | b'0'..=b'9') => OutputValue::Number(json.to_owned()),
        _ => OutputValue::Null,
    }
}

/// Parses an object's pairs in order; if a name is repeated, its last value counts.
fn parse_pairs(json: &str) -> Result<Vec<(String, Box<RawValue>)>, serde_json::Error> {
    struct PairsVisitor;

    impl<'de> Visitor<'de> for PairsVisitor {
        type Value = Vec<(String, Box<RawValue>)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut places = BTreeMap::new();
            let mut pairs: Self::Value = Vec::new();
            while let Some((key, value)) = map.next_entry::<String, Box<RawValue>>()? {
                match places.get(&key).and_then(|place: &usize| pairs.get_mut(*place)) {
                    Some(pair) => pair.1 = value,
                    None => {
                        places.insert(key.clone(), pairs.len());
                        pairs.push((key, value));
                    }
                }
            }
            Ok(pairs)
        }
    }
    serde_json::Deserializer::from_str(json).deserialize_map(PairsVisitor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_as_go_does() {
        let cases = [
            (r#"{"b":1,"a":[1,"x",null,{"z":true}]}"#, "map[a:[1 x <nil> map[z:true]] b:1]"),
            ("12345678901234567890", "12345678901234567890"),
            ("1.10", "1.10"),
            ("1e3", "1e3"),
            ("-0", "-0"),
            ("[]", "[]"),
            ("{}", "map[]"),
            ("null", "<nil>"),
            (r#""a\nb""#, "a\nb"),
        ];
        for (json, shown) in cases {
            assert_eq!(OutputValue::parse(json).to_string(), shown, "{json}");
        }
    }

    #[test]
    fn structs_keep_their_field_order() {
        #[derive(serde::Serialize)]
        struct SampleDocument {
            z: u8,
            a: u8,
        }
        let value = OutputValue::from_serialize(&SampleDocument { z: 1, a: 2 });
        let OutputValue::Object(pairs) = &value else { panic!("no object") };
        assert_eq!(pairs[0].0, "z");
        let OutputValue::Object(pairs) = value.sorted() else { panic!("no object") };
        assert_eq!(pairs[0].0, "a");
    }

    #[test]
    fn last_duplicate_key_wins() {
        assert_eq!(OutputValue::parse(r#"{"a":1,"a":2}"#).to_string(), "map[a:2]");
    }
}
