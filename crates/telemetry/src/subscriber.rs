//! [`LogSubscriber`]: writes log lines, and keeps the spans whose fields appear in them.
//!
//! Each request has a span. The registry of `tracing-subscriber` can attach data of any number of
//! layers to spans, which took 5 % of the time of reading a KV entry. This subscriber has one use for
//! a span: its values appear in log lines. They are kept as text and formatted only when an event is
//! logged, which most requests don't do. A span like that of a request takes about 1300 instructions
//! from creation to the last handle, those of `tracing`'s macros included, rather than 3200.

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;

use strongroom_types::Clock;
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};
use tracing_core::span::Current;

use crate::entered_spans;
use crate::event_spans::EventSpans;
use crate::json_line;
use crate::log_filter::LogFilter;
use crate::log_output::WriteLine;
use crate::span_store::{SpanKey, SpanStore};
use crate::text_line::TextLine;

/// Writes each event that passes the filter as one line.
pub(crate) struct LogSubscriber {
    filter: Arc<LogFilter>,
    format: LineFormat,
    output: Box<dyn WriteLine>,
    clock: Arc<dyn Clock>,
    spans: SpanStore,
}

/// The format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LineFormat {
    Text { colours: bool },
    Json,
}

/// The id of a span that could not be stored. No span has it, because no slot has that index.
const NOT_STORED: u64 = u64::MAX;

/// The largest buffer that a thread keeps for its next line.
const MAX_KEPT_LINE_BYTES: usize = 16 << 10;

thread_local! {
    /// An empty buffer for the next line of this thread. Taken out while in use, because the code
    /// that formats a value may itself log; that line then has another buffer.
    static LINE: Cell<String> = const { Cell::new(String::new()) };
}

impl LogSubscriber {
    pub(crate) fn new(
        filter: Arc<LogFilter>,
        format: LineFormat,
        output: impl WriteLine,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { filter, format, output: Box::new(output), clock, spans: SpanStore::new() }
    }
}

impl fmt::Debug for LogSubscriber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LogSubscriber({:?}, {:?})", self.filter, self.format)
    }
}

impl Subscriber for LogSubscriber {
    /// `tracing` keeps the answer for each place that logs until the level is changed, so that one
    /// that is not logged costs a comparison.
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.filter.is_logged(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.filter.is_logged(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.filter.max_level())
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let key = self.spans.insert(span.metadata(), |visitor| span.record(visitor));
        key.map_or(Id::from_u64(NOT_STORED), SpanKey::id)
    }

    fn record(&self, span: &Id, fields: &Record<'_>) {
        self.spans.record(SpanKey::of_id(span), |visitor| fields.record(visitor));
    }

    /// Does nothing: log lines don't say which span caused another.
    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = LINE.try_with(Cell::take).unwrap_or_default();
        let spans = EventSpans::of_event(event, &self.spans);
        let time = self.clock.now();
        match self.format {
            LineFormat::Text { colours } => {
                TextLine::new(&mut line, colours).write_event(time, event, &spans);
            }
            LineFormat::Json => json_line::write_event(&mut line, time, event, &spans),
        }
        line.push('\n');
        self.output.write_line(&line);
        if line.capacity() <= MAX_KEPT_LINE_BYTES {
            line.clear();
            // Fails while the thread ends, when no further line needs the buffer.
            let _ = LINE.try_with(|kept| kept.set(line));
        }
    }

    fn enter(&self, span: &Id) {
        entered_spans::enter(&self.spans, SpanKey::of_id(span));
    }

    fn exit(&self, span: &Id) {
        entered_spans::exit(&self.spans, SpanKey::of_id(span));
    }

    fn clone_span(&self, span: &Id) -> Id {
        self.spans.add_handle(SpanKey::of_id(span));
        span.clone()
    }

    fn try_close(&self, span: Id) -> bool {
        self.spans.remove_handle(SpanKey::of_id(&span))
    }

    fn current_span(&self) -> Current {
        let current = entered_spans::innermost(&self.spans)
            .and_then(|key| Some(Current::new(key.id(), self.spans.metadata(key)?)));
        current.unwrap_or_else(Current::none)
    }
}

#[cfg(test)]
mod tests;
