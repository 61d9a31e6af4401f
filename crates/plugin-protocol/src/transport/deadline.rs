//! `grpc-timeout`: the header with the deadline of a call.

use std::time::Duration;

use http::HeaderMap;
use strongroom_types::Clock;
use strongroom_types::clock::BoxFuture;
use tonic::Status;

/// Resolves when the deadline of a call has passed.
pub(super) type Deadline = BoxFuture<'static, ()>;

/// The deadline in a call's headers; `None` if there is none or it is malformed.
pub(super) fn from_headers(headers: &HeaderMap, clock: &dyn Clock) -> Option<Deadline> {
    let timeout = parse(headers.get("grpc-timeout")?.to_str().ok()?)?;
    Some(clock.sleep(timeout))
}

/// The status of a call whose deadline has passed.
pub(super) fn exceeded_status() -> Status {
    Status::deadline_exceeded("the deadline of the call has passed")
}

/// Parses up to eight digits and a unit.
fn parse(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(count * 3600),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_read() {
        for (text, millis) in [
            ("1H", 3_600_000),
            ("2M", 120_000),
            ("99999999S", 99_999_999_000),
            ("250m", 250),
            ("250000u", 250),
            ("99000000n", 99),
            ("0S", 0),
        ] {
            assert_eq!(parse(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "S", "1", "1s", "-1S", "+1S", "999999999S", "1.5S", "1 S", "ü", "1ü"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
