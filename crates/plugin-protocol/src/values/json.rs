//! JSON in string fields: `Request.data`, `Response.data` and both `internal_data`.
//!
//! Go peers fail the whole call on an empty string, so JSON is always sent. Numbers are not parsed:
//! they pass through as they were written.

use strongroom_types::RawObject;
use strongroom_types::fields::InvalidJson;

/// The JSON text for "no data", an empty object. Messages use it for JSON fields that have no
/// content.
pub const EMPTY: &str = "{}";

/// Converts an object to the text of a JSON field.
pub fn to_wire(object: RawObject) -> Result<String, InvalidJson> {
    String::from_utf8(object.into_bytes().into()).map_err(|_| InvalidJson::NotAnObject)
}

/// Parses a JSON field: an object, or `None` if the field is empty or `null`. Most callers use
/// `unwrap_or_else(RawObject::empty)`; only the response to a read distinguishes `null` from `{}`.
pub fn from_wire(field: String) -> Result<Option<RawObject>, InvalidJson> {
    match field.trim_ascii() {
        "" | "null" => Ok(None),
        _ => RawObject::from_json(field).map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_read_in_three_spellings() {
        for field in ["", "null", " null\n"] {
            assert_eq!(from_wire(field.to_owned()), Ok(None), "{field:?}");
        }
        assert_eq!(from_wire(EMPTY.to_owned()), Ok(Some(RawObject::empty())));
    }

    #[test]
    fn only_objects_pass() {
        for field in ["[]", "1", "\"x\"", "{", "{}{}", "nul"] {
            assert!(from_wire(field.to_owned()).is_err(), "{field}");
        }
    }

    #[test]
    fn numbers_keep_their_digits() {
        let text = r#"{"n":9007199254740993,"x":1.0,"e":1e400}"#;
        let object = from_wire(text.to_owned()).unwrap().unwrap();
        assert_eq!(to_wire(object).unwrap(), text);
    }

    #[test]
    fn what_is_sent_is_never_empty() {
        assert_eq!(to_wire(RawObject::empty()).unwrap(), "{}");
    }
}
