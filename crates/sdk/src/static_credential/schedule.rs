//! [`RotationSchedule`]: the times at which passwords are rotated, as a cron expression.

use cronexpr::{Crontab, FallbackTimezoneOption, ParseOptions};
use serde_json::value::RawValue;
use strongroom_schema::field::{Field, FieldKind, InvalidValue};
use strongroom_types::Timestamp;
use strongroom_types::fields::write_string;

/// Times as the five fields of a cron expression, in UTC: `0 3 * * SUN`.
#[derive(Clone, Debug)]
pub struct RotationSchedule {
    text: String,
    crontab: Crontab,
}

impl RotationSchedule {
    /// Parses minute, hour, day of the month, month and day of the week. `None` if one of them is
    /// missing or invalid, or if no time matches within the next years.
    pub fn parse(text: &str) -> Option<Self> {
        const FIELDS: usize = 5;
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if text.split(' ').count() != FIELDS {
            return None;
        }
        let mut options = ParseOptions::default();
        options.fallback_timezone_option = FallbackTimezoneOption::UTC;
        let crontab = cronexpr::parse_crontab_with(&text, options).ok()?;
        let schedule = Self { text, crontab };
        // The 30th of February never comes.
        schedule.next_after(Timestamp::EPOCH).is_some().then_some(schedule)
    }

    /// The first scheduled time after `time`.
    pub fn next_after(&self, time: Timestamp) -> Option<Timestamp> {
        let next = self.crontab.find_next(time.to_rfc3339().as_str()).ok()?;
        Some(Timestamp::from_secs(next.timestamp().as_second()))
    }

    /// The expression as it was written, with single spaces.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl Field for RotationSchedule {
    const KIND: FieldKind = FieldKind::String;

    fn value_if_absent() -> Option<Self> {
        None
    }

    fn read(raw: &RawValue) -> Result<Self, InvalidValue> {
        const EXPECTED: InvalidValue = InvalidValue(
            "the five fields of a cron expression in UTC, such as \"0 3 * * SUN\", that match some day",
        );
        let text = String::read(raw).map_err(|_| EXPECTED)?;
        Self::parse(&text).ok_or(EXPECTED)
    }

    fn write(&self, out: &mut Vec<u8>) -> bool {
        write_string(out, &self.text);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(schedule: &str, after: &str) -> String {
        let after = Timestamp::parse_rfc3339(after).unwrap();
        RotationSchedule::parse(schedule).unwrap().next_after(after).unwrap().to_rfc3339()
    }

    #[test]
    fn the_next_time_is_after_the_given_one() {
        let sunday = "2026-11-29T03:00:00Z";
        assert_eq!(next("0 3 * * SUN", sunday), "2026-12-06T03:00:00Z");
        assert_eq!(next("0 3 * * 0", "2026-11-29T02:59:59Z"), sunday);
        assert_eq!(next("*/15  * * * *", sunday), "2026-11-29T03:15:00Z");
        assert_eq!(next("30 0 29 2 *", sunday), "2028-02-29T00:30:00Z");
    }

    #[test]
    fn other_expressions_are_refused() {
        for text in
            ["", "* * * *", "61 * * * *", "0 3 * * SUN Europe/Berlin", "@daily", "0 0 30 2 *"]
        {
            assert!(RotationSchedule::parse(text).is_none(), "{text:?}");
        }
    }
}
