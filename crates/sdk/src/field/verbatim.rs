//! [`Verbatim`]: a JSON object of the client's. [`NullableField`]: a field that tells "not there" from `null`.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use serde_json::value::RawValue;
use strongroom_types::fields::write_string;

use super::{Field, FieldKind, InvalidValue};

/// A JSON object that the client sent and gets back as it was, number by number. The engine can keep
/// it, merge another into it, and show what it is made of; it can't read it, so it can't misread it
/// either. Prints as its size.
#[derive(Clone, PartialEq, Eq)]
pub struct Verbatim(Bytes);

impl Verbatim {
    /// What was kept of one before. Whoever keeps it keeps it whole.
    pub fn from_stored(json: Bytes) -> Self {
        Self(json)
    }

    /// As it is to be kept.
    pub fn to_stored(&self) -> Bytes {
        self.0.clone()
    }

    /// How many bytes it has.
    pub fn byte_len(&self) -> usize {
        self.0.len()
    }

    /// This object with a merge patch (RFC 7396) applied: what the patch has replaces what is here,
    /// objects are merged, and a `null` removes.
    pub fn apply_merge_patch(&self, patch: &Self) -> Result<Self, InvalidValue> {
        let mut out = Vec::with_capacity(self.0.len() + patch.0.len());
        write_merged(Some(json_text(&self.0)?), json_text(&patch.0)?, MAX_DEPTH, &mut out)?;
        Ok(Self(out.into()))
    }

    /// Its names, with `null` in place of every value but the objects down to `depth` levels; 0 for
    /// all levels.
    pub fn outline(&self, depth: usize) -> Result<Self, InvalidValue> {
        let mut out = Vec::new();
        let depth = if depth == 0 { MAX_DEPTH } else { depth.min(MAX_DEPTH) };
        outline_object(json_text(&self.0)?, depth, &mut out)?;
        Ok(Self(out.into()))
    }
}

/// How deep an object may be nested for its parts to be looked at.
const MAX_DEPTH: usize = 512;
const TOO_DEEP: InvalidValue = InvalidValue("an object that is nested less deeply");
const NOT_JSON: InvalidValue = InvalidValue("a JSON object");

type ObjectFields<'a> = BTreeMap<String, &'a RawValue>;

fn json_text(json: &[u8]) -> Result<&str, InvalidValue> {
    std::str::from_utf8(json).map_err(|_| NOT_JSON)
}

/// The fields of an object; nothing for other values.
fn object_fields(json: &str) -> Result<Option<ObjectFields<'_>>, InvalidValue> {
    if !json.trim_start().starts_with('{') {
        return Ok(None);
    }
    serde_json::from_str(json).map(Some).map_err(|_| NOT_JSON)
}

fn write_merged(
    target: Option<&str>,
    patch: &str,
    depth: usize,
    out: &mut Vec<u8>,
) -> Result<(), InvalidValue> {
    let depth = depth.checked_sub(1).ok_or(TOO_DEEP)?;
    let Some(patch) = object_fields(patch)? else {
        out.extend_from_slice(patch.as_bytes());
        return Ok(());
    };
    let mut target = target.map(object_fields).transpose()?.flatten().unwrap_or_default();
    let mut begun = false;
    let mut name_of = |name: &str, out: &mut Vec<u8>| {
        out.push(if std::mem::replace(&mut begun, true) { b',' } else { b'{' });
        write_string(out, name);
        out.push(b':');
    };
    for (name, value) in &patch {
        let old = target.remove(name);
        if value.get() != "null" {
            name_of(name, out);
            write_merged(old.map(RawValue::get), value.get(), depth, out)?;
        }
    }
    for (name, value) in target {
        name_of(&name, out);
        out.extend_from_slice(value.get().as_bytes());
    }
    out.extend_from_slice(if begun { b"}" } else { b"{}" });
    Ok(())
}

fn outline_object(json: &str, depth: usize, out: &mut Vec<u8>) -> Result<(), InvalidValue> {
    // At the last level names are shown without what is below them.
    let Some(parts) = object_fields(json)? else {
        out.extend_from_slice(b"null");
        return Ok(());
    };
    out.push(b'{');
    for (index, (name, value)) in parts.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_string(out, &name);
        out.push(b':');
        match depth {
            0 | 1 => out.extend_from_slice(b"null"),
            _ => outline_object(value.get(), depth - 1, out)?,
        }
    }
    out.push(b'}');
    Ok(())
}

impl fmt::Debug for Verbatim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Verbatim({} bytes)", self.0.len())
    }
}

impl Field for Verbatim {
    const KIND: FieldKind = FieldKind::Object;

    fn value_if_absent() -> Option<Self> {
        None
    }

    fn read(raw: &RawValue) -> Result<Self, InvalidValue> {
        const BAD: InvalidValue = InvalidValue("an object");
        // Written anew, so that of a name that is there twice only the last is kept.
        let parts = object_fields(raw.get()).ok().flatten().ok_or(BAD)?;
        let mut out = Vec::with_capacity(raw.get().len());
        out.push(b'{');
        for (index, (name, value)) in parts.into_iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            write_string(&mut out, &name);
            out.push(b':');
            out.extend_from_slice(value.get().as_bytes());
        }
        out.push(b'}');
        Ok(Self(out.into()))
    }

    fn write(&self, out: &mut Vec<u8>) -> bool {
        out.extend_from_slice(&self.0);
        true
    }
}

/// A field of which it matters that it is `null`: for other kinds that is as good as not there. In
/// an answer `Null` is shown, and `Absent` is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum NullableField<F> {
    /// Not there.
    #[default]
    Absent,
    /// `null`: in a patch, that it is to be removed.
    Null,
    /// A value.
    Value(F),
}

impl<F> NullableField<F> {
    /// The value, `Impossible` for `null`, or `before` if there is nothing.
    pub fn apply_to(self, before: Option<F>) -> Option<F> {
        match self {
            Self::Absent => before,
            Self::Null => None,
            Self::Value(value) => Some(value),
        }
    }

    /// Whether there is nothing.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }
}

impl<F> From<Option<F>> for NullableField<F> {
    /// `Impossible` becomes `null`.
    fn from(value: Option<F>) -> Self {
        value.map_or(Self::Null, Self::Value)
    }
}

impl<F: Field> Field for NullableField<F> {
    const KIND: FieldKind = F::KIND;
    const SECRET: bool = F::SECRET;
    const TAKES_NULL: bool = true;

    fn value_if_absent() -> Option<Self> {
        Some(Self::Absent)
    }

    fn read(raw: &RawValue) -> Result<Self, InvalidValue> {
        match raw.get() {
            "null" => Ok(Self::Null),
            _ => F::read(raw).map(Self::Value),
        }
    }

    fn write(&self, out: &mut Vec<u8>) -> bool {
        match self {
            Self::Absent => false,
            Self::Null => {
                out.extend_from_slice(b"null");
                true
            }
            Self::Value(value) => value.write(out),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn verbatim(json: &str) -> Verbatim {
        Verbatim::from_stored(Bytes::copy_from_slice(json.as_bytes()))
    }

    fn merge_patch(target: &str, patch: &str) -> String {
        let merged = verbatim(target).apply_merge_patch(&verbatim(patch)).unwrap();
        String::from_utf8(merged.to_stored().to_vec()).unwrap()
    }

    #[test]
    fn merges_as_rfc_7396_has_it_and_keeps_digits() {
        // The examples of the RFC's appendix whose target and patch are objects.
        for (target, patch, result) in [
            (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"b":"c","a":"b"}"#),
            (r#"{"a":"b"}"#, r#"{"a":null}"#, "{}"),
            (r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#),
            (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"c"}"#, r#"{"a":["b"]}"#, r#"{"a":["b"]}"#),
            (r#"{"a":{"b":"c"}}"#, r#"{"a":{"b":"d","c":null}}"#, r#"{"a":{"b":"d"}}"#),
            (r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#),
            (r#"{"e":null}"#, r#"{"a":1}"#, r#"{"a":1,"e":null}"#),
            ("{}", r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#),
            (
                r#"{"n":1.10}"#,
                r#"{"m":12345678901234567890}"#,
                r#"{"m":12345678901234567890,"n":1.10}"#,
            ),
        ] {
            assert_eq!(merge_patch(target, patch), result, "{target} {patch}");
        }
    }

    #[test]
    fn the_last_duplicate_name_wins() {
        let raw: &RawValue = serde_json::from_str(r#"{"b": 1.0, "a": [ 2 ], "b": 1.10}"#).unwrap();
        let read = Verbatim::read(raw).unwrap();
        assert_eq!(&read.to_stored()[..], br#"{"a":[ 2 ],"b":1.10}"#);
        for bad in ["[]", "1", "\"{}\"", "null"] {
            let raw: &RawValue = serde_json::from_str(bad).unwrap();
            assert!(Verbatim::read(raw).is_err(), "{bad}");
        }
    }

    #[test]
    fn outlines_show_names_and_no_values() {
        let it = verbatim(r#"{"a":"hunter2","b":{"c":{"d":[{"e":1}]},"f":null},"g":[1]}"#);
        let shown =
            |depth| String::from_utf8(it.outline(depth).unwrap().to_stored().to_vec()).unwrap();
        assert_eq!(shown(0), r#"{"a":null,"b":{"c":{"d":null},"f":null},"g":null}"#);
        assert_eq!(shown(1), r#"{"a":null,"b":null,"g":null}"#);
        assert_eq!(shown(2), r#"{"a":null,"b":{"c":null,"f":null},"g":null}"#);
        assert_eq!(format!("{it:?}"), "Verbatim(58 bytes)");
    }

    #[test]
    fn what_is_nested_too_deeply_is_refused_and_does_not_end_the_process() {
        let deep = format!("{}1{}", r#"{"a":"#.repeat(2000), "}".repeat(2000));
        assert_eq!(verbatim("{}").apply_merge_patch(&verbatim(&deep)), Err(TOO_DEEP));
        // What is too deep to be shown is not shown.
        assert!(verbatim(&deep).outline(0).unwrap().byte_len() < 10_000);
    }

    fn json_value_strategy() -> impl proptest::strategy::Strategy<Value = Value> {
        use proptest::prelude::*;
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i32>().prop_map(Value::from)
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            proptest::collection::btree_map("[a-c]", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect()))
        })
    }

    /// The algorithm of the RFC, word for word.
    fn rfc_7396_merge(target: Value, patch: Value) -> Value {
        let Value::Object(patch) = patch else { return patch };
        let mut target = match target {
            Value::Object(target) => target,
            _ => serde_json::Map::new(),
        };
        for (name, value) in patch {
            if value.is_null() {
                target.remove(&name);
            } else {
                let old = target.remove(&name).unwrap_or(Value::Null);
                target.insert(name, rfc_7396_merge(old, value));
            }
        }
        Value::Object(target)
    }

    proptest::proptest! {
        #[test]
        fn agrees_with_the_rfc(target in json_value_strategy(), patch in json_value_strategy()) {
            proptest::prop_assume!(target.is_object() && patch.is_object());
            let ours: Value = serde_json::from_str(&merge_patch(&target.to_string(), &patch.to_string())).unwrap();
            proptest::prop_assert_eq!(ours, rfc_7396_merge(target, patch));
        }
    }
}
