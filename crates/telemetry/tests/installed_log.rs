//! The log of a process, which has one subscriber for all threads. `tracing` calls such a subscriber
//! even while it is formatting an event, which it does not do with that of `with_default`.

#![expect(clippy::unwrap_used, reason = "a test may be blunt")]

use std::fmt;
use std::path::Path;

use strongroom_telemetry::log::{self, LogFormat, ServerLogLevel};
use strongroom_telemetry::log_file::LogFile;
use tracing::error_span;
use tracing::field::{Empty, debug};

/// A value that logs, and uses spans, while it is formatted.
struct LogsWhenFormatted;

impl fmt::Debug for LogsWhenFormatted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let span = error_span!("nested", value = 1);
        span.record("value", 2);
        span.in_scope(|| tracing::error!("nested event"));
        f.write_str("formatted")
    }
}

#[test]
fn the_log_is_written_to_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let file = LogFile::open(&path).unwrap();
    let level = log::install(ServerLogLevel::Warn, LogFormat::Json, Some(file)).unwrap();
    let again = log::install(ServerLogLevel::Warn, LogFormat::Json, None);
    assert!(again.is_err(), "it can be done once");

    a_value_may_log_while_it_is_formatted(&path);
    for (set, expected) in [(ServerLogLevel::Info, 1), (ServerLogLevel::Error, 0)] {
        level.set_level(set);
        assert_eq!(new_lines(&path, || tracing::info!(target: "plugin", "text")).len(), expected);
    }
    level.set_level(ServerLogLevel::Trace);
    let of_library = new_lines(&path, || tracing::info!(target: "h2", "text"));
    assert!(of_library.is_empty(), "libraries log warnings at most");
}

fn a_value_may_log_while_it_is_formatted(path: &Path) {
    let lines = new_lines(path, || {
        let span = error_span!("outer", first = ?LogsWhenFormatted, second = Empty);
        span.record("second", debug(LogsWhenFormatted));
        let _inside = span.enter();
        tracing::error!(third = ?LogsWhenFormatted, "outer event");
    });
    let (outer, nested) = lines.split_last().unwrap();
    assert_eq!(nested.len(), 3, "{nested:?}");
    for line in nested {
        let span = serde_json::json!({ "value": "2", "name": "nested" });
        assert_eq!((&line["message"], &line["span"]), (&"nested event".into(), &span));
    }
    let span = serde_json::json!({ "first": "formatted", "second": "formatted", "name": "outer" });
    assert_eq!((&outer["message"], &outer["span"]), (&"outer event".into(), &span));
    assert_eq!(outer["third"], "formatted");
}

/// The lines that are added to the file while `log` runs.
fn new_lines(path: &Path, log: impl FnOnce()) -> Vec<serde_json::Value> {
    let read = || std::fs::read_to_string(path).unwrap();
    let lines_before = read().lines().count();
    log();
    read().lines().skip(lines_before).map(|line| serde_json::from_str(line).unwrap()).collect()
}
