//! The standard format of a log line, for people:
//!
//! `<time>  WARN request{request_id="…" mount="kv/"}: strongroom_core::core: message field="text"`

use std::fmt::Write as _;

use strongroom_types::Timestamp;
use tracing::{Event, Level};

use crate::event_spans::EventSpans;
use crate::printable_fields::PrintableFields;
use crate::span_values::SpanValues;

/// Appends text to a line, in colours if the line is for a terminal.
#[derive(Debug)]
pub(crate) struct TextLine<'a> {
    line: &'a mut String,
    colours: bool,
}

/// A parameter of the terminal's code for styles and colours, which is `ESC [ <parameter> m`.
#[derive(Clone, Copy)]
enum TextStyle {
    Bold = 1,
    Dim = 2,
    Red = 31,
    Green = 32,
    Yellow = 33,
    Blue = 34,
    Purple = 35,
}

impl<'a> TextLine<'a> {
    /// Appends to `line`.
    pub(crate) fn new(line: &'a mut String, colours: bool) -> Self {
        Self { line, colours }
    }

    /// Appends the line of an event, without the line break.
    pub(crate) fn write_event(
        &mut self,
        time: Timestamp,
        event: &Event<'_>,
        spans: &EventSpans<'_>,
    ) {
        self.styled(TextStyle::Dim, |line| {
            // Writing to a string doesn't fail.
            let _ = write!(line, "{time:.6}");
        });
        self.line.push(' ');
        self.write_level(*event.metadata().level());
        self.line.push(' ');
        self.write_spans(spans);
        self.styled(TextStyle::Dim, |line| line.push_str(event.metadata().target()));
        self.styled(TextStyle::Dim, |line| line.push(':'));
        self.line.push(' ');
        event.record(&mut PrintableFields::new(self.line));
    }

    fn write_level(&mut self, level: Level) {
        let (style, name) = match level {
            Level::ERROR => (TextStyle::Red, "ERROR"),
            Level::WARN => (TextStyle::Yellow, " WARN"),
            Level::INFO => (TextStyle::Green, " INFO"),
            Level::DEBUG => (TextStyle::Blue, "DEBUG"),
            Level::TRACE => (TextStyle::Purple, "TRACE"),
        };
        self.styled(style, |line| line.push_str(name));
    }

    fn write_spans(&mut self, spans: &EventSpans<'_>) {
        let start = self.line.len();
        spans.for_each(|metadata, values| {
            self.styled(TextStyle::Bold, |line| line.push_str(metadata.name()));
            if !values.is_empty() {
                self.write_span_values(values);
            }
            self.styled(TextStyle::Dim, |line| line.push(':'));
        });
        if self.line.len() > start {
            self.line.push(' ');
        }
    }

    fn write_span_values(&mut self, values: &SpanValues) {
        self.styled(TextStyle::Bold, |line| line.push('{'));
        let mut fields = PrintableFields::new(self.line);
        for (name, value) in values.last_of_each() {
            fields.write_text(name, value);
        }
        self.styled(TextStyle::Bold, |line| line.push('}'));
    }

    fn styled(&mut self, style: TextStyle, write: impl FnOnce(&mut String)) {
        if self.colours {
            // Writing to a string doesn't fail.
            let _ = write!(self.line, "\u{1b}[{}m", style as u8);
        }
        write(self.line);
        if self.colours {
            self.line.push_str("\u{1b}[0m");
        }
    }
}
