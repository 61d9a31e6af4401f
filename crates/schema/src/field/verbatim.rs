//! [`Verbatim`]: a client's JSON object, kept unchanged. [`NullableField`]: a field that
//! distinguishes `null` from absent.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use serde_json::value::RawValue;
use strongroom_types::fields::write_string;

use super::{Field, FieldKind, InvalidValue};

/// A JSON object that a client sent and receives back unchanged, with every number as it was
/// written. The engine can store it, merge another one into it and show its structure, but not read
/// its values. `Debug` prints only the size.
#[derive(Clone, PartialEq, Eq)]
pub struct Verbatim(Bytes);

impl Verbatim {
    /// Restores an object from the bytes of [`to_stored`](Self::to_stored), which must be complete.
    pub fn from_stored(json: Bytes) -> Self {
        Self(json)
    }

    /// The JSON text to store.
    pub fn to_stored(&self) -> Bytes {
        self.0.clone()
    }

    /// The size of the JSON text in bytes.
    pub fn byte_len(&self) -> usize {
        self.0.len()
    }

    /// This object with a JSON merge patch (RFC 7396) applied: values in the patch replace those
    /// here, objects are merged, and `null` removes a field.
    ///
    /// # Errors
    ///
    /// [`InvalidValue`] if the objects are nested too deeply (512 levels), or the stored text isn't
    /// JSON.
    pub fn apply_merge_patch(&self, patch: &Self) -> Result<Self, InvalidValue> {
        let mut out = Vec::with_capacity(self.0.len() + patch.0.len());
        write_merged(Some(json_text(&self.0)?), json_text(&patch.0)?, MAX_DEPTH, &mut out)?;
        Ok(Self(out.into()))
    }

    /// The structure of the object: its field names, with `null` in place of all values except
    /// objects down to `depth` levels; 0 means all levels.
    ///
    /// # Errors
    ///
    /// [`InvalidValue`] if the stored text isn't JSON.
    pub fn outline(&self, depth: usize) -> Result<Self, InvalidValue> {
        let mut out = Vec::new();
        let depth = if depth == 0 { MAX_DEPTH } else { depth.min(MAX_DEPTH) };
        outline_object(json_text(&self.0)?, depth, &mut out)?;
        Ok(Self(out.into()))
    }
}

/// The maximum nesting depth that merging and outlining look at.
const MAX_DEPTH: usize = 512;
const TOO_DEEP: InvalidValue = InvalidValue("an object that is nested less deeply");
const NOT_JSON: InvalidValue = InvalidValue("a JSON object");

type ObjectFields<'a> = BTreeMap<String, &'a RawValue>;

fn json_text(json: &[u8]) -> Result<&str, InvalidValue> {
    std::str::from_utf8(json).map_err(|_| NOT_JSON)
}

/// The fields of an object; `None` for any other JSON value.
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
    // At the last level names are shown without their values.
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
        // Serialised again, so that of a field that occurs twice only the last value is kept.
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

/// A field that distinguishes `null` from absent; other kinds treat `null` as absent. In a response
/// `Null` is written as `null`, and `Absent` is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum NullableField<F> {
    /// The field is not given.
    #[default]
    Absent,
    /// The field is `null`: in a patch, it is to be removed.
    Null,
    /// The field has a value.
    Value(F),
}

impl<F> NullableField<F> {
    /// The value; `None` for `null`; `before` if the field is absent.
    pub fn apply_to(self, before: Option<F>) -> Option<F> {
        match self {
            Self::Absent => before,
            Self::Null => None,
            Self::Value(value) => Some(value),
        }
    }

    /// Whether the field is absent.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }
}

impl<F> From<Option<F>> for NullableField<F> {
    /// `None` becomes `Null`.
    fn from(value: Option<F>) -> Self {
        value.map_or(Self::Null, Self::Value)
    }
}

impl<F: Field> Field for NullableField<F> {
    const KIND: FieldKind = F::KIND;
    const SECRET: bool = F::SECRET;
    const TAKES_NULL: bool = true;
    const ALLOWED_VALUES: &'static [&'static str] = F::ALLOWED_VALUES;

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
        // Levels below the requested depth are left out.
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

    /// The algorithm of the RFC, transcribed literally.
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
