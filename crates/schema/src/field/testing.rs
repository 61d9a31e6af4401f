//! Shared by the tests of field kinds.

use serde_json::value::RawValue;

use super::{Field, InvalidValue};

/// Reads a field from JSON text.
pub(crate) fn read_field<F: Field>(json: &str) -> Result<F, InvalidValue> {
    F::read(serde_json::from_str::<&RawValue>(json).unwrap())
}

/// The JSON text that a field is written as.
pub(crate) fn write_field(value: &impl Field) -> String {
    let mut out = Vec::new();
    assert!(value.write(&mut out), "the value is left out");
    String::from_utf8(out).unwrap()
}
