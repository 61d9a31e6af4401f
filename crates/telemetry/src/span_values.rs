//! [`SpanValues`]: the values of one span's fields, kept as text until a log line needs them.

use std::fmt::{self, Write as _};

use tracing::field::{Field, Visit};

/// The values of a span's fields, in the order in which they were recorded. A field that was
/// recorded several times is in it several times; the last value counts.
#[derive(Debug, Default)]
pub(crate) struct SpanValues {
    /// All values, one after the other.
    text: String,
    /// The name of each field, and where its value ends in `text`.
    ends: Vec<(&'static str, usize)>,
}

/// Adds values that are text. It calls no code of others, so it may be used under a lock.
struct TextVisitor<'a> {
    values: &'a mut SpanValues,
    /// Whether all values so far were text.
    is_complete: bool,
}

/// Adds values of any type, formatted by their own code, which may log.
struct FormattingVisitor<'a>(&'a mut SpanValues);

/// The initial capacity, enough for the fields of a request.
const USUAL_BYTES: usize = 128;
const USUAL_FIELDS: usize = 4;
/// The largest capacity that [`SpanValues::clear`] keeps. It limits what an unused slot of the span
/// store occupies.
const MAX_KEPT_BYTES: usize = 256;
const MAX_KEPT_FIELDS: usize = 8;
/// A span that has more values than this has replaced values, because a span has at most 32 fields.
const MAX_VALUES: usize = 64;

impl SpanValues {
    /// The values that `record` passes to its visitor. Calls the code that formats them.
    pub(crate) fn formatted(record: impl FnOnce(&mut dyn Visit)) -> Self {
        let mut values = Self::default();
        record(&mut FormattingVisitor(&mut values));
        values
    }

    /// Adds the values that `record` passes to its visitor and returns `true`, if all of them are
    /// text. Otherwise adds none. Calls no code that formats values.
    pub(crate) fn add_if_text(&mut self, record: impl FnOnce(&mut dyn Visit)) -> bool {
        if self.text.capacity() == 0 {
            self.text.reserve_exact(USUAL_BYTES);
            self.ends.reserve_exact(USUAL_FIELDS);
        }
        let (text_len, count) = (self.text.len(), self.ends.len());
        let mut visitor = TextVisitor { values: self, is_complete: true };
        record(&mut visitor);
        let is_complete = visitor.is_complete;
        if !is_complete {
            self.text.truncate(text_len);
            self.ends.truncate(count);
        }
        if self.ends.len() > MAX_VALUES {
            self.drop_replaced_values();
        }
        is_complete
    }

    /// Removes all values and keeps the memory, unless it is unusually large.
    pub(crate) fn clear(&mut self) {
        if self.text.capacity() > MAX_KEPT_BYTES {
            self.text = String::new();
        }
        if self.ends.capacity() > MAX_KEPT_FIELDS {
            self.ends = Vec::new();
        }
        self.text.clear();
        self.ends.clear();
    }

    /// Adds the values of `later`, which replace those of the same fields.
    pub(crate) fn append(&mut self, later: &Self) {
        let start = self.text.len();
        self.text.push_str(&later.text);
        self.ends.extend(later.ends.iter().map(|(name, end)| (*name, start + end)));
        if self.ends.len() > MAX_VALUES {
            self.drop_replaced_values();
        }
    }

    /// Whether no field has a value.
    pub(crate) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Each field that has a value, with its last value.
    pub(crate) fn last_of_each(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let starts = std::iter::once(0).chain(self.ends.iter().map(|(_, end)| *end));
        starts.zip(&self.ends).enumerate().filter_map(|(index, (start, (name, end)))| {
            let later = self.ends.get(index + 1..)?;
            let is_last = later.iter().all(|(other, _)| other != name);
            is_last.then_some((*name, self.text.get(start..*end)?))
        })
    }

    /// Removes the values that were replaced. This limits the memory of a long-lived span that
    /// records the same fields again and again.
    #[cold]
    fn drop_replaced_values(&mut self) {
        let mut kept = Self::default();
        for (name, value) in self.last_of_each() {
            kept.push(name, value);
        }
        *self = kept;
    }

    fn push(&mut self, name: &'static str, value: &str) {
        self.text.push_str(value);
        self.ends.push((name, self.text.len()));
    }
}

impl Visit for TextVisitor<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.values.push(field.name(), value);
    }

    /// Called for values of all other types.
    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {
        self.is_complete = false;
    }
}

impl Visit for FormattingVisitor<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.push(field.name(), value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string doesn't fail; if the value's own code does, what it wrote is kept.
        let _ = write!(self.0.text, "{value:?}");
        self.0.ends.push((field.name(), self.0.text.len()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(pairs: &[(&'static str, &str)]) -> SpanValues {
        let mut values = SpanValues::default();
        for (name, value) in pairs {
            values.push(name, value);
        }
        values
    }

    #[test]
    fn the_last_value_of_a_field_counts() {
        let mut span = values(&[("a", "1"), ("b", "")]);
        span.append(&values(&[("a", "two"), ("c", "3")]));
        let last: Vec<_> = span.last_of_each().collect();
        assert_eq!(last, [("b", ""), ("a", "two"), ("c", "3")]);
        span.clear();
        assert!(span.is_empty() && span.last_of_each().next().is_none());
    }

    #[test]
    fn memory_stays_bounded() {
        let mut span = SpanValues::default();
        for round in 0..1000 {
            span.append(&values(&[("round", &round.to_string()), ("same", "x")]));
        }
        assert!(span.ends.len() <= MAX_VALUES && span.text.len() < 1000, "{}", span.text.len());
        assert_eq!(span.last_of_each().next(), Some(("round", "999")));
        span.append(&values(&[("long", &"x".repeat(1 << 20))]));
        span.clear();
        assert!(span.text.capacity() <= MAX_KEPT_BYTES);
        assert!(span.ends.capacity() <= MAX_KEPT_FIELDS);
    }
}
