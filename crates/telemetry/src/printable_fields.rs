//! [`PrintableFields`]: formats the fields of a text log line. Each value is limited to printable
//! characters on one line and to a maximum length, because errors contain text of plug-ins and
//! outside systems.

use std::fmt::{self, Write};

use strongroom_types::printable::PrintableWriter;
use tracing::field::{Field, Visit};

/// Maximum length in bytes of one field's value, the message included.
const MAX_VALUE_BYTES: usize = 8 << 10;

/// Appends fields to a line, as `message name=value name=value`.
pub(crate) struct PrintableFields<'a> {
    line: &'a mut String,
    is_first: bool,
}

impl<'a> PrintableFields<'a> {
    pub(crate) fn new(line: &'a mut String) -> Self {
        Self { line, is_first: true }
    }

    /// Appends a field whose value is text, in quotes if it is not the message.
    pub(crate) fn write_text(&mut self, name: &'static str, value: &str) {
        match name {
            "message" => self.write_value(name, format_args!("{value}")),
            _ => self.write_value(name, format_args!("{value:?}")),
        }
    }

    fn write_value(&mut self, name: &'static str, value: fmt::Arguments<'_>) {
        if !std::mem::replace(&mut self.is_first, false) {
            self.line.push(' ');
        }
        if name != "message" {
            self.line.push_str(plain_name(name));
            self.line.push('=');
        }
        // Writing to a string doesn't fail; if the value's own code does, what it wrote is kept.
        let _ = PrintableWriter::new(self.line, MAX_VALUE_BYTES).write_fmt(value);
    }
}

impl Visit for PrintableFields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.write_text(field.name(), value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.write_value(field.name(), format_args!("{value:?}"));
    }
}

/// The name of a field without the `r#` that Rust requires for names that are keywords.
pub(crate) fn plain_name(name: &'static str) -> &'static str {
    name.strip_prefix("r#").unwrap_or(name)
}
