//! Checks of field defaults at compile time. What can't be checked then is checked when the engine
//! is opened.

use super::choice::is_allowed_value;
use super::{Field, FieldKind};

/// Rejects, in a constant, a default that no field of this kind can parse.
///
/// # Panics
///
/// If the default can't be parsed; in a constant, that is a compile error.
#[doc(hidden)]
pub const fn check_default<F: Field>(text: &str) {
    let text = text.as_bytes();
    assert!(
        is_allowed_value(text, F::ALLOWED_VALUES),
        "a field's default is none of the values that the field accepts"
    );
    match F::KIND {
        FieldKind::Integer => {
            assert!(is_integer(text), "a field's default is no whole number");
        }
        FieldKind::Float => {
            assert!(is_float(text), "a field's default is no number");
        }
        FieldKind::IntegerList => {
            assert!(is_integer_list(text), "a field's default is no list of whole numbers");
        }
        FieldKind::Boolean => {
            assert!(is_boolean(text), "a field's default is neither true nor false");
        }
        FieldKind::Duration => {
            assert!(is_duration(text), "a field's default is no duration such as 3600 or 1h");
        }
        // Any text is valid for these kinds, or its validity depends on the field.
        FieldKind::String
        | FieldKind::LowerCaseString
        | FieldKind::CommaList
        | FieldKind::PolicyNames
        | FieldKind::KeyValues
        | FieldKind::Object
        | FieldKind::Json
        | FieldKind::Headers
        | FieldKind::Time => {}
    }
}

const fn is_integer(text: &[u8]) -> bool {
    let digits = match text {
        [b'-' | b'+', rest @ ..] => rest,
        _ => text,
    };
    let mut at = digits;
    while let [first, rest @ ..] = at {
        if !first.is_ascii_digit() {
            return false;
        }
        at = rest;
    }
    !digits.is_empty()
}

/// At least one digit, beside signs, points and exponents.
const fn is_float(text: &[u8]) -> bool {
    let mut has_digit = false;
    let mut at = text.trim_ascii();
    while let [byte, rest @ ..] = at {
        has_digit |= byte.is_ascii_digit();
        if !(byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E')) {
            return false;
        }
        at = rest;
    }
    has_digit
}

/// Digits, signs, commas and white space.
const fn is_integer_list(text: &[u8]) -> bool {
    let mut at = text;
    while let [byte, rest @ ..] = at {
        if !(byte.is_ascii_digit() || matches!(byte, b'-' | b',' | b' ' | b'\t'..=b'\r')) {
            return false;
        }
        at = rest;
    }
    true
}

const fn is_boolean(text: &[u8]) -> bool {
    matches!(
        text,
        b"1" | b"t"
            | b"T"
            | b"true"
            | b"TRUE"
            | b"True"
            | b"0"
            | b"f"
            | b"F"
            | b"false"
            | b"FALSE"
            | b"False"
    )
}

/// An empty text, or an optional sign with digits, decimal points and unit letters after it, the
/// first of them a digit or a point.
const fn is_duration(text: &[u8]) -> bool {
    let magnitude = match text {
        [b'-' | b'+', rest @ ..] => rest,
        _ => text,
    };
    let Some(first) = magnitude.first() else { return text.is_empty() };
    let mut at = magnitude;
    while let [byte, rest @ ..] = at {
        // The last two bytes encode a micro sign.
        let of_a_unit = matches!(byte, b'n' | b'u' | b'm' | b's' | b'h' | b'd' | 0xc2 | 0xb5);
        if !(byte.is_ascii_digit() || *byte == b'.' || of_a_unit) {
            return false;
        }
        at = rest;
    }
    first.is_ascii_digit() || *first == b'.'
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use strongroom_types::{Fields, parse_bool};

    use super::*;
    use crate::field::{DurationSecs, IntegerList, with_default};

    #[test]
    fn defaults_are_checked_by_kind() {
        for good in ["0", "-1", "+7", "4096"] {
            assert!(is_integer(good.as_bytes()), "{good}");
        }
        for bad in ["", "-", "many", "1.5", "0x1", "1h"] {
            assert!(!is_integer(bad.as_bytes()), "{bad}");
        }
        for (good, bad) in [("1.5", "many"), ("-1e3", "-"), (" 7 ", "1,5")] {
            assert!(is_float(good.as_bytes()) && !is_float(bad.as_bytes()), "{good} {bad}");
        }
        assert!(is_integer_list(b"1, -2,3,") && is_integer_list(b""));
        assert!(!is_integer_list(b"1,many") && !is_integer_list(b"1.5"));
        for good in ["0", "3600", "1h", "1h30m", "30d", "1.5s", ".5h", "3us", "-1h", ""] {
            assert!(is_duration(good.as_bytes()), "{good}");
        }
        for bad in ["soon", "h", "-", "1 h", "1w"] {
            assert!(!is_duration(bad.as_bytes()), "{bad}");
        }
    }

    proptest! {
        /// A default that a field can read must never be rejected.
        #[test]
        fn readable_defaults_are_accepted(text in "[0-9.]{0,3}[a-zA-Z]{0,4}") {
            let read = with_default::<i64>(&Fields::new(), "n", text.clone().leak()).is_ok();
            prop_assert!(!read || is_integer(text.as_bytes()));
            prop_assert_eq!(parse_bool(&text).is_some(), is_boolean(text.as_bytes()));
            let read = with_default::<DurationSecs>(&Fields::new(), "d", text.clone().leak());
            prop_assert!(read.is_err() || is_duration(text.as_bytes()));
        }

        /// The same for numbers with a fraction and lists of numbers.
        #[test]
        fn readable_numbers_are_accepted(text in "[-+0-9.eE, ]{0,5}") {
            let read = with_default::<f64>(&Fields::new(), "n", text.clone().leak());
            prop_assert!(read.is_err() || is_float(text.as_bytes()));
            let read = with_default::<IntegerList>(&Fields::new(), "n", text.clone().leak());
            prop_assert!(read.is_err() || is_integer_list(text.as_bytes()));
        }
    }
}
