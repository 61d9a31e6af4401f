//! How files are laid out: what fits on a line stands on one.

use serde_json::Value;

const WIDTH: usize = 110;

/// JSON in name order, broken where it is too long.
pub fn to_pretty_json(value: &Value) -> String {
    let mut text = String::new();
    write_value(value, 0, 0, true, &mut text);
    text.push('\n');
    text
}

/// `before` is what stands on the line already; a case's own level and its steps are always broken.
fn write_value(value: &Value, depth: usize, before: usize, broken: bool, out: &mut String) {
    let line = to_compact_json(value);
    let fits = 2 * depth + before + line.len() <= WIDTH;
    match value {
        Value::Object(map) if (broken || !fits) && !map.is_empty() => {
            let items =
                map.iter().map(|(name, value)| (format!("{}: ", to_json_string(name)), value));
            write_block(items, ('{', '}'), depth, broken, out);
        }
        Value::Array(list) if (broken || !fits) && !list.is_empty() => {
            let items = list.iter().map(|value| (String::new(), value));
            write_block(items, ('[', ']'), depth, false, out);
        }
        _ => out.push_str(&line),
    }
}

fn write_block<'v>(
    items: impl Iterator<Item = (String, &'v Value)>,
    (open, close): (char, char),
    depth: usize,
    broken: bool,
    out: &mut String,
) {
    out.push(open);
    for (index, (label, value)) in items.enumerate() {
        out.push_str(if index == 0 { "\n" } else { ",\n" });
        out.push_str(&"  ".repeat(depth + 1));
        out.push_str(&label);
        let steps = broken && value.is_array();
        write_value(value, depth + 1, label.len() + 1, steps, out);
    }
    out.push('\n');
    out.push_str(&"  ".repeat(depth));
    out.push(close);
}

fn to_compact_json(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let items = map.iter().map(|(name, value)| {
                format!("{}: {}", to_json_string(name), to_compact_json(value))
            });
            format!("{{{}}}", items.collect::<Vec<_>>().join(", "))
        }
        Value::Array(list) => {
            format!("[{}]", list.iter().map(to_compact_json).collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

fn to_json_string(name: &str) -> String {
    Value::from(name).to_string()
}
