//! Which texts are accepted or refused, and how they are read. `generated` does so for random
//! input.

mod accepted;
mod blocks;
mod bounds;
mod formatted;
mod generated;
mod readers;
mod refused;

use crate::{HclBody, HclValue, ParseError, ParseLimits, ValueKind, parse};

fn parse_to_text(text: &str) -> HclBody {
    parse(text, &ParseLimits::default()).unwrap_or_else(|error| panic!("{text}\n{error}"))
}

fn error_of(text: &str) -> ParseError {
    match parse(text, &ParseLimits::default()) {
        Ok(body) => panic!("accepted: {text}\n{body:?}"),
        Err(error) => error,
    }
}

/// The value of the only key of a text.
fn sole_value(text: &str) -> HclValue {
    let mut body = parse_to_text(text);
    let item = body.items.pop().unwrap_or_else(|| panic!("empty: {text}"));
    assert!(body.items.is_empty(), "{text}");
    item.value
}

/// Renders a tree on one line: `key:value`, with labels as levels.
fn append_text(body: &HclBody) -> String {
    let items =
        body.items().iter().map(|item| format!("{}:{}", item.key.text, show_value(&item.value)));
    items.collect::<Vec<_>>().join(" ")
}

fn show_value(value: &HclValue) -> String {
    match &value.kind {
        ValueKind::Null => "null".to_owned(),
        ValueKind::Bool(value) => value.to_string(),
        ValueKind::Number(number) => number.literal().to_owned(),
        ValueKind::String(text) => format!("{text:?}"),
        ValueKind::List(entries) => {
            let entries: Vec<_> = entries.iter().map(show_value).collect();
            format!("[{}]", entries.join(" "))
        }
        ValueKind::Object(body) => format!("{{{}}}", append_text(body)),
    }
}
