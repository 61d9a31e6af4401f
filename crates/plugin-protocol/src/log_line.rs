//! The JSON lines that plug-ins log to standard error, in the format of Go's hclog.
//!
//! A plug-in builds lines with [`LineBuilder`]; the host reads any output with [`LineReader`],
//! which never fails and trusts nothing in it.

use std::fmt;

use serde_json::{Map, Value};
use strongroom_types::Timestamp;
use strongroom_types::path::is_printable;

/// The maximum length of a line in bytes, including its line feed. Hosts truncate longer lines,
/// which are then no valid JSON.
pub const MAX_LINE_BYTES: usize = 64 * 1024;

/// The level of a log line, in ascending order of severity. Levels are compared in this order, so
/// `Error` is the greatest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PluginLogLevel {
    /// For tracing a specific problem.
    Trace,
    /// For developers of the plug-in.
    Debug,
    /// Normal events that are useful to operators.
    Info,
    /// A condition that may need attention before something fails.
    Warn,
    /// An operation failed.
    Error,
}

impl PluginLogLevel {
    /// The level in lower case, as it is written in the line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }

    const ALL: [Self; 5] = [Self::Trace, Self::Debug, Self::Info, Self::Warn, Self::Error];

    fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| text.eq_ignore_ascii_case(level.as_str()))
    }
}

impl fmt::Display for PluginLogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Builds one line. The keys that Go hosts require (`@level`, `@message`, `@timestamp`) are always
/// present and can't be overwritten by fields.
#[derive(Debug)]
pub struct LineBuilder {
    object: Map<String, Value>,
    bytes_left: usize,
}

/// Bytes reserved for the fixed keys and the braces.
const OVERHEAD_BYTES: usize = 512;
/// The maximum length of a message or value in bytes; escaping at most doubles it.
const MAX_TEXT_BYTES: usize = 8 * 1024;

impl LineBuilder {
    /// Starts a line with its level, message and time. Messages that are too long are truncated,
    /// and the time is written with six decimals.
    pub fn new(level: PluginLogLevel, message: &str, at: Timestamp) -> Self {
        let mut line = Self { object: Map::new(), bytes_left: MAX_LINE_BYTES - OVERHEAD_BYTES };
        line.insert("@level", level.as_str());
        line.insert("@message", message);
        line.insert("@timestamp", &six_digits(at));
        line
    }

    /// Sets the part of the plug-in that logs, as `@module`. It is left out if the line has no
    /// space left.
    #[must_use]
    pub fn module(mut self, module: &str) -> Self {
        self.insert("@module", module);
        self
    }

    /// Sets the position in the source code, as `@caller`. It is left out if the line has no space
    /// left.
    #[must_use]
    pub fn caller(mut self, caller: &str) -> Self {
        self.insert("@caller", caller);
        self
    }

    /// Adds a field. It is left out if it would make the line too long.
    #[must_use]
    pub fn field(mut self, name: &str, value: &str) -> Self {
        // Keys that begin with `@` belong to the format.
        self.insert(name.trim_start_matches('@'), value);
        self
    }

    /// The complete line with its line feed, to be written in one call.
    pub fn finish(self) -> Vec<u8> {
        let mut line = Value::Object(self.object).to_string().into_bytes();
        line.push(b'\n');
        line
    }

    fn insert(&mut self, name: &str, value: &str) {
        let (name, value) =
            (replace_unprintable(truncate(name)), replace_unprintable(truncate(value)));
        let worst = 2 * (name.len() + value.len()) + 6;
        if let Some(left) = self.bytes_left.checked_sub(worst) {
            self.bytes_left = left;
            self.object.insert(name, Value::String(value));
        }
    }
}

/// A parsed line. All its text is printable, but none of it can be trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// The line's level; debug if it has none, and error for the output of a Go panic.
    pub level: PluginLogLevel,
    /// The message; for a line that is not JSON, the whole line.
    pub message: String,
    /// When the plug-in wrote it, if the line has a valid time.
    pub timestamp: Option<Timestamp>,
    /// The part of the plug-in that logged it, if given.
    pub module: Option<String>,
    /// The position in the plug-in's source code, if given.
    pub caller: Option<String>,
    /// All other keys with their values, sorted by key.
    pub fields: Vec<(String, String)>,
}

/// Parses the standard error of one plug-in, line by line. It remembers whether the plug-in has
/// panicked, so each process needs its own.
#[derive(Debug, Default)]
pub struct LineReader {
    /// A Go plug-in has panicked: everything it still writes is its stack trace.
    panicking: bool,
}

impl LineReader {
    /// A reader for the output of a newly started process. It has seen no panic yet; each process
    /// needs a reader of its own.
    pub fn new() -> Self {
        Self::default()
    }

    /// Parses one line, with or without its line feed. Anything beyond [`MAX_LINE_BYTES`] is
    /// ignored.
    pub fn read(&mut self, line: &[u8]) -> LogLine {
        let line = line.get(..MAX_LINE_BYTES).unwrap_or(line);
        let text = String::from_utf8_lossy(line);
        let text = text.trim_end();
        match serde_json::from_str(text) {
            Ok(Value::Object(object)) => {
                from_object(object).unwrap_or_else(|| self.parse_plain(text))
            }
            _ => self.parse_plain(text),
        }
    }

    fn parse_plain(&mut self, text: &str) -> LogLine {
        let (level, text) = split_level(text);
        self.panicking |= text.starts_with("panic: ") || text.starts_with("fatal error: ");
        let level = if self.panicking {
            PluginLogLevel::Error
        } else {
            level.unwrap_or(PluginLogLevel::Debug)
        };
        LogLine {
            level,
            message: replace_unprintable(text),
            timestamp: None,
            module: None,
            caller: None,
            fields: Vec::new(),
        }
    }
}

/// `None` if there is no message: then the JSON isn't in hclog's format.
fn from_object(mut object: Map<String, Value>) -> Option<LogLine> {
    let mut take = |key| match object.remove(key) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    };
    let message = take("@message")?;
    let level = take("@level")
        .and_then(|text| PluginLogLevel::parse(&text))
        .unwrap_or(PluginLogLevel::Debug);
    let timestamp = take("@timestamp").and_then(|text| Timestamp::parse_rfc3339(&text));
    let (module, caller) = (take("@module"), take("@caller"));
    let fields = object.into_iter().map(|(name, value)| {
        let value = match value {
            Value::String(text) => text,
            other => other.to_string(),
        };
        (replace_unprintable(&name), replace_unprintable(&value))
    });
    Some(LogLine {
        level,
        message: replace_unprintable(&message),
        timestamp,
        module: module.as_deref().map(replace_unprintable),
        caller: caller.as_deref().map(replace_unprintable),
        fields: fields.collect(),
    })
}

/// The other common format of Go's logs is `[INFO] text`.
fn split_level(text: &str) -> (Option<PluginLogLevel>, &str) {
    let split = text.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    match split.and_then(|(name, rest)| Some((PluginLogLevel::parse(name)?, rest))) {
        Some((level, rest)) => (Some(level), rest.trim_start()),
        None => (None, text),
    }
}

/// Replaces characters by spaces that could end the line, colour a terminal or reverse the text.
fn replace_unprintable(text: &str) -> String {
    text.chars().map(|c| if is_printable(c) { c } else { ' ' }).collect()
}

fn truncate(text: &str) -> &str {
    let end = (0..=MAX_TEXT_BYTES.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    text.get(..end.unwrap_or(0)).unwrap_or(text)
}

/// RFC 3339 with exactly six digits of a second, because Go hosts parse it with a fixed pattern.
fn six_digits(at: Timestamp) -> String {
    let micros = at.as_nanos().rem_euclid(1_000_000_000) / 1000;
    let seconds = Timestamp::from_secs(at.as_secs()).to_rfc3339();
    format!("{}.{micros:06}Z", seconds.trim_end_matches('Z'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(line: &str) -> LogLine {
        LineReader::new().read(line.as_bytes())
    }

    #[test]
    fn writes_what_go_hosts_insist_on() {
        let at = Timestamp::from_nanos(1_795_299_674_000_999_999);
        let line = LineBuilder::new(PluginLogLevel::Warn, "half \"full\"\n", at)
            .module("kv")
            .caller("kv.rs:7")
            .field("@level", "nonsense")
            .field("path", "a/b")
            .finish();
        let text = String::from_utf8(line).unwrap();
        let expected = r#"{"@caller":"kv.rs:7","@level":"warn","@message":"half \"full\" ","@module":"kv","@timestamp":"2026-11-21T22:21:14.000999Z","level":"nonsense","path":"a/b"}"#;
        assert_eq!(text, format!("{expected}\n"));
    }

    #[test]
    fn timestamps_have_six_digits() {
        for (nanos, text) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (1_795_299_674_550_000_000, "2026-11-21T22:21:14.550000Z"),
            (-1, "1969-12-31T23:59:59.999999Z"),
        ] {
            assert_eq!(six_digits(Timestamp::from_nanos(nanos)), text);
        }
    }

    #[test]
    fn a_line_reads_back() {
        let at = Timestamp::from_nanos(1_795_299_674_123_456_000);
        let line =
            LineBuilder::new(PluginLogLevel::Error, "no", at).field("n", "1").module("m").finish();
        let expected = LogLine {
            level: PluginLogLevel::Error,
            message: "no".to_owned(),
            timestamp: Some(at),
            module: Some("m".to_owned()),
            caller: None,
            fields: vec![("n".to_owned(), "1".to_owned())],
        };
        assert_eq!(LineReader::new().read(&line), expected);
    }

    #[test]
    fn go_lines_are_read() {
        let line = read(
            r#"{"@caller":"x.go:1","@level":"info","@message":"up","@timestamp":"2026-11-21T22:21:14.123456+01:00","n":7,"list":[1,"a"]}"#,
        );
        assert_eq!((line.level, &*line.message), (PluginLogLevel::Info, "up"));
        assert_eq!(line.timestamp.unwrap().to_rfc3339(), "2026-11-21T21:21:14.123456Z");
        let fields: Vec<_> = line.fields.iter().map(|(k, v)| (&**k, &**v)).collect();
        assert_eq!(fields, [("list", r#"[1,"a"]"#), ("n", "7")]);
    }

    #[test]
    fn whatever_else_comes_is_a_message() {
        for (text, level, message) in [
            ("", PluginLogLevel::Debug, ""),
            ("hello\r\n", PluginLogLevel::Debug, "hello"),
            ("[INFO]  core: up", PluginLogLevel::Info, "core: up"),
            ("[warn] x", PluginLogLevel::Warn, "x"),
            ("[nothing] x", PluginLogLevel::Debug, "[nothing] x"),
            ("[ERROR", PluginLogLevel::Debug, "[ERROR"),
            ("{}", PluginLogLevel::Debug, "{}"),
            (r#"{"@message":7}"#, PluginLogLevel::Debug, r#"{"@message":7}"#),
            (r#"{"@message":"x","@level":7}"#, PluginLogLevel::Debug, "x"),
            (r#"{"@message":"x","@level":"loud"}"#, PluginLogLevel::Debug, "x"),
            ("a\u{1b}[31mb\u{202e}c", PluginLogLevel::Debug, "a [31mb c"),
            (r#"{"@message":"a\u001b[31m\nb"}"#, PluginLogLevel::Debug, "a [31m b"),
        ] {
            let line = read(text);
            assert_eq!((line.level, &*line.message), (level, message), "{text}");
        }
        assert_eq!(LineReader::new().read(b"a\xff\xfeb").message, "a  b");
    }

    #[test]
    fn a_panic_and_what_follows_are_errors() {
        let mut reader = LineReader::new();
        let mut level = |text: &str| reader.read(text.as_bytes()).level;
        assert_eq!(level("fine"), PluginLogLevel::Debug);
        assert_eq!(level("panic: oh"), PluginLogLevel::Error);
        assert_eq!(level("goroutine 1 [running]:"), PluginLogLevel::Error);
        assert_eq!(level(r#"{"@message":"x","@level":"info"}"#), PluginLogLevel::Info);
    }

    #[test]
    fn lines_are_bounded() {
        let long = "\\".repeat(MAX_LINE_BYTES);
        let mut line = LineBuilder::new(PluginLogLevel::Info, &long, Timestamp::EPOCH);
        for index in 0..100 {
            line = line.field(&format!("f{index}"), &long);
        }
        let line = line.finish();
        assert!(line.len() <= MAX_LINE_BYTES, "{}", line.len());
        let read = LineReader::new().read(&line);
        assert_eq!(read.message.len(), MAX_TEXT_BYTES);
        assert!(!read.fields.is_empty());

        let much = vec![b'x'; 3 * MAX_LINE_BYTES];
        assert_eq!(LineReader::new().read(&much).message.len(), MAX_LINE_BYTES);
    }

    proptest! {
        #[test]
        fn any_text_is_written_as_one_line(message in "\\PC*|.{0,40}", name: String, value: String) {
            let line = LineBuilder::new(PluginLogLevel::Info, &message, Timestamp::EPOCH)
                .field(&name, &value)
                .finish();
            prop_assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
            let read = LineReader::new().read(&line);
            prop_assert_eq!(read.level, PluginLogLevel::Info);
            prop_assert_eq!(read.message.chars().count(), message.chars().count());
        }

        #[test]
        fn any_bytes_are_read_and_cleaned(line: Vec<u8>) {
            let read = LineReader::new().read(&line);
            prop_assert!(read.message.chars().all(is_printable));
        }
    }
}
