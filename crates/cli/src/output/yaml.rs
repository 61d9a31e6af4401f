//! A writer of block style YAML. It only supports the few kinds of values that are printed; no YAML
//! library keeps the digits of numbers.
//!
//! Strings that a YAML reader could take for another type are quoted (YAML 1.1 has many of those).

use super::value::OutputValue;

/// Formats a value over several lines, without a final line end. Objects are sorted by name.
pub(crate) fn to_yaml(value: &OutputValue) -> String {
    let mut out = String::new();
    write_block(&mut out, &value.sorted(), 0);
    out.trim_end().to_owned()
}

/// Writes a value at the current position, and a line end.
fn write_block(out: &mut String, value: &OutputValue, depth: usize) {
    match value {
        OutputValue::List(items) if !items.is_empty() => {
            for (index, item) in items.iter().enumerate() {
                write_indent(out, if index > 0 { depth } else { 0 });
                out.push_str("- ");
                write_block(out, item, depth + 1);
            }
        }
        OutputValue::Object(pairs) if !pairs.is_empty() => {
            for (index, (key, value)) in pairs.iter().enumerate() {
                write_indent(out, if index > 0 { depth } else { 0 });
                out.push_str(&format_string(key, None));
                out.push(':');
                write_mapping_value(out, value, depth);
            }
        }
        plain => {
            out.push_str(&format_leaf(plain, depth));
            out.push('\n');
        }
    }
}

/// Writes the value of a key: on the same line if possible, else below it.
fn write_mapping_value(out: &mut String, value: &OutputValue, depth: usize) {
    match value {
        OutputValue::List(items) if !items.is_empty() => {
            out.push('\n');
            write_indent(out, depth);
            write_block(out, value, depth);
        }
        OutputValue::Object(pairs) if !pairs.is_empty() => {
            out.push('\n');
            write_indent(out, depth + 1);
            write_block(out, value, depth + 1);
        }
        plain => {
            out.push(' ');
            write_block(out, plain, depth + 1);
        }
    }
}

fn write_indent(out: &mut String, depth: usize) {
    out.push_str(&"  ".repeat(depth));
}

fn format_leaf(value: &OutputValue, depth: usize) -> String {
    match value {
        OutputValue::Null => "null".to_owned(),
        OutputValue::Bool(value) => value.to_string(),
        OutputValue::Number(digits) => digits.clone(),
        OutputValue::Text(text) => format_string(text, Some(depth)),
        OutputValue::List(_) => "[]".to_owned(),
        OutputValue::Object(_) => "{}".to_owned(),
    }
}

/// Formats a string in the plainest style that reads back unchanged. `depth` is the indentation of
/// further lines; `None` if the string must stay on one line.
fn format_string(text: &str, depth: Option<usize>) -> String {
    if !text.chars().all(|c| c == '\n' || !is_special(c)) {
        return double_quote(text);
    }
    if text.contains('\n') {
        return depth.map_or_else(|| double_quote(text), |depth| literal_block(text, depth));
    }
    if text.is_empty() || is_ambiguous(text) {
        return double_quote(text);
    }
    if is_plain(text) { text.to_owned() } else { format!("'{}'", text.replace('\'', "''")) }
}

/// Whether a character must be escaped in YAML.
fn is_special(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}')
}

/// Formats a string in double quotes: a JSON string is a valid YAML string.
fn double_quote(text: &str) -> String {
    let json = serde_json::to_string(text).unwrap_or_default();
    let escaped = |c: char| match c {
        c if is_special(c) => format!("\\u{:04x}", u32::from(c)),
        c => c.to_string(),
    };
    json.chars().map(escaped).collect()
}

/// Formats a string as a literal block, each line indented.
fn literal_block(text: &str, depth: usize) -> String {
    let simple = text.starts_with(|c: char| !c.is_whitespace())
        && text.lines().all(|line| !line.ends_with(' '));
    if !simple {
        return double_quote(text);
    }
    let body = text.trim_end_matches('\n');
    let style = match text.len() - body.len() {
        0 => "|-",
        1 => "|",
        _ => "|+",
    };
    let mut out = style.to_owned();
    for line in body.split('\n') {
        out.push('\n');
        if !line.is_empty() {
            write_indent(&mut out, depth);
            out.push_str(line);
        }
    }
    out.push_str(&"\n".repeat((text.len() - body.len()).saturating_sub(1)));
    out
}

/// Whether a string can be written without quotes.
fn is_plain(text: &str) -> bool {
    let mut chars = text.chars();
    let (first, second) = (chars.next(), chars.next());
    let starts_well = match first {
        Some('-' | '?' | ':') => second.is_some_and(|c| !c.is_whitespace()),
        Some(c) => !"-?:,[]{}#&*!|>'\"%@` ".contains(c),
        None => false,
    };
    let marks_document = text.starts_with("---") || text.starts_with("...");
    starts_well
        && !marks_document
        && !text.ends_with([' ', ':'])
        && !text.contains(": ")
        && !text.contains(" #")
}

/// Whether a YAML reader could take the string for a null, a boolean, a number or a time.
fn is_ambiguous(text: &str) -> bool {
    const WORDS: [&str; 9] = ["~", "null", "true", "false", "yes", "no", "on", "off", "="];
    let lower = text.to_lowercase();
    let is_word = WORDS.contains(&lower.as_str()) || lower == "y" || lower == "n";
    is_word || is_number(&lower) || is_date(&lower)
}

fn is_number(lower: &str) -> bool {
    let text = lower.trim_start_matches(['+', '-']);
    if matches!(text, ".inf" | ".nan") {
        return true;
    }
    let of = |text: &str, digits: &str| {
        !text.is_empty() && text.chars().all(|c| digits.contains(c) || c == '_')
    };
    for (prefix, digits) in [("0x", "0123456789abcdef"), ("0o", "01234567"), ("0b", "01")] {
        if text.strip_prefix(prefix).is_some_and(|rest| of(rest, digits)) {
            return true;
        }
    }
    // Decimal numbers, with an exponent, and in base 60.
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    mantissa.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && mantissa.contains(|c: char| c.is_ascii_digit())
        && of(mantissa, "0123456789.:")
        && mantissa.matches('.').count() <= 1
        && of(exponent, "0123456789")
}

/// Whether a text begins like a date.
fn is_date(text: &str) -> bool {
    let day = text.split(['t', ' ', '\t']).next().unwrap_or_default();
    let parts: Vec<_> = day.split('-').collect();
    let digits = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    parts.len() == 3 && parts.iter().all(digits) && parts.first().is_some_and(|y| y.len() == 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_blocks() {
        let value = OutputValue::parse(
            r#"{"o":{"b":1.10,"a":[1,"x",null,{"z":1,"y":[2,[3]]}]},"e":[],"eo":{},"t":true,
            "big":12345678901234567890}"#,
        );
        let expected = "big: 12345678901234567890
e: []
eo: {}
o:
  a:
  - 1
  - x
  - null
  - \"y\":
    - 2
    - - 3
    z: 1
  b: 1.10
t: true";
        assert_eq!(to_yaml(&value), expected);
        assert_eq!(to_yaml(&OutputValue::parse(r#"["b","a"]"#)), "- b\n- a");
        assert_eq!(to_yaml(&OutputValue::parse("3")), "3");
    }

    #[test]
    fn ambiguous_strings_are_quoted() {
        for text in [
            "",
            "~",
            "null",
            "Null",
            "true",
            "No",
            "on",
            "y",
            "12",
            "1.10",
            ".5",
            "1e3",
            "0x1f",
            "0b1",
            "0o7",
            "1_000",
            "+1",
            "-1",
            ".inf",
            "-.INF",
            ".nan",
            "1:30",
            "2020-01-01",
            "2001-12-14t21:59:43.10-05:00",
            "=",
            "a\tb",
            "\u{7f}",
            " \n x",
            "trail \nx",
        ] {
            let shown = format_string(text, Some(1));
            assert!(shown.starts_with('"'), "{text:?} as {shown}");
            assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), text);
        }
    }

    #[test]
    fn only_special_characters_are_quoted() {
        for text in [
            "&x",
            "*x",
            "!x",
            "%x",
            "@x",
            "`x",
            "a: b",
            "a:",
            "a #b",
            "-",
            "- x",
            "[x]",
            "#x",
            " x",
            "x ",
            "---",
            "it's: 'so'",
        ] {
            assert_eq!(
                format_string(text, None),
                format!("'{}'", text.replace('\'', "''")),
                "{text}"
            );
        }
        for text in [
            "x",
            "a,b",
            "http://x/y",
            "a#b",
            "?x",
            "it's",
            "4f69709a-f409",
            "é",
            "-x",
            "s.abc",
            "768h",
            "127.0.0.1:8200",
            "1.2.3",
        ] {
            assert_eq!(format_string(text, None), text, "{text}");
        }
    }

    #[test]
    fn multiline_text_uses_literal_blocks() {
        let value = OutputValue::parse(r#"{"a":"x\ny\n","b":["x\n\ny"],"c":"x\n\n"}"#);
        assert_eq!(to_yaml(&value), "a: |\n  x\n  y\nb:\n- |-\n  x\n\n  y\nc: |+\n  x");
    }
}
