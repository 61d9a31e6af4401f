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
    /// Zero seconds, which means "not set".
    pub const ZERO: Self = Self(0);

    /// Builds a lifetime from whole seconds.
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs)
    }

    /// Converts a duration, rounding down to whole seconds. Use it for remaining lifetimes only;
    /// requested durations are rounded up, see [`Ttl::rounded_up`].
    pub const fn from_duration(duration: Duration) -> Self {
        Self(duration.as_secs())
    }

    /// Converts a requested duration, rounding up to whole seconds. Rounding down would turn half a
    /// second into zero, which means "no limit" or "use the default".
    pub const fn rounded_up(duration: Duration) -> Self {
        Self(duration.as_secs().saturating_add((duration.subsec_nanos() > 0) as u64))
    }

    /// Converts nanoseconds, as returned by [`parse_nanos`], rounding up to seconds. Returns `None`
    /// for a negative number.
    pub fn from_nanos(nanos: i64) -> Option<Self> {
        u64::try_from(nanos).ok().map(|nanos| Self::rounded_up(Duration::from_nanos(nanos)))
    }

    /// Parses a duration in the syntax of the API, the command line and the configuration file (see
    /// [`parse_nanos`]), rounding up to seconds.
    ///
    /// # Errors
    ///
    /// If the text isn't a duration, or is negative.
    ///
    /// ```
    /// # use strongroom_types::Ttl;
    /// assert_eq!(Ttl::parse("1h30m")?.as_secs(), 5400);
    /// assert_eq!(Ttl::parse("500ms")?.as_secs(), 1);
    /// assert!(Ttl::parse("-1s").is_err() && Ttl::parse("1e3").is_err());
    /// # Ok::<(), strongroom_types::duration::InvalidDuration>(())
    /// ```
    pub fn parse(text: &str) -> Result<Self, InvalidDuration> {
        Self::from_nanos(parse_nanos(text)?).ok_or(InvalidDuration::NEGATIVE)
    }

    /// Parses a limit that another system imposes, rounding down to seconds so that requests to
    /// that system stay within it.
    ///
    /// # Errors
    ///
    /// If the text isn't a duration, or is negative.
    pub fn parse_rounded_down(text: &str) -> Result<Self, InvalidDuration> {
        let nanos = parse_nanos(text)?;
        let nanos = u64::try_from(nanos).map_err(|_| InvalidDuration::NEGATIVE)?;
        Ok(Self::from_duration(Duration::from_nanos(nanos)))
    }

    /// The lifetime in whole seconds; zero means "not set".
    pub const fn as_secs(self) -> u64 {
        self.0
    }

    /// The lifetime as a standard-library [`Duration`].
    pub const fn as_duration(self) -> Duration {
        Duration::from_secs(self.0)
    }

    /// Whether the lifetime is zero, which means "not set".
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// This lifetime, or `default` if this one is zero ("not set").
    #[must_use]
    pub fn nonzero_or(self, default: Self) -> Self {
        if self.is_zero() { default } else { self }
    }

    /// Formats like [`fmt::Display`] but drops trailing zero units: `1h`, `1h30m`, `45s`. Used in
    /// warnings about lifetimes.
    pub fn to_short_string(self) -> String {
        let whole = self.to_string();
        let brief = whole.strip_suffix("m0s").map(|rest| format!("{rest}m")).unwrap_or(whole);
        brief.strip_suffix("h0m").map(|rest| format!("{rest}h")).unwrap_or(brief)
    }

    /// The shorter of this lifetime and `limit`, where a zero `limit` means "no limit".
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

/// The text is not a valid duration. The message never repeats the text, because it may be a secret
/// entered in the wrong field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidDuration(&'static str);

impl InvalidDuration {
    const MALFORMED: Self = Self("time: invalid duration: write it as 90 or 1h30m");
    const NEGATIVE: Self = Self("a duration must not be negative");
}

/// Parses a duration into nanoseconds: whole or fractional seconds without a unit, a Go duration
/// (`ns us µs ms s m h`, combined and fractional), or whole days (`30d`). Empty text is zero; a
/// positive duration below one nanosecond is rounded up, so it never becomes zero.
///
/// # Errors
///
/// If the text isn't a duration, or exceeds the range of `i64`. A negative duration is valid here.
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
        scale_number(magnitude, 1_000_000_000).ok_or_else(bad)?
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
        total = total.checked_add(scale_number(number, *scale)?)?;
        rest = tail;
    }
    Some(total)
}

/// Multiplies a decimal `number` by `scale`. Non-zero digits below a nanosecond add one nanosecond,
/// so only a written zero gives zero.
fn scale_number(number: &str, scale: i64) -> Option<i64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let whole = if whole.is_empty() { 0 } else { parse_digits(whole)? };
    let mut total = whole.checked_mul(scale)?;
    let mut unit = scale;
    let mut has_rest = false;
    for digit in fraction.bytes() {
        if !digit.is_ascii_digit() {
            return None;
        }
        has_rest |= digit != b'0' && (unit == 0 || unit % 10 != 0);
        unit /= 10;
        total = total.checked_add(unit.checked_mul(i64::from(digit - b'0'))?)?;
    }
    total.checked_add(i64::from(has_rest))
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
    fn short_durations_omit_trailing_zero_units() {
        let brief = |secs| Ttl::from_secs(secs).to_short_string();
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
            ("0s", 0),
            ("0.000", 0),
            ("-0", 0),
            ("1.9", 2),
            ("90s", 90),
            ("1h30m", 5400),
            ("1.5h", 5400),
            ("500ms", 1),
            ("1000ms", 1),
            ("1500ms", 2),
            ("1000001us", 2),
            ("30d", 2_592_000),
            ("1µs", 1),
            ("1ns", 1),
            ("0.9", 1),
            ("0.0000000001s", 1),
            ("0.00000000000000001h", 1),
            ("0.5ns", 1),
            ("+2m", 120),
            (".5h", 1800),
        ];
        for (text, secs) in cases {
            assert_eq!(Ttl::parse(text), Ok(Ttl::from_secs(secs)), "{text}");
        }
    }

    #[test]
    fn refuses_the_rest_with_the_text_clients_know() {
        for text in [
            "zz",
            "1d12h",
            "1w",
            "h",
            "1..2s",
            ".",
            "--1",
            "-",
            "1 h",
            "9223372036854775807h",
            "1e3",
            "NaN",
            "inf",
            "Infinity",
            "0x10",
            "1_000",
            "9223372037",
            "106752d",
            "1.5d",
            "1.2.3",
        ] {
            let error = Ttl::parse(text).unwrap_err().to_string();
            assert_eq!(error, InvalidDuration::MALFORMED.to_string());
        }
        for text in ["-1h", "-1", "-1ns", "-0.5"] {
            let error = Ttl::parse(text).unwrap_err().to_string();
            assert_eq!(error, InvalidDuration::NEGATIVE.to_string());
        }
        assert_eq!(parse_nanos("-1h"), Ok(-3_600_000_000_000));
    }

    #[test]
    fn a_limit_of_another_system_is_rounded_down() {
        assert_eq!(Ttl::parse_rounded_down("1h30m0.5s"), Ok(Ttl::from_secs(5400)));
        assert_eq!(Ttl::parse_rounded_down("900ms"), Ok(Ttl::ZERO));
        assert!(Ttl::parse_rounded_down("-1s").is_err());
    }

    #[test]
    fn prints_like_go() {
        for (secs, text) in [(0, "0s"), (45, "45s"), (90, "1m30s"), (5400, "1h30m0s")] {
            assert_eq!(Ttl::from_secs(secs).to_string(), text);
        }
    }

    proptest::proptest! {
        #[test]
        fn only_zero_becomes_zero(digits in "[0-9]{0,6}\\.?[0-9]{0,24}", unit in "(ns|us|ms|s|m|h)?") {
            let text = format!("{digits}{unit}");
            if let Ok(ttl) = Ttl::parse(&text) {
                let is_written_as_zero = !text.bytes().any(|byte| matches!(byte, b'1'..=b'9'));
                proptest::prop_assert_eq!(ttl.is_zero(), is_written_as_zero, "{}", text);
                let nanos = u64::try_from(parse_nanos(&text).unwrap()).unwrap();
                let exact = Duration::from_nanos(nanos);
                let added = ttl.as_duration().checked_sub(exact);
                proptest::prop_assert!(added.is_some_and(|it| it < Duration::from_secs(1)));
            }
        }

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
