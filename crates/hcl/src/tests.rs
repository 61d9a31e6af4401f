//! What is accepted, what is refused and how it reads, case by case; in `generated` by the thousand.

mod accepted;
mod blocks;
mod bounds;
mod formatted;
mod generated;
mod readers;
mod refused;

use crate::{Body, Kind, Limits, ParseError, Value, parse};

fn tree(text: &str) -> Body {
    parse(text, &Limits::default()).unwrap_or_else(|error| panic!("{text}\n{error}"))
}

fn refusal(text: &str) -> ParseError {
    match parse(text, &Limits::default()) {
        Ok(body) => panic!("accepted: {text}\n{body:?}"),
        Err(error) => error,
    }
}

/// The value under the only key of a text.
fn only(text: &str) -> Value {
    let mut body = tree(text);
    let item = body.items.pop().unwrap_or_else(|| panic!("empty: {text}"));
    assert!(body.items.is_empty(), "{text}");
    item.value
}

/// A tree on one line: `key:value`, labels as levels.
fn show(body: &Body) -> String {
    let items =
        body.items().iter().map(|item| format!("{}:{}", item.key.text, show_value(&item.value)));
    items.collect::<Vec<_>>().join(" ")
}

fn show_value(value: &Value) -> String {
    match &value.kind {
        Kind::Null => "null".to_owned(),
        Kind::Bool(value) => value.to_string(),
        Kind::Number(number) => number.literal().to_owned(),
        Kind::String(text) => format!("{text:?}"),
        Kind::List(entries) => {
            let entries: Vec<_> = entries.iter().map(show_value).collect();
            format!("[{}]", entries.join(" "))
        }
        Kind::Object(body) => format!("{{{}}}", show(body)),
    }
}
