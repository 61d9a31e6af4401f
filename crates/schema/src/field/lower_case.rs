//! [`LowerCase`]: a text whose case and surrounding white space mean nothing.

use std::fmt;

use serde_json::value::RawValue;
use strongroom_types::fields::write_string;

use super::{Field, FieldKind, InvalidValue};

/// A text that is trimmed and lower-cased when it is parsed, such as a user name of a directory.
/// Vault's name for it is `framework.TypeLowerCaseString`.
///
/// ```
/// use strongroom_schema::LowerCase;
///
/// assert_eq!(LowerCase::new(" Alice ").as_str(), "alice");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LowerCase(String);

impl LowerCase {
    /// Trims the text and converts it to lower case.
    pub fn new(text: &str) -> Self {
        Self(text.trim().to_lowercase())
    }

    /// The text in lower case, without white space around it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LowerCase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Field for LowerCase {
    const KIND: FieldKind = FieldKind::LowerCaseString;

    fn value_if_absent() -> Option<Self> {
        Some(Self::default())
    }

    fn read(raw: &RawValue) -> Result<Self, InvalidValue> {
        String::read(raw).map(|text| Self::new(&text))
    }

    fn write(&self, out: &mut Vec<u8>) -> bool {
        write_string(out, &self.0);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::testing::{read_field, write_field};

    #[test]
    fn case_and_white_space_are_removed() {
        for json in ["\" Ops-Team \"", "\"OPS-TEAM\"", "\"ops-team\""] {
            assert_eq!(read_field::<LowerCase>(json).unwrap().as_str(), "ops-team", "{json}");
        }
        assert_eq!(read_field::<LowerCase>("17").unwrap().as_str(), "17");
        assert!(read_field::<LowerCase>("[\"a\"]").is_err());
        assert_eq!(write_field(&LowerCase::new("ÄB")), "\"äb\"");
        assert_eq!(LowerCase::KIND.help_name(), "lowercase string");
    }
}
