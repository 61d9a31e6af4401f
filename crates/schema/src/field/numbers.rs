//! Numbers that aren't a single integer: `f64` and [`IntegerList`].

use serde_json::value::RawValue;

use super::kinds::write_array;
use super::lists::read_texts;
use super::{Field, FieldKind, InvalidValue, LeaseSafe};

/// A number with a fraction: parsed from a JSON number or from text. Only finite numbers are
/// accepted.
impl Field for f64 {
    const KIND: FieldKind = FieldKind::Float;

    fn value_if_absent() -> Option<Self> {
        Some(0.0)
    }

    fn read(raw: &RawValue) -> Result<Self, InvalidValue> {
        const BAD: InvalidValue = InvalidValue("a number");
        let text = String::read(raw).map_err(|_| BAD)?;
        text.trim().parse().ok().filter(|number: &Self| number.is_finite()).ok_or(BAD)
    }

    /// Very large and very small numbers are written with an exponent, as Go does.
    fn write(&self, out: &mut Vec<u8>) -> bool {
        let size = self.abs();
        let text = match size == 0.0 || (1e-6..1e21).contains(&size) {
            true => self.to_string(),
            false => format!("{self:e}"),
        };
        // A value that isn't finite comes from the engine itself and can't be written as JSON.
        let is_finite = self.is_finite();
        if is_finite {
            out.extend_from_slice(text.as_bytes());
        }
        is_finite
    }
}

impl LeaseSafe for f64 {}

/// A list of integers: parsed from a JSON array of numbers or texts, or from one text with commas;
/// written as an array of numbers. At most 4096 entries. Vault's name for it is
/// `framework.TypeCommaIntSlice`.
///
/// Numbers must be written without a leading zero or a plus sign, so that conditions of policies
/// compare the same text that the engine reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IntegerList(pub Vec<i64>);

impl Field for IntegerList {
    const KIND: FieldKind = FieldKind::IntegerList;

    fn value_if_absent() -> Option<Self> {
        Some(Self::default())
    }

    fn read(raw: &RawValue) -> Result<Self, InvalidValue> {
        const BAD: InvalidValue = InvalidValue("a list of whole numbers, or one text with commas");
        let number = |text: &String| {
            let number: i64 = text.parse().map_err(|_| BAD)?;
            if number.to_string() == *text { Ok(number) } else { Err(BAD) }
        };
        read_texts(raw, BAD)?.iter().map(number).collect::<Result<_, _>>().map(Self)
    }

    fn write(&self, out: &mut Vec<u8>) -> bool {
        write_array(out, &self.0, |out, number| {
            out.extend_from_slice(number.to_string().as_bytes());
        });
        true
    }
}

impl LeaseSafe for IntegerList {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::field::testing::{read_field, write_field};

    #[test]
    fn floats_are_read_from_numbers_and_text() {
        for json in ["1.5", "\"1.5\"", "\" 1.50 \"", "15e-1", "\"15E-1\""] {
            assert_eq!(read_field::<f64>(json), Ok(1.5), "{json}");
        }
        for json in ["\"NaN\"", "\"inf\"", "1e999", "\"\"", "\"1,5\"", "true", "[1]", "{}"] {
            assert!(read_field::<f64>(json).is_err(), "{json}");
        }
        for (number, json) in
            [(0.0, "0"), (-3.0, "-3"), (0.1, "0.1"), (1e21, "1e21"), (2.5e-7, "2.5e-7")]
        {
            assert_eq!(write_field(&number), json);
        }
        assert!(!f64::NAN.write(&mut Vec::new()));
    }

    #[test]
    fn integer_lists_are_read_from_arrays_and_text() {
        for json in ["[1,-2,3]", "[\"1\",\" -2\",3]", "\"1,-2, 3,\"", "[1,\"\",-2,3]"] {
            let list = read_field::<IntegerList>(json).unwrap();
            assert_eq!(list, IntegerList(vec![1, -2, 3]), "{json}");
            assert_eq!(write_field(&list), "[1,-2,3]");
        }
        assert_eq!(read_field::<IntegerList>("7"), Ok(IntegerList(vec![7])));
        assert_eq!(read_field::<IntegerList>("\"\""), Ok(IntegerList::default()));
        for json in ["\"1,x\"", "[1.0]", "[1e2]", "\"01\"", "\"+1\"", "\"1 2\"", "[[1]]", "{}"] {
            assert!(read_field::<IntegerList>(json).is_err(), "{json}");
        }
        let many = format!("[{}1]", "1,".repeat(4096));
        let error = read_field::<IntegerList>(&many).unwrap_err();
        assert_eq!(error, InvalidValue("at most 4096 entries"));
    }

    proptest! {
        #[test]
        fn a_written_float_is_read_unchanged(number in proptest::num::f64::NORMAL) {
            prop_assert_eq!(read_field::<f64>(&write_field(&number)), Ok(number));
        }
    }
}
