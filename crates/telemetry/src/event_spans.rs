//! [`EventSpans`]: the spans that a log line names.

use tracing::{Event, Metadata};

use crate::entered_spans;
use crate::span_store::{SpanKey, SpanStore};
use crate::span_values::SpanValues;

/// The spans of one event: those that the thread has entered, each once, or only the explicit
/// parent of the event if it has one.
pub(crate) struct EventSpans<'a> {
    store: &'a SpanStore,
    /// Outermost first.
    keys: Vec<SpanKey>,
}

impl<'a> EventSpans<'a> {
    pub(crate) fn of_event(event: &Event<'_>, store: &'a SpanStore) -> Self {
        let keys = if event.is_contextual() {
            entered_spans::all(store)
        } else {
            event.parent().map(SpanKey::of_id).into_iter().collect()
        };
        Self { store, keys }
    }

    /// Calls `write` with description and values of each span, outermost first, under a lock:
    /// `write` must not log.
    pub(crate) fn for_each(&self, mut write: impl FnMut(&'static Metadata<'static>, &SpanValues)) {
        for key in &self.keys {
            self.store.read(*key, &mut write);
        }
    }

    /// Calls `write` with description and values of the innermost span, if there is one, under a
    /// lock: `write` must not log.
    pub(crate) fn innermost(&self, write: impl FnOnce(&'static Metadata<'static>, &SpanValues)) {
        if let Some(key) = self.keys.last() {
            self.store.read(*key, write);
        }
    }
}
