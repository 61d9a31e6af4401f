//! Types of request fields.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use strongroom_sdk::Error;
use strongroom_sdk::field::{Field, FieldKind, InvalidValue};

/// The maximum number of versions that an entry can keep.
pub(crate) const MAX_VERSIONS: u32 = 4096;

/// The field `options` of a write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CasOptions {
    /// The version that the write must replace, if given.
    pub(crate) cas: CheckAndSet,
}

/// A check-and-set parameter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum CheckAndSet {
    /// The parameter is missing.
    #[default]
    NotGiven,
    /// The number of the version that must be the latest; 0 if there must be none.
    Version(i64),
    /// The parameter is not a number.
    Invalid,
}

impl CheckAndSet {
    /// Checks whether a write is allowed while `current` is the latest version.
    pub(crate) fn check(self, current: u64, required: bool) -> Result<(), Error> {
        match self {
            Self::Invalid => Err(Error::user("error parsing check-and-set parameter")),
            Self::NotGiven if required => {
                Err(Error::user("check-and-set parameter required for this call"))
            }
            Self::NotGiven => Ok(()),
            Self::Version(number) if u64::try_from(number) == Ok(current) => Ok(()),
            Self::Version(_) => {
                Err(Error::user("check-and-set parameter did not match the current version"))
            }
        }
    }
}

impl Field for CasOptions {
    const KIND: FieldKind = FieldKind::Object;

    fn value_if_absent() -> Option<Self> {
        Some(Self::default())
    }

    fn read(raw: &RawValue) -> Result<Self, InvalidValue> {
        const BAD: InvalidValue = InvalidValue("an object");
        let fields: BTreeMap<String, &RawValue> = match raw.get().starts_with('{') {
            true => serde_json::from_str(raw.get()).map_err(|_| BAD)?,
            false => return Err(BAD),
        };
        let cas = match fields.get("cas").map(|raw| raw.get()) {
            None => CheckAndSet::NotGiven,
            Some("null" | "false") => CheckAndSet::Version(0),
            Some("true") => CheckAndSet::Version(1),
            Some(_) => match fields.get("cas").map(|raw| i64::read(raw)) {
                Some(Ok(number)) => CheckAndSet::Version(number),
                _ => CheckAndSet::Invalid,
            },
        };
        Ok(Self { cas })
    }

    fn write(&self, out: &mut Vec<u8>) -> bool {
        // This type is only read from requests.
        out.extend_from_slice(b"{}");
        true
    }
}

/// Version numbers: a list of numbers or strings, one number, or a string with commas.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct VersionNumbers(pub(crate) Vec<u64>);

/// A limit above the number of versions that an entry can have.
const MAX_NUMBERS: usize = 2 * MAX_VERSIONS as usize;

impl Field for VersionNumbers {
    const KIND: FieldKind = FieldKind::CommaList;

    fn value_if_absent() -> Option<Self> {
        Some(Self::default())
    }

    fn read(raw: &RawValue) -> Result<Self, InvalidValue> {
        const BAD: InvalidValue = InvalidValue("a list of version numbers");
        let numbers: Vec<i64> = if raw.get().starts_with('[') {
            let items: Vec<&RawValue> = serde_json::from_str(raw.get()).map_err(|_| BAD)?;
            items.into_iter().map(i64::read).collect::<Result<_, _>>().map_err(|_| BAD)?
        } else {
            let text = String::read(raw).map_err(|_| BAD)?;
            let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
            parts.map(str::parse).collect::<Result<_, _>>().map_err(|_| BAD)?
        };
        if numbers.len() > MAX_NUMBERS {
            return Err(InvalidValue("at most 8192 version numbers"));
        }
        // Version numbers start at 1, and numbers of missing versions are ignored.
        Ok(Self(numbers.into_iter().map(|number| u64::try_from(number).unwrap_or(0)).collect()))
    }

    fn write(&self, out: &mut Vec<u8>) -> bool {
        let texts: Vec<String> = self.0.iter().map(u64::to_string).collect();
        out.extend_from_slice(format!("[{}]", texts.join(",")).as_bytes());
        true
    }
}

/// Validates the number of versions to keep.
pub(crate) fn parse_max_versions(given: i64) -> Result<u32, Error> {
    let kept = u32::try_from(given).ok().filter(|kept| *kept <= MAX_VERSIONS);
    kept.ok_or_else(|| {
        Error::user(format!("max_versions must be between 0 and {MAX_VERSIONS}; 0 is the default"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<F: Field>(json: &str) -> Result<F, InvalidValue> {
        F::read(serde_json::from_str::<&RawValue>(json).unwrap())
    }

    #[test]
    fn check_and_set_is_read_in_every_form_clients_use() {
        for (json, cas) in [
            ("{}", CheckAndSet::NotGiven),
            (r#"{"foo":1}"#, CheckAndSet::NotGiven),
            (r#"{"cas":0}"#, CheckAndSet::Version(0)),
            (r#"{"cas":"3"}"#, CheckAndSet::Version(3)),
            (r#"{"cas":null}"#, CheckAndSet::Version(0)),
            (r#"{"cas":-1}"#, CheckAndSet::Version(-1)),
            (r#"{"cas":1.5}"#, CheckAndSet::Invalid),
            (r#"{"cas":"abc"}"#, CheckAndSet::Invalid),
            (r#"{"cas":[1]}"#, CheckAndSet::Invalid),
        ] {
            assert_eq!(read::<CasOptions>(json), Ok(CasOptions { cas }), "{json}");
        }
        assert!(read::<CasOptions>("\"cas=1\"").is_err());
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
            assert_eq!(read(json), Ok(VersionNumbers(numbers)), "{json}");
        }
        for bad in ["\"x\"", "[1.5]", "{}", "[[1]]", "true"] {
            assert!(read::<VersionNumbers>(bad).is_err(), "{bad}");
        }
    }
}
