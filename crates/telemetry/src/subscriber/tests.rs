use std::sync::{Mutex, MutexGuard, PoisonError};

use strongroom_types::clock::ManualClock;
use strongroom_types::path::is_printable;
use tracing::error_span;

use super::*;
use crate::log_settings::ServerLogLevel;

mod spans;

const TEXT: LineFormat = LineFormat::Text { colours: false };
const COLOURED_TEXT: LineFormat = LineFormat::Text { colours: true };
/// The time of each line.
const TIME: &str = "2030-01-01T00:00:00.000000Z";

/// The lines that were written.
#[derive(Clone, Default)]
struct WrittenLines(Arc<Mutex<Vec<String>>>);

impl WrittenLines {
    fn lock(&self) -> MutexGuard<'_, Vec<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl WriteLine for WrittenLines {
    fn write_line(&self, line: &str) {
        self.lock().push(line.to_owned());
    }
}

fn subscriber(format: LineFormat) -> (LogSubscriber, Arc<LogFilter>, WrittenLines) {
    let filter = Arc::new(LogFilter::new(ServerLogLevel::Trace));
    let (lines, clock) = (WrittenLines::default(), Arc::new(ManualClock::default()));
    (LogSubscriber::new(filter.clone(), format, lines.clone(), clock), filter, lines)
}

/// What is written while `log` runs.
fn log_output(format: LineFormat, log: impl FnOnce()) -> String {
    let (subscriber, _, lines) = subscriber(format);
    tracing::subscriber::with_default(subscriber, log);
    lines.lock().concat()
}

const FORGED: &str =
    "boom\n2026-11-29T00:00:00Z  INFO core: FORGED\u{1b}[31m\u{2028}next\u{9b}0m\r\nlast";

fn is_shown(c: char) -> bool {
    c == '\n' || is_printable(c)
}

#[test]
fn sr_2026_06_no_value_breaks_a_line_or_reaches_a_terminal() {
    let error = std::io::Error::other(FORGED);
    let line = log_output(TEXT, || {
        let span = tracing::info_span!("span", of = %FORGED);
        let _inside = span.enter();
        tracing::error!(%error, text = FORGED, debug = ?FORGED, "{FORGED}");
    });
    assert_eq!(line.matches('\n').count(), 1, "{line:?}");
    assert!(line.ends_with('\n') && line.matches("FORGED").count() == 5, "{line:?}");
    assert!(line.chars().all(is_shown), "{line:?}");
    assert!(line.contains("error=boom 2026-11-29T00:00:00Z"), "{line}");
}

#[test]
fn sr_2026_06_a_value_has_a_bounded_length() {
    let long = "x".repeat(1 << 20);
    let line = log_output(TEXT, || {
        let _inside = error_span!("span", of = long).entered();
        tracing::error!(error = %long, more = 7, "no");
    });
    assert!(line.len() < 20_000, "{}", line.len());
    assert!(line.contains(" more=7"), "the fields behind it are there");
}

#[test]
fn standard_format_is_stable() {
    let line = log_output(TEXT, || {
        let _inside = error_span!("request", request_id = "id", n = 5, r#type = "t").entered();
        tracing::warn!(mount = "kv/", r#type = true, "it is {}", "so");
    });
    let target = module_path!();
    let spans = "request{request_id=\"id\" n=\"5\" type=\"t\"}";
    let fields = "it is so mount=\"kv/\" type=true";
    assert_eq!(line, format!("{TIME}  WARN {spans}: {target}: {fields}\n"));
}

#[test]
fn a_terminal_shows_colours() {
    let line = log_output(COLOURED_TEXT, || {
        let _inside = error_span!("request", id = 1).entered();
        tracing::info!(target: "plugin", a = 1, "text");
    });
    let span = "\x1b[1mrequest\x1b[0m\x1b[1m{\x1b[0mid=\"1\"\x1b[1m}\x1b[0m\x1b[2m:\x1b[0m";
    let target = "\x1b[2mplugin\x1b[0m\x1b[2m:\x1b[0m";
    let head = format!("\x1b[2m{TIME}\x1b[0m \x1b[32m INFO\x1b[0m");
    assert_eq!(line, format!("{head} {span} {target} text a=1\n"));
}

#[test]
fn json_lines_are_always_valid() {
    let line = log_output(LineFormat::Json, || tracing::error!(error = %FORGED, "no"));
    assert_eq!(line.matches('\n').count(), 1, "{line:?}");
    assert!(line.contains(r"boom\n2026") && line.contains(r"\u001b[31m"), "{line}");
    assert!(line.contains(r"\u2028next\u009b0m"), "{line}");
    assert!(line.chars().all(is_shown), "{line:?}");
    let read: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(read["error"], FORGED, "machines read what was said");
}

#[test]
fn json_format_is_stable() {
    let line = log_output(LineFormat::Json, || {
        let _outer = error_span!("outer", id = "outer's").entered();
        let _inner = error_span!("request", id = "a\"b", n = 5).entered();
        let error = std::io::Error::other("full");
        let error: &(dyn std::error::Error + 'static) = &error;
        let (infinite, r#type) = (f64::INFINITY, "t");
        tracing::warn!(
            error,
            count = 7,
            yes = true,
            rate = 0.5,
            infinite,
            r#type,
            "it is {}",
            "so"
        );
    });
    let fields =
        "\"error\":\"full\",\"count\":7,\"yes\":true,\"rate\":0.5,\"infinite\":null,\"type\":\"t\"";
    let span = "{\"id\":\"a\\\"b\",\"n\":\"5\",\"name\":\"request\"}";
    let (head, target) = (format!("\"timestamp\":\"{TIME}\",\"level\":\"WARN\""), module_path!());
    let event = format!("\"message\":\"it is so\",{fields},\"target\":\"{target}\"");
    assert_eq!(line, format!("{{{head},{event},\"span\":{span}}}\n"));
    let outside = log_output(LineFormat::Json, || tracing::warn!("outside"));
    assert!(!outside.contains("span"), "{outside}");
}

#[test]
fn no_field_takes_the_place_of_what_each_json_line_has() {
    let line = log_output(LineFormat::Json, || {
        let _inside = error_span!("request", name = "other").entered();
        tracing::warn!(timestamp = 1, level = 2, target = 3, span = 4, "text");
    });
    let read: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&read["timestamp"], &read["level"]), (&TIME.into(), &"WARN".into()));
    assert_eq!(
        (&read["target"], &read["span"]["name"]),
        (&module_path!().into(), &"request".into())
    );
    for (name, value) in [("timestamp", 1), ("level", 2), ("target", 3), ("span", 4)] {
        assert_eq!(read[format!("field_{name}")], value, "{line}");
        assert_eq!(line.matches(&format!("\"{name}\":")).count(), 1, "{line}");
    }
    assert_eq!(read["span"]["field_name"], "other");
}
