//! Values in JSON bodies: secrets and ids.

use serde::de::Error as _;
use serde::ser::{Error as _, SerializeMap};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use strongroom_types::Secret;

use crate::Identifier;

/// The maximum length of a plain identifier in bytes.
const MAX_PLAIN_IDENTIFIER_BYTES: usize = 128;

/// Parses an id that means the same in every path, query and filter: 1 to 128 ASCII letters,
/// digits, `-`, `_` and `.`, not beginning with `.`. `None` for anything else, which a hostile
/// server may send to have other objects deleted.
///
/// ```
/// use strongroom_sdk::http::parse_plain_identifier;
///
/// assert!(parse_plain_identifier("56344737-2b4c").is_some());
/// assert!(parse_plain_identifier("../jobs").is_none());
/// ```
pub fn parse_plain_identifier(text: &str) -> Option<Identifier> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let is_plain = text.len() <= MAX_PLAIN_IDENTIFIER_BYTES
        && !text.starts_with('.')
        && text.chars().all(plain);
    Identifier::parse(text).filter(|_| is_plain)
}

/// For `#[serde(deserialize_with = "plain_identifier")]`: reads an id that
/// [`parse_plain_identifier`] accepts.
///
/// # Errors
///
/// The deserializer's error if the value is no such id.
pub fn plain_identifier<'de, D: Deserializer<'de>>(from: D) -> Result<Identifier, D::Error> {
    let text = String::deserialize(from)?;
    parse_plain_identifier(&text).ok_or_else(|| D::Error::custom("not a plain identifier"))
}

/// For `#[serde(serialize_with = "serialize_exposed")]`: writes a secret into the JSON body of a
/// request. Nothing else may serialise a secret.
///
/// ```
/// use serde::Serialize;
/// use strongroom_sdk::Secret;
/// use strongroom_sdk::http::serialize_exposed;
///
/// #[derive(Serialize)]
/// struct Login<'a> {
///     user: &'a str,
///     #[serde(serialize_with = "serialize_exposed")]
///     password: &'a Secret<String>,
/// }
/// ```
///
/// # Errors
///
/// The serializer's error, if it has one for texts.
pub fn serialize_exposed<S, T>(secret: &T, to: S) -> Result<S::Ok, S::Error>
where
    S: Serializer,
    T: ExposedText,
{
    to.serialize_str(secret.exposed_text())
}

/// A secret text that [`serialize_exposed`] can write: `Secret<String>` or a reference to one.
pub trait ExposedText {
    /// The secret as plain text.
    #[doc(hidden)]
    fn exposed_text(&self) -> &str;
}

impl ExposedText for Secret<String> {
    fn exposed_text(&self) -> &str {
        self.expose_secret()
    }
}

impl ExposedText for &Secret<String> {
    fn exposed_text(&self) -> &str {
        self.expose_secret()
    }
}

/// A JSON object and a secret in one more field of it.
pub(super) struct ObjectWithSecret<'a> {
    pub(super) rest: &'a Value,
    pub(super) name: &'a str,
    pub(super) secret: &'a Secret<String>,
}

impl Serialize for ObjectWithSecret<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Some(rest) = self.rest.as_object().filter(|rest| !rest.contains_key(self.name)) else {
            return Err(S::Error::custom("not an object that lacks the field of the secret"));
        };
        let mut object = to.serialize_map(Some(rest.len() + 1))?;
        for (name, value) in rest {
            object.serialize_entry(name, value)?;
        }
        object.serialize_entry(self.name, self.secret.expose_secret())?;
        object.end()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn plain_identifiers_stand_in_a_path_as_they_are() {
        for good in ["a", "56344737-2b4c-7a56-94fe-38549de0504a", "a.b_c", &"a".repeat(128)] {
            assert!(parse_plain_identifier(good).is_some(), "{good}");
        }
        for bad in ["", ".", "..", ".a", "../jobs", "a/b", "a?b=c", "a%2fb", "a b", "ü"] {
            assert!(parse_plain_identifier(bad).is_none(), "{bad}");
        }
        assert!(parse_plain_identifier(&"a".repeat(129)).is_none());
    }

    #[test]
    fn a_secret_is_one_more_field_of_an_object() {
        let secret = Secret::from_text("pw");
        let written = |rest: &Value| {
            let body = ObjectWithSecret { rest, name: "password", secret: &secret };
            serde_json::to_string(&body)
        };
        assert_eq!(written(&json!({ "tags": "a" })).unwrap(), r#"{"tags":"a","password":"pw"}"#);
        for bad in [json!([]), json!(null), json!({ "password": "other" })] {
            assert!(written(&bad).is_err(), "{bad}");
        }
    }
}
