//! Number literals of both syntaxes.

use std::fmt;

use crate::syntax::Syntax;

/// A number as it was written, so that no digits are lost to a number type.
#[derive(Clone, PartialEq, Eq)]
pub struct NumberLiteral(String);

impl NumberLiteral {
    /// Validates a literal that the lexer took for a number; the error says what is wrong.
    pub(crate) fn parse(literal: &str, syntax: Syntax) -> Result<Self, &'static str> {
        let problem = match syntax {
            Syntax::Native => native_problem(literal),
            Syntax::Json => json_problem(literal),
        };
        problem.map_or_else(|| Ok(Self(literal.to_owned())), Err)
    }

    /// The literal as it was written in the text.
    pub fn literal(&self) -> &str {
        &self.0
    }

    /// Whether it is an integer literal: without decimal point or exponent.
    pub fn is_whole(&self) -> bool {
        self.is_hex() || !self.0.contains(['.', 'e', 'E'])
    }

    /// The integer, if the literal is one and fits into 64 bits.
    pub fn as_i64(&self) -> Option<i64> {
        if self.is_whole() { parse_whole(&self.0) } else { None }
    }

    /// The nearest floating-point number; `None` if it isn't finite.
    pub fn as_f64(&self) -> Option<f64> {
        if let Some(whole) = self.as_i64() {
            return Some(whole as f64);
        }
        self.0.parse().ok().filter(|number: &f64| number.is_finite())
    }

    fn is_hex(&self) -> bool {
        self.0.contains(['x', 'X'])
    }
}

impl fmt::Debug for NumberLiteral {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number")
    }
}

/// Parses an integer in decimal, hex or octal, with an optional minus sign.
pub(crate) fn parse_whole(literal: &str) -> Option<i64> {
    let (negative, digits) = match literal.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, literal),
    };
    let (base, digits) = match strip_hex(digits) {
        Some(digits) => (16, digits),
        None if digits.len() > 1 && digits.starts_with('0') => (8, digits),
        None => (10, digits),
    };
    // The standard library would accept a second sign here.
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let magnitude = i128::from_str_radix(digits, base).ok()?;
    i64::try_from(if negative { -magnitude } else { magnitude }).ok()
}

fn strip_hex(digits: &str) -> Option<&str> {
    digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X"))
}

const EMPTY_EXPONENT: &str = "number needs digits in its exponent";

fn native_problem(literal: &str) -> Option<&'static str> {
    let digits = literal.strip_prefix('-').unwrap_or(literal);
    if let Some(hex) = strip_hex(digits) {
        return hex.is_empty().then_some("hexadecimal number needs digits after 0x");
    }
    if !digits.ends_with(|c: char| c.is_ascii_digit() || c == '.') {
        return Some(EMPTY_EXPONENT);
    }
    let octal = digits.len() > 1 && digits.starts_with('0') && !digits.contains(['.', 'e', 'E']);
    (octal && digits.contains(['8', '9'])).then_some("a number that begins with 0 is octal")
}

fn json_problem(literal: &str) -> Option<&'static str> {
    let digits = literal.strip_prefix('-').unwrap_or(literal);
    let (mantissa, exponent) = match digits.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (digits, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    if strip_hex(digits).is_some() || (whole.len() > 1 && whole.starts_with('0')) {
        return Some("JSON has decimal numbers only, without leading zeros");
    }
    if whole.is_empty() || fraction.is_some_and(str::is_empty) {
        return Some("number needs digits on both sides of its point");
    }
    let no_digits = |exponent: &str| exponent.trim_start_matches(['+', '-']).is_empty();
    exponent.is_some_and(no_digits).then_some(EMPTY_EXPONENT)
}
