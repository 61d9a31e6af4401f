//! Matches a value against those that a rule allows or denies, in the form in which the handler
//! reads it.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde_json::{Number, Value};
use strongroom_types::duration::parse_nanos;
use strongroom_types::{Timestamp, parse_bool};

use super::ANY_FIELD;
use crate::field_reading::{FieldReading, case_folded};

/// Maximum number of list entries that are checked, the same as handlers accept. A longer list is
/// never allowed and always denied.
const MAX_ENTRIES: usize = 4096;

/// Whether `allowed` permits this value. Of a list, every entry must be allowed, and there must be
/// at least one.
pub(super) fn is_allowed(allowed: &[Value], value: &Value, reading: FieldReading) -> bool {
    if allowed.iter().any(|wanted| is_allowed_as_sent(wanted, value, reading)) {
        return true;
    }
    match reading {
        FieldReading::Unknown => match value {
            Value::Array(entries) => {
                let alone = |entry: &Value| {
                    allowed.iter().any(|wanted| is_allowed_as_sent(wanted, entry, reading))
                };
                !entries.is_empty() && entries.iter().all(alone)
            }
            _ => false,
        },
        FieldReading::List
        | FieldReading::MountPath
        | FieldReading::PolicyName
        | FieldReading::PolicyNames => {
            let same_list =
                |wanted| matches!(wanted, &Value::Array(_)) && same_entries(wanted, value, reading);
            allowed.iter().any(same_list)
                || list_entries(value, reading).is_some_and(|entries| {
                    let fits = |entry: &String| {
                        allowed.iter().any(|wanted| entry_matches(wanted, entry, reading))
                    };
                    !entries.is_empty() && entries.iter().all(fits)
                })
        }
        FieldReading::Pairs => {
            let same_pairs = |wanted| {
                matches!(wanted, &Value::Object(_)) && parse_pairs(wanted) == parse_pairs(value)
            };
            allowed.iter().any(same_pairs)
                || parse_pairs(value).is_some_and(|pairs| {
                    let fits = |(name, value): (&String, &String)| {
                        let pair = format!("{name}={value}");
                        allowed.iter().any(|wanted| entry_matches(wanted, &pair, reading))
                    };
                    !pairs.is_empty() && pairs.iter().all(fits)
                })
        }
        FieldReading::Integer
        | FieldReading::Float
        | FieldReading::Boolean
        | FieldReading::Duration
        | FieldReading::Time => {
            allowed.iter().any(|wanted| same_scalar(wanted, value, reading, WholeSecs::is_same))
        }
        FieldReading::FoldedText | FieldReading::Version => scalar_text(value)
            .is_some_and(|text| allowed.iter().any(|it| entry_matches(it, text.trim(), reading))),
        FieldReading::AsSent | FieldReading::Text | FieldReading::CommandLine => false,
    }
}

/// Compares strings by glob and everything else by value. A glob is matched against a whole text
/// only if the handler doesn't split it.
fn is_allowed_as_sent(wanted: &Value, value: &Value, reading: FieldReading) -> bool {
    let (Value::String(glob), Value::String(text)) = (wanted, value) else {
        return same_value(wanted, value);
    };
    match reading {
        FieldReading::CommandLine if text.contains(char::is_whitespace) => glob == text,
        FieldReading::AsSent
        | FieldReading::Text
        | FieldReading::FoldedText
        | FieldReading::Version
        | FieldReading::CommandLine
        | FieldReading::Integer
        | FieldReading::Float
        | FieldReading::Boolean
        | FieldReading::Duration
        | FieldReading::Time => glob_matches(glob, text),
        FieldReading::Unknown if text.contains(',') => glob == text,
        FieldReading::Unknown => glob_matches(glob, text),
        FieldReading::List
        | FieldReading::MountPath
        | FieldReading::Pairs
        | FieldReading::PolicyName
        | FieldReading::PolicyNames => false,
    }
}

/// Whether `denied` refuses this value: as sent, at any depth, as JSON string or not, and in each
/// form that the handler may turn it into.
pub(super) fn is_denied(denied: &[Value], value: &Value, reading: FieldReading) -> bool {
    denied.iter().any(|wanted| is_denied_by(wanted, value, reading))
}

fn is_denied_by(wanted: &Value, value: &Value, reading: FieldReading) -> bool {
    if matches!(wanted, Value::String(any) if any == ANY_FIELD) || same_value(wanted, value) {
        return true;
    }
    let read = match reading {
        FieldReading::Unknown
        | FieldReading::List
        | FieldReading::MountPath
        | FieldReading::PolicyNames => match (wanted, list_entries(value, reading)) {
            (_, None) => has_too_many_entries(value),
            (Value::Array(_), Some(_)) => same_entries(wanted, value, reading),
            (_, Some(found)) => found.iter().any(|entry| entry_matches(wanted, entry, reading)),
        },
        FieldReading::Pairs => parse_pairs(value).is_some_and(|found| {
            let same_pairs =
                matches!(wanted, Value::Object(_)) && parse_pairs(wanted) == Some(found.clone());
            let fits = |(name, value): (&String, &String)| {
                entry_matches(wanted, &format!("{name}={value}"), reading)
                    || entry_matches(wanted, value, reading)
            };
            same_pairs || found.iter().any(fits)
        }),
        FieldReading::Integer
        | FieldReading::Float
        | FieldReading::Boolean
        | FieldReading::Duration
        | FieldReading::Time => same_scalar(wanted, value, reading, WholeSecs::may_be_equal),
        FieldReading::CommandLine => scalar_text(value).is_some_and(|text| {
            text.split_whitespace().any(|word| entry_matches(wanted, word, reading))
        }),
        FieldReading::AsSent
        | FieldReading::Text
        | FieldReading::FoldedText
        | FieldReading::Version
        | FieldReading::PolicyName => false,
    };
    read || is_denied_at_any_depth(wanted, value, reading)
}

/// Denials also search lists and objects; otherwise wrapping a value in brackets would bypass them.
fn is_denied_at_any_depth(wanted: &Value, value: &Value, reading: FieldReading) -> bool {
    let inner = |value: &Value| is_denied_at_any_depth(wanted, value, reading);
    match value {
        _ if same_value(wanted, value) => true,
        _ if reading == FieldReading::Unknown && go_may_convert(wanted, value) => true,
        Value::Array(entries) => entries.iter().any(inner),
        Value::Object(entries) => entries.values().any(inner),
        Value::String(text) => is_denied_text(wanted, text, reading),
        Value::Number(_) | Value::Bool(_) => is_denied_text(wanted, &value.to_string(), reading),
        Value::Null => false,
    }
}

fn is_denied_text(wanted: &Value, text: &str, reading: FieldReading) -> bool {
    if entry_matches(wanted, text, reading) || entry_matches(wanted, text.trim(), reading) {
        return true;
    }
    if reading != FieldReading::Unknown {
        return false;
    }
    // The handler is unknown: it may use each comma-separated part, also after `name=`, and may
    // parse the text as JSON or as a duration.
    let in_part = |part: &str| {
        let value = part.split_once('=').map(|(_, value)| value.trim());
        entry_matches(wanted, part.trim(), reading)
            || value.is_some_and(|value| entry_matches(wanted, value, reading))
    };
    let whole = Value::String(text.to_owned());
    text.split(',').nth(MAX_ENTRIES).is_some()
        || text.split(',').any(in_part)
        || same_scalar(wanted, &whole, FieldReading::Duration, WholeSecs::may_be_equal)
        || is_denied_in_json_text(wanted, text)
}

/// Some handlers accept a list or an object as JSON in a text. Such JSON is checked once; texts
/// inside it are not parsed again.
fn is_denied_in_json_text(wanted: &Value, text: &str) -> bool {
    let text = text.trim();
    let structured = text.starts_with(['[', '{']);
    structured
        && serde_json::from_str::<Value>(text)
            .is_ok_and(|value| is_denied_at_any_depth(wanted, &value, FieldReading::List))
}

/// Whether a Go plug-in may convert this value to the wanted one. Its fields convert between
/// scalars: a number is true unless it is 0, true is 1, an empty value is 0, and an integer in a
/// text may have another base (`0x10`, `010`, `1_0`).
fn go_may_convert(wanted: &Value, value: &Value) -> bool {
    let nothing = matches!(value, Value::Null) || matches!(value, Value::String(t) if t.is_empty());
    let number = if nothing { Some(0.0) } else { converted_number(value) };
    let (Some(wanted_number), Some(number)) = (converted_number(wanted), number) else {
        return false;
    };
    let same_truth = !value.is_string() && (wanted_number == 0.0) == (number == 0.0);
    wanted_number.trunc() == number.trunc() || (converted_truth(wanted).is_some() && same_truth)
}

/// The boolean a value is written as, if it isn't written as a number.
fn converted_truth(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(truth) => Some(*truth),
        Value::String(text) if !text.starts_with(|c: char| c.is_ascii_digit()) => parse_bool(text),
        _ => None,
    }
}

fn converted_number(value: &Value) -> Option<f64> {
    if let Some(truth) = converted_truth(value) {
        return Some(f64::from(u8::from(truth)));
    }
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => integer_of_any_base(text)
            .or_else(|| text.parse().ok().filter(|number: &f64| number.is_finite())),
        _ => None,
    }
}

/// Parses like Go's `strconv.ParseInt` with base 0. Large numbers lose digits, so a few different
/// ones compare as equal.
fn integer_of_any_base(text: &str) -> Option<f64> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1.0, digits),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    let digits = digits.replace('_', "").to_ascii_lowercase();
    let bases = [("0x", 16), ("0b", 2), ("0o", 8), ("0", 8)];
    let prefixed = bases.iter().find_map(|(prefix, base)| {
        let rest = digits.strip_prefix(prefix).filter(|rest| !rest.is_empty())?;
        Some((rest, *base))
    });
    let (digits, base) = prefixed.unwrap_or((&digits, 10));
    let worth = u64::from_str_radix(digits, base).ok()?;
    #[expect(clippy::cast_precision_loss, reason = "see above")]
    let worth = worth as f64;
    Some(sign * worth)
}

/// Whether one entry, in the form the handler reads, matches the wanted value. Case is ignored if
/// the handler may ignore it.
fn entry_matches(wanted: &Value, entry: &str, reading: FieldReading) -> bool {
    let folds = matches!(
        reading,
        FieldReading::Unknown
            | FieldReading::FoldedText
            | FieldReading::PolicyName
            | FieldReading::PolicyNames
    );
    let plain_version = |text: &str| text.strip_prefix('v').unwrap_or(text).to_owned();
    let slashless = |text: &str| text.trim_matches('/').to_owned();
    match wanted {
        Value::String(glob) if reading == FieldReading::MountPath => {
            glob_matches(glob, entry) || glob_matches(&slashless(glob), &slashless(entry))
        }
        Value::String(glob) if reading == FieldReading::Version => {
            glob_matches(glob, entry) || glob_matches(&plain_version(glob), &plain_version(entry))
        }
        Value::String(glob) if folds => {
            glob_matches(glob, entry) || glob_matches(&case_folded(glob), &case_folded(entry))
        }
        Value::String(glob) => glob_matches(glob, entry),
        Value::Bool(wanted) => parse_bool(entry) == Some(*wanted),
        Value::Number(_) => {
            serde_json::from_str(entry).is_ok_and(|value: Value| same_value(wanted, &value))
        }
        _ => false,
    }
}

/// Whether two scalars are equal in the way the handler reads them.
fn same_scalar(
    wanted: &Value,
    value: &Value,
    reading: FieldReading,
    same_secs: fn(WholeSecs, WholeSecs) -> bool,
) -> bool {
    let (Some(a), Some(b)) = (scalar_text(wanted), scalar_text(value)) else { return false };
    let (a, b) = (a.trim(), b.trim());
    if a.is_empty() || b.is_empty() {
        return false;
    }
    match reading {
        FieldReading::Integer => match (a.parse::<i128>(), b.parse::<i128>()) {
            (Ok(a), Ok(b)) => a == b,
            _ => false,
        },
        FieldReading::Float => match (a.parse::<f64>(), b.parse::<f64>()) {
            (Ok(a), Ok(b)) => a.partial_cmp(&b) == Some(Ordering::Equal),
            _ => false,
        },
        FieldReading::Time => {
            let time = Timestamp::parse_rfc3339_or_secs(a);
            time.is_some() && time == Timestamp::parse_rfc3339_or_secs(b)
        }
        FieldReading::Boolean => parse_bool(a).is_some() && parse_bool(a) == parse_bool(b),
        FieldReading::Duration => match (whole_secs(a), whole_secs(b)) {
            (Some(a), Some(b)) => same_secs(a, b),
            _ => false,
        },
        _ => false,
    }
}

/// A duration in seconds, rounded down and rounded up, because handlers round either way.
#[derive(Clone, Copy)]
struct WholeSecs {
    down: i64,
    up: i64,
}

impl WholeSecs {
    /// Whether both durations are equal whichever way the handler rounds.
    fn is_same(self, other: Self) -> bool {
        self.down == other.down && self.up == other.up
    }

    /// Whether both durations are equal for some way of rounding.
    fn may_be_equal(self, other: Self) -> bool {
        self.down == other.down || self.up == other.up
    }
}

fn whole_secs(text: &str) -> Option<WholeSecs> {
    let nanos = parse_nanos(text).ok()?;
    let down = nanos.div_euclid(1_000_000_000);
    let up = down.saturating_add(i64::from(nanos.rem_euclid(1_000_000_000) > 0));
    Some(WholeSecs { down, up })
}

/// The text of a string, number or boolean; `None` for other values.
fn scalar_text(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Number(_) | Value::Bool(_) => Some(Cow::Owned(value.to_string())),
        _ => None,
    }
}

/// The entries of a list as the handler gets them; `None` if it isn't a list or has too many
/// entries.
fn list_entries(value: &Value, reading: FieldReading) -> Option<Vec<String>> {
    let trimmed = |part: &str| Some(part.trim().to_owned()).filter(|part| !part.is_empty());
    match value {
        Value::Array(items) if reading != FieldReading::PolicyName => {
            let texts: Vec<Cow<'_, str>> = items.iter().map(scalar_text).collect::<Option<_>>()?;
            let few = texts.len() <= MAX_ENTRIES;
            few.then(|| texts.iter().filter_map(|text| trimmed(text)).collect())
        }
        _ => {
            let text = scalar_text(value)?;
            if reading == FieldReading::PolicyName {
                return Some(trimmed(&text).into_iter().collect());
            }
            let few = text.split(',').nth(MAX_ENTRIES).is_none();
            few.then(|| text.split(',').filter_map(trimmed).collect())
        }
    }
}

fn has_too_many_entries(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.len() > MAX_ENTRIES,
        Value::String(text) => text.split(',').nth(MAX_ENTRIES).is_some(),
        _ => false,
    }
}

fn same_entries(wanted: &Value, value: &Value, reading: FieldReading) -> bool {
    let folds = matches!(reading, FieldReading::Unknown | FieldReading::PolicyNames);
    let read = |value| {
        let entries = list_entries(value, reading)?;
        let fold = |entry: String| if folds { case_folded(&entry).into_owned() } else { entry };
        Some(entries.into_iter().map(fold).collect::<Vec<_>>())
    };
    read(wanted).is_some_and(|wanted| Some(wanted) == read(value))
}

/// Name-value pairs as the handler gets them; `None` if it wouldn't accept the value.
fn parse_pairs(value: &Value) -> Option<BTreeMap<String, String>> {
    if let Value::Object(object) = value {
        let read = |(name, value): (&String, &Value)| {
            Some((name.clone(), scalar_text(value)?.into_owned()))
        };
        return object.iter().map(read).collect();
    }
    let split = |part: String| {
        let (name, value) = part.split_once('=')?;
        Some((name.trim().to_owned(), value.to_owned()))
    };
    list_entries(value, FieldReading::Pairs)?.into_iter().map(split).collect()
}

/// Matches a glob with `*` at the start, at the end or both; a single `*` matches only itself.
pub(super) fn glob_matches(glob: &str, text: &str) -> bool {
    if glob.len() < 2 {
        return glob == text;
    }
    match (glob.strip_prefix('*'), glob.strip_suffix('*')) {
        (Some(rest), Some(_)) => text.contains(rest.strip_suffix('*').unwrap_or(rest)),
        (Some(end), None) => text.ends_with(end),
        (None, Some(start)) => text.starts_with(start),
        (None, None) => glob == text,
    }
}

/// Deep equality, with numbers compared by value: a policy's `5` equals JSON's `5.0`.
fn same_value(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => same_number(a, b),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_value(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            let found =
                |(name, a): (&String, &Value)| b.get(name).is_some_and(|b| same_value(a, b));
            a.len() == b.len() && a.iter().all(found)
        }
        _ => a == b,
    }
}

fn same_number(a: &Number, b: &Number) -> bool {
    let fractions = || a.as_f64().partial_cmp(&b.as_f64()) == Some(Ordering::Equal);
    a == b || ((a.is_f64() || b.is_f64()) && fractions())
}
