//! What differs from run to run and says nothing: ids, tokens, times. A value that a case captured
//! is shown by its name, so that it is known again wherever it comes back.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use regex::Regex;
use serde_json::{Map, Value};

/// Values by name: what was captured so far, and `root`.
pub type CapturedValues = BTreeMap<String, String>;

/// Shapes of texts that differ from run to run, wherever they stand in a text, and what is written
/// in their place.
const VOLATILE_PATTERNS: &[(&str, &str)] = &[
    (r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", "<uuid>"),
    (r"\b[12]\d{3}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", "<time>"),
    (r"\b(hvs|s)\.[A-Za-z0-9_-]{20,}", "<service token>"),
    (r"\b(hvb|b)\.[A-Za-z0-9_-]{20,}", "<batch token>"),
    (r"\b((?:auth_)?[a-z][a-z0-9-]*)_[0-9a-f]{8}\b", "${1}_<8 hex>"),
    (r"\bh[0-9a-f]{64}\b", "h<64 hex>"),
    (r"^[0-9a-f]{66}$", "<66 hex>"),
    (r"^[A-Za-z0-9+/]{43}=$|^[A-Za-z0-9+/]{44}$", "<44 base64>"),
    (r"\b[A-Za-z0-9]{24}\b", "<24 letters>"),
    (r"\b(?:vault|strongroom)-cluster-[0-9a-f]{8}\b", "<cluster>"),
    (r"^v?\d+\.\d+\.\d+\+builtin.*$", "<built-in version>"),
];

/// Texts of the reference's own libraries, and ours in their place. A client may match on what is
/// in front.
const LIBRARY_MESSAGES: &[(&str, &str)] = &[
    (r"^failed to decode JSON input: (?s:.*)", "failed to decode JSON input: <why>"),
    (
        r#"^(?:Field validation failed: )?error converting input for field "([^"]*)": (?s:.*)"#,
        r#"error converting input for field "$1": <why>"#,
    ),
];

/// Keys whose value is the server's own, in the answers to these paths.
const SERVER_SPECIFIC_KEYS: &[(&str, &[&str])] = &[
    ("sys/health", &["version", "server_time_utc"]),
    ("sys/seal-status", &["version", "build_date", "commit_date", "storage_type"]),
    ("sys/unseal", &["version", "build_date", "commit_date", "storage_type"]),
];

/// Keys of texts that are for people.
const HUMAN_TEXT_KEYS: &[&str] = &["help", "openapi"];

/// Keys of seconds that pass while a case is played.
const DURATION_KEYS: &[&str] = &["ttl", "lease_duration"];

/// Keys of seconds since 1970.
const UNIX_TIME_KEYS: &[&str] = &["creation_time", "last_renewal_time"];

/// A body without what says nothing. `path` is what was asked, below `/v1/`.
pub fn redact_body(value: &Value, path: &str, known: &CapturedValues) -> Value {
    let path = path.split('?').next().unwrap_or_default();
    let own =
        SERVER_SPECIFIC_KEYS.iter().find(|(of, _)| *of == path).map_or(&[][..], |(_, keys)| *keys);
    redact_value(value, "", own, known)
}

/// A text without what says nothing.
pub fn redact_text(text: &str, known: &CapturedValues) -> String {
    static PATTERNS: OnceLock<Vec<(Regex, &'static str)>> = OnceLock::new();
    let patterns = PATTERNS.get_or_init(|| {
        let all = VOLATILE_PATTERNS.iter().chain(LIBRARY_MESSAGES);
        all.map(|(shape, name)| (Regex::new(shape).unwrap(), *name)).collect()
    });
    let mut text = text.to_owned();
    let mut captured: Vec<_> = known.iter().filter(|(_, value)| value.len() >= 8).collect();
    captured.sort_by_key(|(_, value)| std::cmp::Reverse(value.len()));
    for (name, value) in captured {
        text = text.replace(value.as_str(), &format!("{{{{{name}}}}}"));
    }
    for (pattern, name) in patterns {
        text = pattern.replace_all(&text, *name).into_owned();
    }
    text
}

fn redact_value(value: &Value, key: &str, own: &[&str], known: &CapturedValues) -> Value {
    // Where only parts are looked at, their pointers are the keys.
    let key = key.rsplit('/').next().unwrap_or_default();
    match value {
        Value::String(_) if own.contains(&key) => "<its own>".into(),
        Value::Number(_) if own.contains(&key) => "<its own number>".into(),
        Value::String(_) | Value::Object(_) if HUMAN_TEXT_KEYS.contains(&key) => {
            "<for people>".into()
        }
        Value::Number(it) if UNIX_TIME_KEYS.contains(&key) && it.as_i64() > Some(1_600_000_000) => {
            "<unix time>".into()
        }
        Value::Number(it) if DURATION_KEYS.contains(&key) => round_up_to_minute(it.as_i64(), value),
        Value::String(it) => redact_text(it, known).into(),
        Value::Array(list) => list.iter().map(|it| redact_value(it, "", own, known)).collect(),
        Value::Object(map) => {
            let items = map
                .iter()
                .map(|(key, it)| (redact_text(key, known), redact_value(it, key, own, known)));
            Value::Object(items.collect::<Map<_, _>>())
        }
        other => other.clone(),
    }
}

/// A few seconds may have passed of a number of whole minutes.
fn round_up_to_minute(seconds: Option<i64>, value: &Value) -> Value {
    match seconds {
        Some(seconds) if seconds % 60 >= 50 => (seconds + 60 - seconds % 60).into(),
        _ => value.clone(),
    }
}
