//! JSON in the format of Go's encoder with two spaces, since scripts compare it.

use super::value::OutputValue;

/// Formats a value over several lines, without a final line end.
pub(crate) fn to_pretty_json(value: &OutputValue) -> String {
    let mut out = String::new();
    write_value(&mut out, value, 0);
    out
}

fn write_value(out: &mut String, value: &OutputValue, depth: usize) {
    match value {
        OutputValue::Null => out.push_str("null"),
        OutputValue::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        OutputValue::Number(digits) => out.push_str(digits),
        OutputValue::Text(text) => out.push_str(&quote_json(text)),
        OutputValue::List(items) if items.is_empty() => out.push_str("[]"),
        OutputValue::List(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                start_item(out, index, depth + 1);
                write_value(out, item, depth + 1);
            }
            end_items(out, depth);
            out.push(']');
        }
        OutputValue::Object(pairs) if pairs.is_empty() => out.push_str("{}"),
        OutputValue::Object(pairs) => {
            out.push('{');
            for (index, (key, value)) in pairs.iter().enumerate() {
                start_item(out, index, depth + 1);
                out.push_str(&quote_json(key));
                out.push_str(": ");
                write_value(out, value, depth + 1);
            }
            end_items(out, depth);
            out.push('}');
        }
    }
}

fn start_item(out: &mut String, index: usize, depth: usize) {
    out.push_str(if index > 0 { ",\n" } else { "\n" });
    out.push_str(&"  ".repeat(depth));
}

fn end_items(out: &mut String, depth: usize) {
    out.push('\n');
    out.push_str(&"  ".repeat(depth));
}

/// Quotes a JSON string. Like Go, escapes characters that could end a script element or a line of
/// JavaScript.
fn quote_json(text: &str) -> String {
    let plain = serde_json::to_string(text).unwrap_or_default();
    if !plain.contains(['<', '>', '&', '\u{2028}', '\u{2029}']) {
        return plain;
    }
    let mut out = String::with_capacity(plain.len() + 16);
    for c in plain.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_matches_gos_encoding() {
        let value = OutputValue::parse(
            r#"{"o":{"b":1.10,"a":[1,"x",{}]},"e":[],"h":"<a&b>\u0001\"","n":null}"#,
        );
        let expected = r#"{
  "e": [],
  "h": "\u003ca\u0026b\u003e\u0001\"",
  "n": null,
  "o": {
    "a": [
      1,
      "x",
      {}
    ],
    "b": 1.10
  }
}"#;
        assert_eq!(to_pretty_json(&value), expected);
    }
}
