//! Tests of the spans in log lines.

use std::pin::pin;
use std::task::{Context, Waker};

use proptest::prelude::*;
use tracing::dispatcher::{self, Dispatch};
use tracing::field::Empty;
use tracing::{Instrument, Span, error_span};

use super::*;

/// The lines that are written while `log` runs, without the parts that are the same in all of them.
fn text_output(log: impl FnOnce()) -> String {
    shortened(&log_output(TEXT, log))
}

fn shortened(lines: &str) -> String {
    lines.replace(&format!("{TIME} "), "").replace(module_path!(), "here")
}

#[test]
fn a_recorded_field_replaces_an_earlier_value() {
    let written = text_output(|| {
        let span = error_span!("request", id = 1, mount = Empty, operation = Empty);
        let handle = span.clone();
        span.in_scope(|| tracing::error!("one"));
        tracing::record_all!(handle, mount = "kv/", operation = "read");
        span.in_scope(|| tracing::error!("two"));
        handle.record("mount", "pki/");
        span.in_scope(|| tracing::error!("three"));
    });
    let expected = "ERROR request{id=\"1\"}: here: one\n\
                    ERROR request{id=\"1\" mount=\"kv/\" operation=\"read\"}: here: two\n\
                    ERROR request{id=\"1\" operation=\"read\" mount=\"pki/\"}: here: three\n";
    assert_eq!(written, expected);
}

#[test]
fn a_line_names_each_entered_span_once_and_the_outermost_first() {
    let written = text_output(|| {
        let (outer, inner) = (error_span!("outer"), error_span!("inner"));
        let outer_guard = outer.enter();
        let inner_guard = inner.enter();
        let again_guard = outer.enter();
        tracing::info!("twice");
        assert_eq!(Span::current(), outer);
        drop(again_guard);
        tracing::info!("both");
        assert_eq!(Span::current(), inner);
        drop(outer_guard);
        tracing::info!("inner only");
        drop(inner_guard);
        tracing::info!("none");
        assert!(Span::current().is_none());
    });
    let expected = " INFO outer:inner: here: twice\n INFO outer:inner: here: both\n \
                    INFO inner: here: inner only\n INFO here: none\n";
    assert_eq!(written, expected);
}

#[test]
fn an_explicit_parent_is_the_only_span_of_its_event() {
    let written = text_output(|| {
        let (parent, entered) = (error_span!("parent"), error_span!("entered"));
        let _inside = entered.enter();
        tracing::info!(parent: &parent, "one");
        tracing::info!(parent: None, "two");
    });
    assert_eq!(written, " INFO parent: here: one\n INFO here: two\n");
}

#[test]
fn a_span_has_nothing_of_the_closed_span_before_it() {
    let written = text_output(|| {
        drop(error_span!("first", secret = "old", more = "old"));
        let span = error_span!("second", secret = Empty);
        span.in_scope(|| tracing::info!("empty"));
        span.record("secret", "new");
        span.in_scope(|| tracing::info!("set"));
    });
    let expected = " INFO second: here: empty\n INFO second{secret=\"new\"}: here: set\n";
    assert_eq!(written, expected);
}

#[test]
fn an_id_that_outlives_its_span_names_no_other_span() {
    let written = text_output(|| {
        let stale = error_span!("first", id = 1).id().unwrap();
        let second = error_span!("second", id = 2);
        assert_ne!(second.id(), Some(stale.clone()));
        dispatcher::get_default(|dispatch| dispatch.enter(&stale));
        tracing::info!("event");
        assert!(Span::current().is_none());
        dispatcher::get_default(|dispatch| dispatch.exit(&stale));
        second.in_scope(|| tracing::info!("event"));
    });
    assert_eq!(written, " INFO here: event\n INFO second{id=\"2\"}: here: event\n");
}

#[test]
fn a_span_can_be_used_by_two_threads_at_once() {
    let (subscriber, _, lines) = subscriber(TEXT);
    let dispatch = Dispatch::new(subscriber);
    let span =
        dispatcher::with_default(&dispatch, || error_span!("shared", first = 1, second = Empty));
    let _here = span.enter();
    let (there, dispatch_there) = (span.clone(), dispatch.clone());
    let other = std::thread::spawn(move || {
        dispatcher::with_default(&dispatch_there, || {
            tracing::info!("not inside");
            there.record("second", 2);
            there.in_scope(|| tracing::info!("there"));
        });
    });
    other.join().unwrap();
    dispatcher::with_default(&dispatch, || tracing::info!("here"));
    let lines = lines.lock();
    assert!(!lines[0].contains("shared"), "{lines:?}");
    assert!(lines[1..].iter().all(|line| line.contains("shared{first=\"1\" second=\"2\"}")));
    assert_eq!(lines.len(), 3);
}

#[test]
fn a_new_level_applies_to_places_that_logged_before() {
    let (subscriber, filter, lines) = subscriber(TEXT);
    tracing::subscriber::with_default(subscriber, || {
        for level in [ServerLogLevel::Info, ServerLogLevel::Debug, ServerLogLevel::Error] {
            filter.set_level(level);
            let span = tracing::debug_span!("detail").entered();
            tracing::debug!("at {level:?}");
            tracing::info!("at {level:?}");
            assert_eq!(span.is_disabled(), level != ServerLogLevel::Debug);
        }
    });
    let lines = lines.lock();
    let ends = ["INFO", "at Info", "DEBUG detail", "at Debug", " INFO detail", "at Debug"];
    assert_eq!(lines.len() * 2, ends.len(), "{lines:?}");
    for (line, ends) in lines.iter().zip(ends.chunks(2)) {
        assert!(line.contains(ends[0]) && line.ends_with(&format!("{}\n", ends[1])), "{line}");
    }
}

/// A step of a thread; the numbers select one of the handles that it has.
#[derive(Clone, Copy, Debug)]
enum SpanStep {
    Create,
    Clone(usize),
    Drop(usize),
    /// Passes a clone of the handle to all threads.
    Share(usize),
    /// Drops a handle that some thread has shared.
    DropShared,
    Record(usize, u32),
    Log(usize),
    LogInFuture(usize),
}

fn any_step() -> impl Strategy<Value = SpanStep> {
    let any_handle = || 0..8_usize;
    prop_oneof![
        2 => Just(SpanStep::Create),
        1 => any_handle().prop_map(SpanStep::Clone),
        2 => any_handle().prop_map(SpanStep::Drop),
        1 => any_handle().prop_map(SpanStep::Share),
        1 => Just(SpanStep::DropShared),
        1 => (any_handle(), any::<u32>()).prop_map(|(of, value)| SpanStep::Record(of, value)),
        1 => any_handle().prop_map(SpanStep::Log),
        1 => any_handle().prop_map(SpanStep::LogInFuture),
    ]
}

/// What one thread has, and the lines that are expected of it.
struct SpanThread<'a> {
    number: usize,
    /// Each handle, with the index of its span.
    handles: Vec<(usize, Span)>,
    /// What was recorded in each span that the thread has created.
    recorded: Vec<Option<u32>>,
    expected: Vec<String>,
    shared: &'a Mutex<Vec<Span>>,
}

impl SpanThread<'_> {
    fn run(&mut self, step: SpanStep) {
        match step {
            SpanStep::Create => self.create(),
            SpanStep::DropShared => drop(self.shared.lock().unwrap().pop()),
            _ if self.handles.is_empty() => {}
            SpanStep::Clone(of) => self.handles.push(self.handle(of)),
            SpanStep::Drop(of) => drop(self.handles.swap_remove(of % self.handles.len())),
            SpanStep::Share(of) => self.shared.lock().unwrap().push(self.handle(of).1),
            SpanStep::Record(of, value) => {
                let (span, handle) = self.handle(of);
                handle.record("value", value);
                self.recorded[span] = Some(value);
            }
            SpanStep::Log(of) => {
                let (span, handle) = self.handle(of);
                handle.in_scope(|| self.log(span));
            }
            SpanStep::LogInFuture(of) => {
                let (span, handle) = self.handle(of);
                let work = pin!(async { self.log(span) }.instrument(handle));
                assert!(work.poll(&mut Context::from_waker(Waker::noop())).is_ready());
            }
        }
    }

    fn handle(&self, of: usize) -> (usize, Span) {
        self.handles[of % self.handles.len()].clone()
    }

    fn create(&mut self) {
        let span = self.recorded.len();
        let id = format!("{}-{span}", self.number);
        self.handles.push((span, error_span!("request", id, value = Empty)));
        self.recorded.push(None);
    }

    fn log(&mut self, span: usize) {
        tracing::info!(thread = self.number, span, "line");
        let value = self.recorded[span].map(|value| format!(" value=\"{value}\""));
        let (thread, value) = (self.number, value.unwrap_or_default());
        let fields = format!("id=\"{thread}-{span}\"{value}");
        let line = format!("request{{{fields}}}: here: line thread={thread} span={span}\n");
        self.expected.push(format!(" INFO {line}"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn each_line_has_the_fields_of_its_span(
        steps in prop::collection::vec(prop::collection::vec(any_step(), 0..200), 4),
    ) {
        let (subscriber, _, lines) = subscriber(TEXT);
        let dispatch = Dispatch::new(subscriber);
        let shared = Mutex::new(Vec::new());
        let run = |number: usize, steps: &[SpanStep]| {
            let (handles, recorded, expected) = Default::default();
            let mut thread = SpanThread { number, handles, recorded, expected, shared: &shared };
            dispatcher::with_default(&dispatch, || steps.iter().for_each(|step| thread.run(*step)));
            thread.expected
        };
        let mut expected = std::thread::scope(|scope| {
            let run = &run;
            let start = |(number, steps)| scope.spawn(move || run(number, steps));
            let threads: Vec<_> = steps.iter().map(Vec::as_slice).enumerate().map(start).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        });
        let mut written: Vec<String> = lines.lock().iter().map(|line| shortened(line)).collect();
        expected.sort();
        written.sort();
        prop_assert_eq!(written, expected);
    }
}
