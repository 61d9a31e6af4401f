//! Custom metadata: strings that clients attach to an entry, within limits.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use strongroom_sdk::Error;
use strongroom_sdk::field::{Field, FieldKind, InvalidValue};

/// Custom metadata in a request: values to set, and `None` for names to remove.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CustomMetadataInput(BTreeMap<String, Option<String>>);

const MAX_KEYS: usize = 64;
const MAX_KEY_BYTES: usize = 128;
const MAX_VALUE_BYTES: usize = 512;

impl CustomMetadataInput {
    /// The metadata that replaces the existing one.
    pub(crate) fn to_replacement(&self) -> Result<BTreeMap<String, String>, Error> {
        let all =
            self.0.iter().map(|(key, value)| (key.clone(), value.clone().unwrap_or_default()));
        let all = all.collect();
        check_limits(&all)?;
        Ok(all)
    }

    /// Merges the request into the existing metadata.
    pub(crate) fn merge_into(
        &self,
        mut old: BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, String>, Error> {
        for (key, value) in &self.0 {
            match value {
                Some(value) => _ = old.insert(key.clone(), value.clone()),
                None => _ = old.remove(key),
            }
        }
        check_limits(&old)?;
        Ok(old)
    }
}

/// Checks the limits. Clients rely on these error texts.
fn check_limits(custom: &BTreeMap<String, String>) -> Result<(), Error> {
    let mut wrong = Vec::new();
    if custom.len() > MAX_KEYS {
        let given = custom.len();
        wrong.push(format!("payload must contain at most {MAX_KEYS} keys, provided {given}"));
    } else {
        for (key, value) in custom {
            check_pair(key, value, &mut wrong);
        }
    }
    if wrong.is_empty() {
        return Ok(());
    }
    let count = match wrong.len() {
        1 => "1 error occurred:".to_owned(),
        more => format!("{more} errors occurred:"),
    };
    let lines = wrong.iter().map(|text| format!("\n\t* custom_metadata validation failed: {text}"));
    Err(Error::user(format!("{count}{}\n\n", lines.collect::<String>())))
}

fn check_pair(key: &str, value: &str, wrong: &mut Vec<String>) {
    // The beginning of an overlong key is enough to identify it.
    let named: String = key.chars().take(MAX_KEY_BYTES).collect();
    let plain = |text: &str| !text.chars().any(is_unprintable);
    if key.is_empty() || key.len() > MAX_KEY_BYTES {
        let bytes = key.len();
        let text = format!(
            "length of key {named:?} is {bytes} but must be 0 < len(key) <= {MAX_KEY_BYTES}"
        );
        wrong.push(text);
    }
    if !plain(key) {
        wrong.push(format!("key {named:?} contains unprintable characters"));
    }
    if value.is_empty() || value.len() > MAX_VALUE_BYTES {
        let bytes = value.len();
        wrong.push(format!(
            "length of value for key {named:?} is {bytes} but must be 0 < len(value) <= \
             {MAX_VALUE_BYTES}"
        ));
    }
    if !plain(value) {
        wrong.push(format!("value for key {named:?} contains unprintable characters"));
    }
}

/// Whether a character is invisible, such as a control or format character. The rule for paths.
fn is_unprintable(c: char) -> bool {
    !strongroom_sdk::is_printable(c)
}

impl Field for CustomMetadataInput {
    const KIND: FieldKind = FieldKind::KeyValues;

    fn value_if_absent() -> Option<Self> {
        Some(Self::default())
    }

    fn read(raw: &RawValue) -> Result<Self, InvalidValue> {
        const BAD: InvalidValue = InvalidValue("an object of strings");
        if !raw.get().starts_with('{') {
            return Err(BAD);
        }
        let pairs: BTreeMap<String, &RawValue> =
            serde_json::from_str(raw.get()).map_err(|_| BAD)?;
        let read = |(key, value): (String, &RawValue)| match value.get() {
            "null" => Ok((key, None)),
            _ => Ok((key, Some(String::read(value).map_err(|_| BAD)?))),
        };
        pairs.into_iter().map(read).collect::<Result<_, _>>().map(Self)
    }

    fn write(&self, out: &mut Vec<u8>) -> bool {
        serde_json::to_writer(out, &self.0).is_ok()
    }
}
