//! Times: [`Timestamp`] as a field, and [`SignedDurationSecs`].

use serde_json::value::RawValue;
use strongroom_types::Timestamp;
use strongroom_types::duration::parse_nanos;
use strongroom_types::fields::write_string;

use super::{Field, FieldKind, InvalidValue, LeaseSafe};

/// A point in time: parsed from RFC 3339 text or from whole seconds since 1970, as a number or as
/// text; written as RFC 3339 in UTC. Vault's name for it is `framework.TypeTime`.
impl Field for Timestamp {
    const KIND: FieldKind = FieldKind::Time;

    fn value_if_absent() -> Option<Self> {
        None
    }

    fn read(raw: &RawValue) -> Result<Self, InvalidValue> {
        const BAD: InvalidValue =
            InvalidValue("a time such as 2006-01-02T15:04:05Z, or seconds since 1970");
        let text = String::read(raw).map_err(|_| BAD)?;
        Self::parse_rfc3339_or_secs(&text).ok_or(BAD)
    }

    fn write(&self, out: &mut Vec<u8>) -> bool {
        write_string(out, &self.to_rfc3339());
        true
    }
}

impl LeaseSafe for Timestamp {}

/// A duration in whole seconds that may be negative: parsed from a number, `"-3600"` or `"-1h"`,
/// written as a number. A fraction of a second is rounded away from zero, because zero often means
/// "not set". Vault's name for it is `framework.TypeSignedDurationSecond`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct SignedDurationSecs(pub i64);

impl Field for SignedDurationSecs {
    const KIND: FieldKind = FieldKind::Duration;

    fn value_if_absent() -> Option<Self> {
        Some(Self::default())
    }

    fn read(raw: &RawValue) -> Result<Self, InvalidValue> {
        const BAD: InvalidValue = InvalidValue("a duration such as 3600, \"1h\" or \"-1h\"");
        const NANOS_PER_SEC: i64 = 1_000_000_000;
        let text = String::read(raw).map_err(|_| BAD)?;
        let nanos = parse_nanos(&text).map_err(|_| BAD)?;
        // The remainder has the sign of the duration.
        Ok(Self(nanos / NANOS_PER_SEC + (nanos % NANOS_PER_SEC).signum()))
    }

    fn write(&self, out: &mut Vec<u8>) -> bool {
        self.0.write(out)
    }
}

impl LeaseSafe for SignedDurationSecs {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::testing::{read_field, write_field};

    #[test]
    fn times_are_read_in_every_form() {
        for json in [
            "1700000000",
            "\"1700000000\"",
            "\"2023-11-14T22:13:20Z\"",
            "\" 2023-11-14T22:13:20.000Z \"",
            "\"2023-11-15T00:13:20+02:00\"",
        ] {
            let time = read_field::<Timestamp>(json).unwrap();
            assert_eq!(write_field(&time), "\"2023-11-14T22:13:20Z\"", "{json}");
        }
        assert_eq!(read_field::<Timestamp>("-1"), Ok(Timestamp::from_secs(-1)));
        for json in ["\"\"", "\"tomorrow\"", "\"2023-11-14\"", "9223372037", "1.5", "true", "[1]"] {
            assert!(read_field::<Timestamp>(json).is_err(), "{json}");
        }
        assert_eq!(read_field::<Option<Timestamp>>("\"\""), Ok(None));
    }

    #[test]
    fn signed_durations_are_rounded_away_from_zero() {
        for (json, secs) in [
            ("3600", 3600),
            ("\"-1h\"", -3600),
            ("\"-1m30s\"", -90),
            ("\"500ms\"", 1),
            ("\"-500ms\"", -1),
            ("-0.5", -1),
            ("\"0\"", 0),
            ("\"\"", 0),
        ] {
            let duration = read_field::<SignedDurationSecs>(json).unwrap();
            assert_eq!(write_field(&duration), secs.to_string(), "{json}");
        }
        for json in ["\"soon\"", "true", "[1]", "9223372037", "1e3"] {
            assert!(read_field::<SignedDurationSecs>(json).is_err(), "{json}");
        }
    }
}
