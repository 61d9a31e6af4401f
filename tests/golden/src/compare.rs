//! Where two answers differ.

use serde_json::Value;

use crate::allowed;
use crate::case::GoldenResponse;

/// The differences of our answer from the wanted one, a line each. `ask` is the request's method
/// and path.
pub fn differences(ask: &str, wanted: &GoldenResponse, ours: &GoldenResponse) -> Vec<String> {
    let mut found = Vec::<String>::new();
    if wanted.status != ours.status {
        // Two kinds of answers: what is in them has nothing to compare.
        return vec![format!("{}, wanted {}", summary(ours), summary(wanted))];
    }
    for name in wanted.headers.keys().chain(ours.headers.keys()) {
        let (want, have) = (wanted.headers.get(name), ours.headers.get(name));
        if want != have && !found.iter().any(|line| line.starts_with(&format!("{name}: "))) {
            found.push(format!(
                "{name}: {}, wanted {}",
                describe_header(have),
                describe_header(want)
            ));
        }
    }
    if wanted.text != ours.text {
        found.push(format!("text {:?}, wanted {:?}", ours.text, wanted.text));
    }
    match (&wanted.whole_body(), &ours.whole_body()) {
        (None, None) => {}
        (Some(want), None) => found.push(format!("no body, wanted {want}")),
        (None, Some(have)) => found.push(format!("body {have}, wanted none")),
        (Some(want), Some(have)) => compare_values(ask, "", want, have, &mut found),
    }
    found
}

fn summary(reply: &GoldenResponse) -> String {
    let body = reply.body.clone().or_else(|| reply.envelope.clone().map(Value::Object));
    format!("status {} {}", reply.status, body.unwrap_or_default())
}

fn describe_header(value: Option<&Option<String>>) -> String {
    match value {
        None => "as usual".to_owned(),
        Some(None) => "missing".to_owned(),
        Some(Some(text)) => format!("{text:?}"),
    }
}

fn compare_values(ask: &str, at: &str, want: &Value, have: &Value, found: &mut Vec<String>) {
    match (want, have) {
        (Value::Object(wants), Value::Object(haves)) => {
            for (name, want) in wants {
                let below = child_pointer(at, name);
                match haves.get(name) {
                    Some(have) => compare_values(ask, &below, want, have, found),
                    None if allowed::may_be_missing(ask, &below) => {}
                    None => found.push(format!("{below} is missing, wanted {want}")),
                }
            }
            for (name, have) in haves.iter().filter(|(name, _)| !wants.contains_key(*name)) {
                let below = child_pointer(at, name);
                if !allowed::may_have_extra(ask, &below) {
                    found.push(format!("{below} is {have}, wanted none"));
                }
            }
        }
        (Value::Array(wants), Value::Array(haves)) if wants.len() == haves.len() => {
            for (index, (want, have)) in wants.iter().zip(haves).enumerate() {
                compare_values(ask, &format!("{at}/{index}"), want, have, found);
            }
        }
        _ if want == have => {}
        _ => found.push(format!("{at} is {have}, wanted {want}")),
    }
}

fn child_pointer(at: &str, name: &str) -> String {
    format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"))
}
