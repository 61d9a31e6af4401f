//! The JSON format of a log line, for log collectors: an object with `timestamp`, `level`, the
//! fields of the event, `target`, and in `span` the fields and the name of the innermost span.
//!
//! It is written directly rather than by `serde_json`, because values are formatted while they are
//! written, and because characters that don't show are escaped too. JSON itself leaves most control
//! characters of terminals and bidirectional overrides unescaped, and people read such lines too.

use std::fmt::{self, Write as _};

use strongroom_types::Timestamp;
use strongroom_types::path::is_printable;
use tracing::Event;
use tracing::field::{Field, Visit};

use crate::event_spans::EventSpans;
use crate::printable_fields::plain_name;

/// Appends the line of an event to `line`, without the line break.
pub(crate) fn write_event(
    line: &mut String,
    time: Timestamp,
    event: &Event<'_>,
    spans: &EventSpans<'_>,
) {
    let metadata = event.metadata();
    line.push_str("{\"timestamp\":");
    write_string(line, format_args!("{time:.6}"));
    line.push_str(",\"level\":");
    write_string(line, format_args!("{}", metadata.level()));
    line.push(',');
    event.record(&mut JsonFields::new(line, event_key));
    line.push_str("\"target\":");
    write_string(line, format_args!("{}", metadata.target()));
    spans.innermost(|metadata, values| {
        line.push_str(",\"span\":{");
        let mut fields = JsonFields::new(line, span_key);
        for (name, value) in values.last_of_each() {
            fields.write_field(name, |line| write_string(line, format_args!("{value}")));
        }
        line.push_str("\"name\":");
        write_string(line, format_args!("{}", metadata.name()));
        line.push('}');
    });
    line.push('}');
}

/// The key of an event's field. One with the name of a key that each line has gets a prefix.
fn event_key(name: &'static str) -> &'static str {
    match plain_name(name) {
        "timestamp" => "field_timestamp",
        "level" => "field_level",
        "target" => "field_target",
        "span" => "field_span",
        name => name,
    }
}

/// The key of a span's field.
fn span_key(name: &'static str) -> &'static str {
    match plain_name(name) {
        "name" => "field_name",
        name => name,
    }
}

/// Appends fields as `"key":value,`. A key occurs once in an object: of fields with the same key,
/// the first one is written.
struct JsonFields<'a> {
    line: &'a mut String,
    key: fn(&'static str) -> &'static str,
    written: Vec<&'static str>,
}

impl<'a> JsonFields<'a> {
    fn new(line: &'a mut String, key: fn(&'static str) -> &'static str) -> Self {
        Self { line, key, written: Vec::new() }
    }

    fn write_field(&mut self, name: &'static str, write_value: impl FnOnce(&mut String)) {
        let key = (self.key)(name);
        if self.written.contains(&key) {
            return;
        }
        self.written.push(key);
        write_string(self.line, format_args!("{key}"));
        self.line.push(':');
        write_value(self.line);
        self.line.push(',');
    }

    /// Appends a field whose value has the same format in Rust and in JSON.
    fn write_bare(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.write_field(field.name(), |line| {
            // Writing to a string doesn't fail.
            let _ = write!(line, "{value:?}");
        });
    }
}

impl Visit for JsonFields<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        if value.is_finite() {
            self.write_bare(field, &value);
        } else {
            self.write_field(field.name(), |line| line.push_str("null"));
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.write_bare(field, &value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.write_bare(field, &value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.write_bare(field, &value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.write_field(field.name(), |line| write_string(line, format_args!("{value}")));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.write_field(field.name(), |line| write_string(line, format_args!("{value:?}")));
    }
}

fn write_string(line: &mut String, value: fmt::Arguments<'_>) {
    line.push('"');
    // Writing to a string doesn't fail; if the value's own code does, what it wrote is kept.
    let _ = StringWriter(line).write_fmt(value);
    line.push('"');
}

/// Appends text as the content of a JSON string.
struct StringWriter<'a>(&'a mut String);

impl fmt::Write for StringWriter<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            match c {
                '"' => self.0.push_str("\\\""),
                '\\' => self.0.push_str("\\\\"),
                '\n' => self.0.push_str("\\n"),
                '\r' => self.0.push_str("\\r"),
                '\t' => self.0.push_str("\\t"),
                c if is_printable(c) => self.0.push(c),
                c => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        write!(self.0, "\\u{unit:04x}")?;
                    }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn json_string(text: &str) -> String {
        let mut line = String::new();
        write_string(&mut line, format_args!("{text}"));
        line
    }

    #[test]
    fn what_does_not_show_is_escaped_as_json_has_it() {
        let shown = json_string("a\u{9b}b\u{202e}c\u{7f}\u{e0001}\u{1b}\0\r\n\t\u{8}\"\\/ü");
        let escaped = r#""a\u009bb\u202ec\u007f\udb40\udc01\u001b\u0000\r\n\t\u0008\"\\/ü""#;
        assert_eq!(shown, escaped);
    }

    proptest! {
        #[test]
        fn a_string_is_printable_and_reads_as_it_was(text in any::<String>()) {
            let shown = json_string(&text);
            prop_assert!(shown.chars().all(is_printable));
            prop_assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), text);
        }

        #[test]
        fn a_finite_number_is_valid(number in any::<f64>()) {
            prop_assume!(number.is_finite());
            let read: serde_json::Value = serde_json::from_str(&format!("{number:?}")).unwrap();
            prop_assert!(read.is_number());
        }
    }
}
