//! [`PrintableFields`]: formats the fields of a text log line. Each value is limited to printable
//! characters on one line and to a maximum length, because errors contain text of plug-ins and
//! outside systems.

use std::fmt::{self, Write};

use strongroom_types::printable::PrintableWriter;
use tracing::field::{Field, Visit};
use tracing_subscriber::field::{MakeVisitor, VisitFmt, VisitOutput};
use tracing_subscriber::fmt::format::Writer;

/// Maximum length in bytes of one field's value, the message included.
const MAX_VALUE_BYTES: usize = 8 << 10;

/// Creates the visitor that formats the fields of one line.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PrintableFields;

/// Writes fields as `message name=value name=value`.
pub(crate) struct FieldsVisitor<'a> {
    writer: Writer<'a>,
    is_first: bool,
    outcome: fmt::Result,
}

impl<'a> MakeVisitor<Writer<'a>> for PrintableFields {
    type Visitor = FieldsVisitor<'a>;

    fn make_visitor(&self, writer: Writer<'a>) -> FieldsVisitor<'a> {
        FieldsVisitor::new(writer)
    }
}

impl<'a> FieldsVisitor<'a> {
    pub(crate) fn new(writer: Writer<'a>) -> Self {
        Self { writer, is_first: true, outcome: Ok(()) }
    }

    fn write_field(&mut self, name: &str, value: fmt::Arguments<'_>) -> fmt::Result {
        if !std::mem::replace(&mut self.is_first, false) {
            self.writer.write_char(' ')?;
        }
        if name != "message" {
            write!(self.writer, "{}=", name.strip_prefix("r#").unwrap_or(name))?;
        }
        PrintableWriter::new(&mut self.writer, MAX_VALUE_BYTES).write_fmt(value)
    }
}

impl Visit for FieldsVisitor<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.record_debug(field, &format_args!("{value}")),
            _ => self.record_debug(field, &value),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if self.outcome.is_ok() {
            self.outcome = self.write_field(field.name(), format_args!("{value:?}"));
        }
    }
}

impl VisitOutput<fmt::Result> for FieldsVisitor<'_> {
    fn finish(self) -> fmt::Result {
        self.outcome
    }
}

impl VisitFmt for FieldsVisitor<'_> {
    fn writer(&mut self) -> &mut dyn Write {
        &mut self.writer
    }
}
