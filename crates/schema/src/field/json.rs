//! [`Json`]: a nested object with a Rust type of its own.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::kinds::string_value;
use super::{Field, FieldKind, InvalidValue};

/// The largest JSON text of a [`Json`] field, in bytes: parsed, it may take many times its size.
const MAX_JSON_BYTES: usize = 256 << 10;

/// A nested value that serde reads and writes: an object, a list of objects. Parsed from JSON, or
/// from text that contains JSON, as Vault's command line sends objects; at most 256 KiB of it.
/// Written as JSON. It is Vault's `framework.TypeMap` or `TypeSlice`, but with a type.
///
/// A field of this kind is required, or an `Option`, or has a default in JSON such as `"{}"`.
/// `Debug` prints nothing of the value, which may contain a secret.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use strongroom_schema::{Fields, Input, Json};
///
/// #[derive(Deserialize, Serialize)]
/// #[serde(deny_unknown_fields)]
/// struct Permission {
///     path: String,
///     #[serde(default)]
///     write: bool,
/// }
///
/// /// The permissions of a user.
/// #[derive(Input)]
/// struct Permissions {
///     /// What the user may read and write.
///     permissions: Option<Json<Vec<Permission>>>,
/// }
///
/// let fields = Fields::from_trusted(br#"{"permissions":[{"path":"a","write":true}]}"#).unwrap();
/// let permissions = Permissions::from_fields(&fields).unwrap().permissions.unwrap().0;
/// assert!(permissions[0].write && permissions[0].path == "a");
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Json<T>(pub T);

impl<T> fmt::Debug for Json<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Json").finish_non_exhaustive()
    }
}

impl<T> Field for Json<T>
where
    T: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    const KIND: FieldKind = FieldKind::Json;

    fn value_if_absent() -> Option<Self> {
        None
    }

    fn read(raw: &RawValue) -> Result<Self, InvalidValue> {
        const BAD: InvalidValue = InvalidValue("JSON with the fields that the help describes");
        if raw.get().len() > MAX_JSON_BYTES {
            return Err(InvalidValue("at most 256 KiB of JSON"));
        }
        // The errors of serde quote the value.
        let in_text = string_value(raw);
        serde_json::from_str(in_text.as_deref().unwrap_or(raw.get())).map(Self).map_err(|_| BAD)
    }

    /// A value that can't be written as JSON, such as a map with keys that aren't text, is left out.
    fn write(&self, out: &mut Vec<u8>) -> bool {
        let json = serde_json::to_vec(&self.0);
        if let Ok(json) = &json {
            out.extend_from_slice(json);
        }
        json.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;
    use crate::field::testing::{read_field, write_field};

    #[derive(Debug, Deserialize, Serialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Claim {
        name: String,
        #[serde(default)]
        values: Vec<u64>,
    }

    #[test]
    fn objects_are_read_as_json_and_from_text() {
        for json in [r#"{"name":"a","values":[1]}"#, r#""{\"name\":\"a\",\"values\":[1]}""#] {
            let claim = read_field::<Json<Claim>>(json).unwrap();
            assert_eq!(claim.0, Claim { name: "a".to_owned(), values: vec![1] }, "{json}");
            assert_eq!(write_field(&claim), r#"{"name":"a","values":[1]}"#);
        }
        let lists = read_field::<Json<BTreeMap<String, Vec<u8>>>>(r#""{\"a\":[1,2]}""#).unwrap();
        assert_eq!(lists.0["a"], [1, 2]);
    }

    #[test]
    fn anything_else_is_refused_without_repeating_it() {
        for json in [
            r#"{"name":"a","hunter2":1}"#,
            r#"{"values":[1]}"#,
            r#""hunter2""#,
            r#""""#,
            "17",
            "[]",
            r#""{\"name\":\"a\"} {}""#,
        ] {
            let error = read_field::<Json<Claim>>(json).unwrap_err();
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn size_and_depth_are_bounded() {
        let text = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2));
        assert!(
            read_field::<Json<Vec<String>>>(&format!("[{}]", text(MAX_JSON_BYTES - 2))).is_ok()
        );
        let error = read_field::<Json<Vec<String>>>(&format!("[{}]", text(MAX_JSON_BYTES - 1)));
        assert_eq!(error.unwrap_err(), InvalidValue("at most 256 KiB of JSON"));
        let deep = format!("\"{}{}\"", "[".repeat(10_000), "]".repeat(10_000));
        assert!(read_field::<Json<serde_json::Value>>(&deep).is_err());
    }

    #[test]
    fn what_cannot_be_written_is_left_out() {
        let keys = Json(BTreeMap::from([(vec![1_u8], 1_u8)]));
        let mut out = Vec::new();
        assert!(!keys.write(&mut out) && out.is_empty());
        assert_eq!(format!("{:?}", Json("hunter2".to_owned())), "Json { .. }");
    }
}
