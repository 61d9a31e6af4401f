//! Lifetimes in whole seconds, and durations as Vault's clients write them.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A lifetime in whole seconds. Zero means "not set" wherever a default exists.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Ttl(u64);

impl Ttl {
    /// Not set.
    pub const ZERO: Self = Self(0);

    /// From whole seconds.
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs)
    }

    /// From a duration, rounded down to seconds.
    pub const fn from_duration(duration: Duration) -> Self {
        Self(duration.as_secs())
    }

    /// Reads a duration as the API accepts it; negative ones are refused.
    pub fn parse(text: &str) -> Result<Self, InvalidDuration> {
        let nanos = parse_nanos(text)?;
        let nanos = u64::try_from(nanos).map_err(|_| InvalidDuration::NEGATIVE)?;
        Ok(Self(nanos / 1_000_000_000))
    }

    /// Whole seconds.
    pub const fn as_secs(self) -> u64 {
        self.0
    }

    /// As a standard duration.
    pub const fn as_duration(self) -> Duration {
        Duration::from_secs(self.0)
    }

    /// Whether it is "not set".
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// This, or `default` where this is not set.
    #[must_use]
    pub fn or(self, default: Self) -> Self {
        if self.is_zero() { default } else { self }
    }

    /// As [`fmt::Display`] writes it, without the units of zero at its end: `1h`, `1h30m`, `45s`.
    /// Warnings about lifetimes are written so.
    pub fn brief(self) -> String {
        let whole = self.to_string();
        let brief = whole.strip_suffix("m0s").map(|rest| format!("{rest}m")).unwrap_or(whole);
        brief.strip_suffix("h0m").map(|rest| format!("{rest}h")).unwrap_or(brief)
    }

    /// The shorter of both, where a zero limit means "no limit".
    #[must_use]
    pub fn capped_by(self, limit: Self) -> Self {
        if limit.is_zero() { self } else { self.min(limit) }
    }
}

impl fmt::Display for Ttl {
    /// As Go prints durations: `1h30m0s`, `45s`, `0s`. Clients match on some of these texts.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (hours, minutes, secs) = (self.0 / 3600, self.0 / 60 % 60, self.0 % 60);
        match (hours, minutes) {
            (0, 0) => write!(f, "{secs}s"),
            (0, _) => write!(f, "{minutes}m{secs}s"),
            _ => write!(f, "{hours}h{minutes}m{secs}s"),
        }
    }
}

/// A text that is no duration. The message never repeats the text: it may be a secret in the wrong
/// field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidDuration(&'static str);

impl InvalidDuration {
    const MALFORMED: Self = Self("time: invalid duration: write it as 90 or 1h30m");
    const NEGATIVE: Self = Self("a duration must not be negative");
}

/// Reads a duration in nanoseconds: whole or fractional seconds without a unit, a Go duration
/// (`ns us µs ms s m h`, combined and fractional), or whole days (`30d`). Empty is zero.
pub fn parse_nanos(text: &str) -> Result<i64, InvalidDuration> {
    let bad = || InvalidDuration::MALFORMED;
    let trimmed = text.trim();
    let (negative, magnitude) = match trimmed.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, trimmed.strip_prefix('+').unwrap_or(trimmed)),
    };
    if magnitude.is_empty() {
        return if trimmed.is_empty() { Ok(0) } else { Err(bad()) };
    }
    let nanos = if let Some(days) = magnitude.strip_suffix('d') {
        let days: i64 = parse_digits(days).ok_or_else(bad)?;
        days.checked_mul(86_400_000_000_000).ok_or_else(bad)?
    } else if magnitude.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        scaled(magnitude, 1_000_000_000).ok_or_else(bad)?
    } else {
        parse_units(magnitude).ok_or_else(bad)?
    };
    Ok(if negative { -nanos } else { nanos })
}

const UNITS: [(&str, i64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000), // U+00B5, the micro sign
    ("μs", 1_000), // U+03BC, the Greek letter
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

fn parse_units(text: &str) -> Option<i64> {
    let mut rest = text;
    let mut total = 0_i64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(digits);
        let unit_len = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_len);
        let (_, scale) = UNITS.iter().find(|(name, _)| *name == unit)?;
        total = total.checked_add(scaled(number, *scale)?)?;
        rest = tail;
    }
    Some(total)
}

/// `number` with an optional fraction, times `scale`; digits beyond the scale are cut.
fn scaled(number: &str, scale: i64) -> Option<i64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let whole = if whole.is_empty() { 0 } else { parse_digits(whole)? };
    let mut total = whole.checked_mul(scale)?;
    let mut unit = scale;
    for digit in fraction.bytes() {
        if !digit.is_ascii_digit() {
            return None;
        }
        unit /= 10;
        total = total.checked_add(unit.checked_mul(i64::from(digit - b'0'))?)?;
    }
    Some(total)
}

fn parse_digits(text: &str) -> Option<i64> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brief_durations_end_with_what_counts() {
        let brief = |secs| Ttl::from_secs(secs).brief();
        assert_eq!(brief(0), "0s");
        assert_eq!(brief(45), "45s");
        assert_eq!(brief(600), "10m");
        assert_eq!(brief(90), "1m30s");
        assert_eq!(brief(3600), "1h");
        assert_eq!(brief(5400), "1h30m");
        assert_eq!(brief(3610), "1h0m10s");
        assert_eq!(brief(2_764_800), "768h");
    }

    #[test]
    fn reads_what_the_api_accepts() {
        let cases = [
            ("", 0),
            ("0", 0),
            ("3600", 3600),
            ("1.9", 1),
            ("90s", 90),
            ("1h30m", 5400),
            ("1.5h", 5400),
            ("500ms", 0),
            ("1500ms", 1),
            ("30d", 2_592_000),
            ("1µs", 0),
            ("+2m", 120),
            (".5h", 1800),
        ];
        for (text, secs) in cases {
            assert_eq!(Ttl::parse(text), Ok(Ttl::from_secs(secs)), "{text}");
        }
    }

    #[test]
    fn refuses_the_rest_with_the_text_clients_know() {
        for text in
            ["zz", "1d12h", "1w", "h", "1..2s", ".", "--1", "-", "1 h", "9223372036854775807h"]
        {
            let error = Ttl::parse(text).unwrap_err().to_string();
            assert_eq!(error, InvalidDuration::MALFORMED.to_string());
        }
        assert!(Ttl::parse("-1h").is_err());
        assert_eq!(parse_nanos("-1h"), Ok(-3_600_000_000_000));
    }

    #[test]
    fn prints_like_go() {
        for (secs, text) in [(0, "0s"), (45, "45s"), (90, "1m30s"), (5400, "1h30m0s")] {
            assert_eq!(Ttl::from_secs(secs).to_string(), text);
        }
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text in "\\PC{0,24}") {
            let _ = parse_nanos(&text);
        }

        #[test]
        fn printed_reads_back(secs in 0_u64..4_000_000_000) {
            let ttl = Ttl::from_secs(secs);
            proptest::prop_assert_eq!(Ttl::parse(&ttl.to_string()), Ok(ttl));
        }
    }
}
