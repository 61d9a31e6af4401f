//! Times and durations. An unset time must be sent as the year 1; durations are in nanoseconds
//! unless the field says seconds.

use std::time::Duration;

use strongroom_types::Timestamp;

/// An unset time as Go encodes it: 0001-01-01T00:00:00Z.
pub const UNSET: prost_types::Timestamp =
    prost_types::Timestamp { seconds: -62_135_596_800, nanos: 0 };

/// The time is outside of the range that protobuf allows, or that a [`Timestamp`] can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the time is out of range")]
pub struct InvalidTime;

/// Encodes a time for a message; an unset time becomes [`UNSET`].
pub fn to_wire(time: Option<Timestamp>) -> prost_types::Timestamp {
    time.map_or(UNSET, |time| {
        let nanos = time.as_nanos().rem_euclid(NANOS_PER_SEC);
        // The remainder is less than a billion.
        let nanos = i32::try_from(nanos).unwrap_or_default();
        prost_types::Timestamp { seconds: time.as_secs(), nanos }
    })
}

/// Decodes a time of a message; `None` if it is absent or the year 1.
pub fn from_wire(time: Option<&prost_types::Timestamp>) -> Result<Option<Timestamp>, InvalidTime> {
    let Some(time) = time.filter(|time| **time != UNSET) else { return Ok(None) };
    if !(0..NANOS_PER_SEC).contains(&i64::from(time.nanos)) {
        return Err(InvalidTime);
    }
    let nanos = i128::from(time.seconds) * i128::from(NANOS_PER_SEC) + i128::from(time.nanos);
    i64::try_from(nanos).map(|nanos| Some(Timestamp::from_nanos(nanos))).map_err(|_| InvalidTime)
}

/// Encodes a duration as nanoseconds, at most `i64::MAX`, which is about 292 years.
pub fn duration_to_wire(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

/// Decodes a duration in nanoseconds; a negative one becomes zero, which means unset. No value is
/// out of range.
pub fn duration_from_wire(nanos: i64) -> Duration {
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))
}

const NANOS_PER_SEC: i64 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn unset_is_the_year_one() {
        assert_eq!(to_wire(None), UNSET);
        assert_eq!(from_wire(Some(&UNSET)), Ok(None));
        assert_eq!(from_wire(None), Ok(None));
        assert_eq!(UNSET.to_string(), "0001-01-01T00:00:00Z");
    }

    #[test]
    fn the_epoch_is_a_time() {
        let epoch = prost_types::Timestamp::default();
        assert_eq!(from_wire(Some(&epoch)), Ok(Some(Timestamp::EPOCH)));
    }

    #[test]
    fn times_out_of_range_are_refused() {
        for (seconds, nanos) in [
            (i64::MAX, 0),
            (i64::MIN, 0),
            (-62_135_596_801, 0),
            (9_223_372_037, 0),
            (0, -1),
            (0, 1_000_000_000),
        ] {
            let time = prost_types::Timestamp { seconds, nanos };
            assert_eq!(from_wire(Some(&time)), Err(InvalidTime), "{seconds} {nanos}");
        }
    }

    #[test]
    fn durations_saturate() {
        assert_eq!(duration_to_wire(Duration::from_secs(3600)), 3_600_000_000_000);
        assert_eq!(duration_to_wire(Duration::MAX), i64::MAX);
        assert_eq!(duration_from_wire(-1), Duration::ZERO);
        assert_eq!(duration_from_wire(i64::MIN), Duration::ZERO);
        assert_eq!(duration_from_wire(1_500_000_000), Duration::from_millis(1500));
    }

    proptest! {
        #[test]
        fn every_time_survives(nanos: i64) {
            let time = Timestamp::from_nanos(nanos);
            prop_assert_eq!(from_wire(Some(&to_wire(Some(time)))), Ok(Some(time)));
        }
    }
}
