//! What must hold for every input. Shared by the fuzz target and the crate's own tests, which run
//! it over the corpus on a stable compiler.

use std::fmt::Write;

use strongroom_hcl::{Body, Kind, Limits, Position, Value, parse, parse_bytes};

/// A value without its place and spelling: what both syntaxes must agree on.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Model {
    Bool(bool),
    Whole(i64),
    Fraction(f64),
    Text(String),
    List(Vec<Model>),
    Object(Vec<(String, Model)>),
}

/// Parses, then checks the answer whatever it is.
pub(crate) fn any_bytes(bytes: &[u8]) {
    let limits = Limits { max_bytes: 1 << 16, max_depth: 16, max_nodes: 1 << 12 };
    match parse_bytes(bytes, &limits) {
        Ok(body) => {
            let lines = bytes.iter().filter(|byte| **byte == b'\n').count() + 1;
            let mut nodes = 0;
            walk(&body, 0, &mut |depth, position| {
                assert!(depth <= limits.max_depth, "too deep");
                assert_within(position, lines, bytes.len());
                nodes += 1;
            });
            assert!(nodes <= 2 * limits.max_nodes, "too many");
            reads_back(&Model::of(&body));
            ask_everything(&body);
        }
        Err(error) => {
            assert!(!error.to_string().contains('\n'), "an error is one line");
            if let Some(position) = error.position() {
                assert_within(position, usize::MAX, bytes.len());
            }
        }
    }
}

/// Prints in both syntaxes and parses again.
pub(crate) fn reads_back(model: &Model) {
    let limits = Limits { max_bytes: usize::MAX, ..Limits::default() };
    for text in [model.native(), model.json()] {
        let body = parse(&text, &limits).unwrap_or_else(|error| panic!("{error} in {text}"));
        assert_eq!(&Model::of(&body), model, "{text}");
    }
}

impl Model {
    pub(crate) fn of(body: &Body) -> Self {
        let items = body.items().iter();
        Self::Object(
            items.map(|item| (item.key.text.clone(), Self::of_value(&item.value))).collect(),
        )
    }

    fn of_value(value: &Value) -> Self {
        match &value.kind {
            // HCL has no null and reads JSON's as this.
            Kind::Null => Self::Text(String::new()),
            Kind::Bool(value) => Self::Bool(*value),
            Kind::String(text) => Self::Text(text.clone()),
            Kind::List(entries) => Self::List(entries.iter().map(Self::of_value).collect()),
            Kind::Object(body) => Self::of(body),
            Kind::Number(number) => match (number.as_i64(), number.as_f64()) {
                (Some(whole), _) => Self::Whole(whole),
                (None, Some(fraction)) => Self::Fraction(fraction),
                (None, None) => Self::Text(number.literal().to_owned()),
            },
        }
    }

    /// As a whole HCL text. Only for objects.
    pub(crate) fn native(&self) -> String {
        let mut text = String::new();
        if let Self::Object(items) = self {
            native_items(items, &mut text);
        }
        text
    }

    /// As JSON.
    pub(crate) fn json(&self) -> String {
        let mut text = String::new();
        json(self, &mut text);
        text
    }
}

fn native_items(items: &[(String, Model)], text: &mut String) {
    for (key, value) in items {
        native_text(key, text);
        text.push_str(" = ");
        native(value, text);
        text.push('\n');
    }
}

fn native(model: &Model, text: &mut String) {
    match model {
        Model::Text(value) => native_text(value, text),
        Model::List(entries) => {
            text.push('[');
            for entry in entries {
                native(entry, text);
                text.push_str(", ");
            }
            text.push(']');
        }
        Model::Object(items) => {
            text.push_str("{\n");
            native_items(items, text);
            text.push('}');
        }
        scalar => json(scalar, text),
    }
}

fn native_text(value: &str, text: &mut String) {
    text.push('"');
    for c in value.chars() {
        match c {
            // An escaped dollar sign opens no interpolation.
            '"' | '\\' | '$' | '\n' | '\r' => {
                let _ = write!(text, "\\x{:02x}", u32::from(c));
            }
            other => text.push(other),
        }
    }
    text.push('"');
}

fn json(model: &Model, text: &mut String) {
    match model {
        Model::Bool(value) => {
            let _ = write!(text, "{value}");
        }
        Model::Whole(value) => {
            let _ = write!(text, "{value}");
        }
        Model::Fraction(value) => {
            let _ = write!(text, "{value:?}");
        }
        Model::Text(value) => json_text(value, text),
        Model::List(entries) => {
            text.push('[');
            for (index, entry) in entries.iter().enumerate() {
                text.push_str(if index == 0 { "" } else { "," });
                json(entry, text);
            }
            text.push(']');
        }
        Model::Object(items) => {
            text.push('{');
            for (index, (key, value)) in items.iter().enumerate() {
                text.push_str(if index == 0 { "" } else { "," });
                json_text(key, text);
                text.push(':');
                json(value, text);
            }
            text.push('}');
        }
    }
}

fn json_text(value: &str, text: &mut String) {
    text.push('"');
    for unit in value.encode_utf16() {
        match char::from_u32(u32::from(unit)) {
            Some(c) if c.is_ascii_alphanumeric() || c == ' ' => text.push(c),
            _ => {
                let _ = write!(text, "\\u{unit:04x}");
            }
        }
    }
    text.push('"');
}

/// Every reader on every value: none may panic.
fn ask_everything(body: &Body) {
    let _ = (format!("{body:?}"), body.duplicates(), body.unknown(&["path"]).count());
    for item in body.items() {
        let name = &item.key.text;
        assert!(body.attr(name).is_some(), "an item is found by its key");
        let _ = (body.blocks::<0>(name), body.blocks::<1>(name), body.blocks::<2>(name));
        let readers = [
            item.read(Value::as_str).err(),
            item.read(Value::as_text).err(),
            item.read(Value::as_bool).err(),
            item.read(Value::as_bool_loose).err(),
            item.read(Value::as_int).err(),
            item.read(Value::as_str_list).err(),
        ];
        assert!(readers.iter().any(Option::is_some), "no value is of every type");
        if let Ok(inner) = item.read(Value::as_map) {
            ask_everything(inner);
        }
    }
}

fn walk(body: &Body, depth: usize, visit: &mut impl FnMut(usize, Position)) {
    for item in body.items() {
        visit(depth, item.key.position);
        walk_value(&item.value, depth, visit);
    }
}

fn walk_value(value: &Value, depth: usize, visit: &mut impl FnMut(usize, Position)) {
    visit(depth, value.position);
    match &value.kind {
        Kind::Object(body) => walk(body, depth + 1, visit),
        Kind::List(entries) => {
            entries.iter().for_each(|entry| walk_value(entry, depth + 1, visit));
        }
        _ => {}
    }
}

fn assert_within(position: Position, lines: usize, bytes: usize) {
    let line = position.line as usize;
    let column = position.column as usize;
    assert!((1..=lines).contains(&line), "line {line} of {lines}");
    assert!((1..=bytes + 1).contains(&column), "column {column} of {bytes}");
}
