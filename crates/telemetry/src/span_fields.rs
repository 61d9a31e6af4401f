//! [`SpanFields`]: keeps the fields of spans, and formats them only when an event is logged.
//!
//! Every request has a span, and hardly any request logs something. The formatting layer of
//! `tracing_subscriber` formats fields when a span begins and again when one is recorded, which
//! would cost a fifth of the time that a short request takes.

use std::fmt;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::FormattedFields;
use tracing_subscriber::fmt::format::{JsonFields, Writer};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

use crate::printable_fields::{FieldsVisitor, PrintableFields};

/// Wraps a formatting layer, which receives events only. In the extensions of an event's spans it
/// finds the fields as text, in the format `N`.
pub(crate) struct SpanFields<L, N> {
    events: L,
    format: N,
}

impl<L, N> SpanFields<L, N> {
    /// Wraps `events`, a layer that formats fields by `format`.
    pub(crate) fn new(events: L, format: N) -> Self {
        Self { events, format }
    }
}

/// How a field formatter writes the fields of a span.
pub(crate) trait FormatSpan {
    /// The fields as text. Of a field that was recorded several times, the last value counts.
    fn format_span(&self, values: &SpanValues) -> String;
}

impl FormatSpan for PrintableFields {
    fn format_span(&self, values: &SpanValues) -> String {
        let mut text = String::new();
        let mut visitor = FieldsVisitor::new(Writer::new(&mut text));
        for (field, value) in values.last_of_each() {
            visitor.record_str(field, value);
        }
        text
    }
}

impl FormatSpan for JsonFields {
    fn format_span(&self, values: &SpanValues) -> String {
        let object: serde_json::Map<_, _> = values
            .last_of_each()
            .map(|(field, value)| (field.name().to_owned(), value.into()))
            .collect();
        serde_json::Value::Object(object).to_string()
    }
}

/// The values of a span's fields, in the order in which they were recorded.
#[derive(Default)]
pub(crate) struct SpanValues {
    /// All values, one after the other.
    text: String,
    /// Each field, and where its value ends in `text`.
    ends: Vec<(Field, usize)>,
}

/// Room for the fields of a request.
const USUAL_BYTES: usize = 128;
const USUAL_FIELDS: usize = 4;

impl SpanValues {
    fn with_usual_capacity() -> Self {
        Self { text: String::with_capacity(USUAL_BYTES), ends: Vec::with_capacity(USUAL_FIELDS) }
    }

    fn last_of_each(&self) -> impl Iterator<Item = (&Field, &str)> {
        let starts = std::iter::once(0).chain(self.ends.iter().map(|(_, end)| *end));
        starts.zip(&self.ends).enumerate().filter_map(|(index, (start, (field, end)))| {
            let later = self.ends.get(index + 1..)?;
            let is_last = later.iter().all(|(other, _)| other != field);
            is_last.then_some((field, self.text.get(start..*end)?))
        })
    }
}

impl Visit for SpanValues {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.text.push_str(value);
        self.ends.push((field.clone(), self.text.len()));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string doesn't fail.
        let _ = fmt::Write::write_fmt(&mut self.text, format_args!("{value:?}"));
        self.ends.push((field.clone(), self.text.len()));
    }
}

impl<S, L, N> Layer<S> for SpanFields<L, N>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    L: Layer<S>,
    N: FormatSpan + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut values = SpanValues::with_usual_capacity();
        attributes.record(&mut values);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(values);
        }
    }

    fn on_record(&self, id: &Id, record: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut extensions = span.extensions_mut();
        if let Some(values) = extensions.get_mut::<SpanValues>() {
            record.record(values);
        }
        extensions.remove::<FormattedFields<N>>();
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        for span in context.event_scope(event).into_iter().flatten() {
            let mut extensions = span.extensions_mut();
            if extensions.get_mut::<FormattedFields<N>>().is_none() {
                let values = extensions.get_mut::<SpanValues>();
                let text = values.map_or_else(String::new, |it| self.format.format_span(it));
                extensions.insert(FormattedFields::<N>::new(text));
            }
        }
        self.events.on_event(event, context);
    }
}
