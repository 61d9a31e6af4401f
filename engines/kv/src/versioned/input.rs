//! What clients send.

use serde_json::value::RawValue;
use std::collections::BTreeMap;
use strongroom_sdk::Error;
use strongroom_sdk::field::{BadValue, Field, FieldKind};

use super::entry::MAX_VERSIONS;

/// The `options` of a write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// Which version the write replaces, if it says so.
    pub(crate) cas: Cas,
}

/// A check-and-set parameter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Cas {
    /// Not given.
    #[default]
    None,
    /// The version that must be the latest; 0 for none yet.
    Is(i64),
    /// No number.
    Unreadable,
}

impl Cas {
    /// Whether a write over the version `current` may go on.
    pub(crate) fn check(self, current: u64, required: bool) -> Result<(), Error> {
        match self {
            Self::Unreadable => Err(Error::user("error parsing check-and-set parameter")),
            Self::None if required => {
                Err(Error::user("check-and-set parameter required for this call"))
            }
            Self::None => Ok(()),
            Self::Is(number) if u64::try_from(number) == Ok(current) => Ok(()),
            Self::Is(_) => {
                Err(Error::user("check-and-set parameter did not match the current version"))
            }
        }
    }
}

impl Field for Options {
    const KIND: FieldKind = FieldKind::Object;

    fn empty() -> Option<Self> {
        Some(Self::default())
    }

    fn read(raw: &RawValue) -> Result<Self, BadValue> {
        const BAD: BadValue = BadValue("an object");
        let fields: BTreeMap<String, &RawValue> = match raw.get().starts_with('{') {
            true => serde_json::from_str(raw.get()).map_err(|_| BAD)?,
            false => return Err(BAD),
        };
        let cas = match fields.get("cas").map(|raw| raw.get()) {
            None => Cas::None,
            Some("null" | "false") => Cas::Is(0),
            Some("true") => Cas::Is(1),
            Some(_) => match fields.get("cas").map(|raw| i64::read(raw)) {
                Some(Ok(number)) => Cas::Is(number),
                _ => Cas::Unreadable,
            },
        };
        Ok(Self { cas })
    }

    fn write(&self, out: &mut Vec<u8>) -> bool {
        // It is only ever read.
        out.extend_from_slice(b"{}");
        true
    }
}

/// Numbers of versions: a list of numbers or texts, one number, or a text with commas.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Numbers(pub(crate) Vec<u64>);

/// More than an entry can have.
const MAX_NUMBERS: usize = 2 * MAX_VERSIONS as usize;

impl Field for Numbers {
    const KIND: FieldKind = FieldKind::CommaList;

    fn empty() -> Option<Self> {
        Some(Self::default())
    }

    fn read(raw: &RawValue) -> Result<Self, BadValue> {
        const BAD: BadValue = BadValue("a list of version numbers");
        let numbers: Vec<i64> = if raw.get().starts_with('[') {
            let items: Vec<&RawValue> = serde_json::from_str(raw.get()).map_err(|_| BAD)?;
            items.into_iter().map(i64::read).collect::<Result<_, _>>().map_err(|_| BAD)?
        } else {
            let text = String::read(raw).map_err(|_| BAD)?;
            let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
            parts.map(str::parse).collect::<Result<_, _>>().map_err(|_| BAD)?
        };
        if numbers.len() > MAX_NUMBERS {
            return Err(BadValue("at most 8192 version numbers"));
        }
        // No version has a number below 1; one that isn't there is ignored.
        Ok(Self(numbers.into_iter().map(|number| u64::try_from(number).unwrap_or(0)).collect()))
    }

    fn write(&self, out: &mut Vec<u8>) -> bool {
        let texts: Vec<String> = self.0.iter().map(u64::to_string).collect();
        out.extend_from_slice(format!("[{}]", texts.join(",")).as_bytes());
        true
    }
}

/// How many versions are to be kept.
pub(crate) fn max_versions(given: i64) -> Result<u32, Error> {
    let kept = u32::try_from(given).ok().filter(|kept| *kept <= MAX_VERSIONS);
    kept.ok_or_else(|| {
        Error::user(format!("max_versions must be between 0 and {MAX_VERSIONS}; 0 is the default"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<F: Field>(json: &str) -> Result<F, BadValue> {
        F::read(serde_json::from_str::<&RawValue>(json).unwrap())
    }

    #[test]
    fn check_and_set_is_read_in_every_form_clients_use() {
        for (json, cas) in [
            ("{}", Cas::None),
            (r#"{"foo":1}"#, Cas::None),
            (r#"{"cas":0}"#, Cas::Is(0)),
            (r#"{"cas":"3"}"#, Cas::Is(3)),
            (r#"{"cas":null}"#, Cas::Is(0)),
            (r#"{"cas":-1}"#, Cas::Is(-1)),
            (r#"{"cas":1.5}"#, Cas::Unreadable),
            (r#"{"cas":"abc"}"#, Cas::Unreadable),
            (r#"{"cas":[1]}"#, Cas::Unreadable),
        ] {
            assert_eq!(read::<Options>(json), Ok(Options { cas }), "{json}");
        }
        assert!(read::<Options>("\"cas=1\"").is_err());
    }

    #[test]
    fn numbers_come_as_lists_texts_or_alone() {
        for (json, numbers) in [
            ("[1,\"2\",3]", vec![1, 2, 3]),
            ("\"3, 4,\"", vec![3, 4]),
            ("7", vec![7]),
            ("[]", vec![]),
            ("[-1]", vec![0]),
        ] {
            assert_eq!(read(json), Ok(Numbers(numbers)), "{json}");
        }
        for bad in ["\"x\"", "[1.5]", "{}", "[[1]]", "true"] {
            assert!(read::<Numbers>(bad).is_err(), "{bad}");
        }
    }
}
