//! JSON as Go writes it with two spaces: what scripts compare with.

use super::value::Value;

/// The value over several lines, without a line end.
pub(crate) fn pretty(value: &Value) -> String {
    let mut out = String::new();
    write(&mut out, value, 0);
    out
}

fn write(out: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Number(digits) => out.push_str(digits),
        Value::Text(text) => out.push_str(&quoted(text)),
        Value::List(items) if items.is_empty() => out.push_str("[]"),
        Value::List(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                next_line(out, index, depth + 1);
                write(out, item, depth + 1);
            }
            last_line(out, depth);
            out.push(']');
        }
        Value::Object(pairs) if pairs.is_empty() => out.push_str("{}"),
        Value::Object(pairs) => {
            out.push('{');
            for (index, (key, value)) in pairs.iter().enumerate() {
                next_line(out, index, depth + 1);
                out.push_str(&quoted(key));
                out.push_str(": ");
                write(out, value, depth + 1);
            }
            last_line(out, depth);
            out.push('}');
        }
    }
}

fn next_line(out: &mut String, index: usize, depth: usize) {
    out.push_str(if index > 0 { ",\n" } else { "\n" });
    out.push_str(&"  ".repeat(depth));
}

fn last_line(out: &mut String, depth: usize) {
    out.push('\n');
    out.push_str(&"  ".repeat(depth));
}

/// A JSON string. What could end a script element or a line of JavaScript is escaped, as in Go.
fn quoted(text: &str) -> String {
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
    fn writes_as_go_does() {
        let value =
            Value::parse(r#"{"o":{"b":1.10,"a":[1,"x",{}]},"e":[],"h":"<a&b>\u0001\"","n":null}"#);
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
        assert_eq!(pretty(&value), expected);
    }
}
