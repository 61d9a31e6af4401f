//! Checks that must hold for every input. The fuzz target and the crate's own tests share them; the
//! tests run them over the corpus on a stable compiler.

use std::fmt::Write;

use strongroom_hcl::{HclBody, HclValue, ParseLimits, Position, ValueKind, parse, parse_bytes};

/// A value without its position and spelling, which must be the same in both syntaxes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ValueModel {
    Bool(bool),
    Whole(i64),
    Fraction(f64),
    Text(String),
    List(Vec<ValueModel>),
    Object(Vec<(String, ValueModel)>),
}

/// Parses the bytes and checks the result, a tree or an error.
pub(crate) fn any_bytes(bytes: &[u8]) {
    let limits = ParseLimits { max_bytes: 1 << 16, max_depth: 16, max_nodes: 1 << 12 };
    match parse_bytes(bytes, &limits) {
        Ok(body) => {
            let lines = bytes.iter().filter(|byte| **byte == b'\n').count() + 1;
            let mut nodes = 0;
            visit_positions(&body, 0, &mut |depth, position| {
                assert!(depth <= limits.max_depth, "too deep");
                assert_within(position, lines, bytes.len());
                nodes += 1;
            });
            assert!(nodes <= 2 * limits.max_nodes, "too many");
            assert_reads_back(&ValueModel::from_body(&body));
            call_every_reader(&body);
        }
        Err(error) => {
            assert!(!error.to_string().contains('\n'), "an error is one line");
            if let Some(position) = error.position() {
                assert_within(position, usize::MAX, bytes.len());
            }
        }
    }
}

/// Prints the value in both syntaxes, parses the texts, and compares the results.
pub(crate) fn assert_reads_back(model: &ValueModel) {
    let limits = ParseLimits { max_bytes: usize::MAX, ..ParseLimits::default() };
    for text in [model.to_hcl(), model.to_json()] {
        let body = parse(&text, &limits).unwrap_or_else(|error| panic!("{error} in {text}"));
        assert_eq!(&ValueModel::from_body(&body), model, "{text}");
    }
}

impl ValueModel {
    pub(crate) fn from_body(body: &HclBody) -> Self {
        let items = body.items().iter();
        Self::Object(
            items.map(|item| (item.key.text.clone(), Self::from_value(&item.value))).collect(),
        )
    }

    fn from_value(value: &HclValue) -> Self {
        match &value.kind {
            // HCL has no null; JSON's reads as the empty string.
            ValueKind::Null => Self::Text(String::new()),
            ValueKind::Bool(value) => Self::Bool(*value),
            ValueKind::String(text) => Self::Text(text.clone()),
            ValueKind::List(entries) => Self::List(entries.iter().map(Self::from_value).collect()),
            ValueKind::Object(body) => Self::from_body(body),
            ValueKind::Number(number) => match (number.as_i64(), number.as_f64()) {
                (Some(whole), _) => Self::Whole(whole),
                (None, Some(fraction)) => Self::Fraction(fraction),
                (None, None) => Self::Text(number.literal().to_owned()),
            },
        }
    }

    /// Prints an object as a whole HCL text.
    pub(crate) fn to_hcl(&self) -> String {
        let mut text = String::new();
        if let Self::Object(items) = self {
            write_hcl_items(items, &mut text);
        }
        text
    }

    /// Prints the value as JSON.
    pub(crate) fn to_json(&self) -> String {
        let mut text = String::new();
        write_json(self, &mut text);
        text
    }
}

fn write_hcl_items(items: &[(String, ValueModel)], text: &mut String) {
    for (key, value) in items {
        write_hcl_text(key, text);
        text.push_str(" = ");
        write_hcl(value, text);
        text.push('\n');
    }
}

fn write_hcl(model: &ValueModel, text: &mut String) {
    match model {
        ValueModel::Text(value) => write_hcl_text(value, text),
        ValueModel::List(entries) => {
            text.push('[');
            for entry in entries {
                write_hcl(entry, text);
                text.push_str(", ");
            }
            text.push(']');
        }
        ValueModel::Object(items) => {
            text.push_str("{\n");
            write_hcl_items(items, text);
            text.push('}');
        }
        scalar => write_json(scalar, text),
    }
}

fn write_hcl_text(value: &str, text: &mut String) {
    text.push('"');
    for c in value.chars() {
        match c {
            // An escaped dollar sign doesn't begin an interpolation.
            '"' | '\\' | '$' | '\n' | '\r' => {
                let _ = write!(text, "\\x{:02x}", u32::from(c));
            }
            other => text.push(other),
        }
    }
    text.push('"');
}

fn write_json(model: &ValueModel, text: &mut String) {
    match model {
        ValueModel::Bool(value) => {
            let _ = write!(text, "{value}");
        }
        ValueModel::Whole(value) => {
            let _ = write!(text, "{value}");
        }
        ValueModel::Fraction(value) => {
            let _ = write!(text, "{value:?}");
        }
        ValueModel::Text(value) => json_text(value, text),
        ValueModel::List(entries) => {
            text.push('[');
            for (index, entry) in entries.iter().enumerate() {
                text.push_str(if index == 0 { "" } else { "," });
                write_json(entry, text);
            }
            text.push(']');
        }
        ValueModel::Object(items) => {
            text.push('{');
            for (index, (key, value)) in items.iter().enumerate() {
                text.push_str(if index == 0 { "" } else { "," });
                json_text(key, text);
                text.push(':');
                write_json(value, text);
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

/// Calls every reader on every value; none may panic.
fn call_every_reader(body: &HclBody) {
    let _ = (format!("{body:?}"), body.duplicate_keys(), body.unknown_items(&["path"]).count());
    for item in body.items() {
        let name = &item.key.text;
        assert!(body.last_item(name).is_some(), "an item is found by its key");
        let _ = (body.blocks::<0>(name), body.blocks::<1>(name), body.blocks::<2>(name));
        let readers = [
            item.read(HclValue::as_str).err(),
            item.read(HclValue::as_text).err(),
            item.read(HclValue::as_bool).err(),
            item.read(HclValue::as_bool_loose).err(),
            item.read(HclValue::as_int).err(),
            item.read(HclValue::as_str_list).err(),
        ];
        assert!(readers.iter().any(Option::is_some), "no value is of every type");
        if let Ok(inner) = item.read(HclValue::as_map) {
            call_every_reader(inner);
        }
    }
}

fn visit_positions(body: &HclBody, depth: usize, visit: &mut impl FnMut(usize, Position)) {
    for item in body.items() {
        visit(depth, item.key.position);
        visit_value_positions(&item.value, depth, visit);
    }
}

fn visit_value_positions(value: &HclValue, depth: usize, visit: &mut impl FnMut(usize, Position)) {
    visit(depth, value.position);
    match &value.kind {
        ValueKind::Object(body) => visit_positions(body, depth + 1, visit),
        ValueKind::List(entries) => {
            entries.iter().for_each(|entry| visit_value_positions(entry, depth + 1, visit));
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
