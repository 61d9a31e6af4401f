//! The line of JSON in which plug-ins log to their standard error, as Go's hclog writes it.
//!
//! A plug-in builds lines with [`LineBuilder`]; the host reads whatever arrives with
//! [`LineReader`], which never fails and believes nothing.

use std::fmt;

use serde_json::{Map, Value};
use strongroom_types::Timestamp;
use strongroom_types::path::is_printable;

/// The longest line, its line feed included. Hosts cut what is longer, and then it isn't JSON.
pub const MAX_LINE_BYTES: usize = 64 * 1024;

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PluginLogLevel {
    /// For those who look for something.
    Trace,
    /// For those who develop.
    Debug,
    /// For those who operate.
    Info,
    /// For those who operate, before something fails.
    Warn,
    /// Something failed.
    Error,
}

impl PluginLogLevel {
    /// As the wire spells it.
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

/// Builds one line. The three keys that Go hosts insist on can't be left out or overwritten.
#[derive(Debug)]
pub struct LineBuilder {
    object: Map<String, Value>,
    bytes_left: usize,
}

/// Room for the fixed keys and the braces.
const OVERHEAD_BYTES: usize = 512;
/// The longest message or value; escaping at most doubles it.
const MAX_TEXT_BYTES: usize = 8 * 1024;

impl LineBuilder {
    /// A line with a message.
    pub fn new(level: PluginLogLevel, message: &str, at: Timestamp) -> Self {
        let mut line = Self { object: Map::new(), bytes_left: MAX_LINE_BYTES - OVERHEAD_BYTES };
        line.insert("@level", level.as_str());
        line.insert("@message", message);
        line.insert("@timestamp", &six_digits(at));
        line
    }

    /// Names the part of the plug-in that speaks.
    #[must_use]
    pub fn module(mut self, module: &str) -> Self {
        self.insert("@module", module);
        self
    }

    /// Names the place in the source that speaks.
    #[must_use]
    pub fn caller(mut self, caller: &str) -> Self {
        self.insert("@caller", caller);
        self
    }

    /// Adds a field. One that would make the line too long is left out.
    #[must_use]
    pub fn field(mut self, name: &str, value: &str) -> Self {
        // Keys with an at sign are the protocol's.
        self.insert(name.trim_start_matches('@'), value);
        self
    }

    /// The line with its line feed, to be written at once.
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

/// A line as it came from a plug-in. All text in it is printable, and none of it is to be trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// As the line says; debug where it says nothing.
    pub level: PluginLogLevel,
    /// What happened.
    pub message: String,
    /// When the plug-in wrote it, if it says so.
    pub timestamp: Option<Timestamp>,
    /// The part of the plug-in that spoke.
    pub module: Option<String>,
    /// The place in its source.
    pub caller: Option<String>,
    /// Everything else, in the order of the names.
    pub fields: Vec<(String, String)>,
}

/// Reads the standard error of one plug-in, line by line.
#[derive(Debug, Default)]
pub struct LineReader {
    /// A Go plug-in is dying: everything it still writes is its stack.
    panicking: bool,
}

impl LineReader {
    /// For a process that has just been started.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads one line, with or without its line feed. What is past [`MAX_LINE_BYTES`] is cut off.
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

/// None where there is no message: then it is somebody else's JSON.
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

/// `[INFO] text` is the other form in which Go code logs.
fn split_level(text: &str) -> (Option<PluginLogLevel>, &str) {
    let split = text.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    match split.and_then(|(name, rest)| Some((PluginLogLevel::parse(name)?, rest))) {
        Some((level, rest)) => (Some(level), rest.trim_start()),
        None => (None, text),
    }
}

/// What could end a line, colour a terminal or turn its text around becomes a space.
fn replace_unprintable(text: &str) -> String {
    text.chars().map(|c| if is_printable(c) { c } else { ' ' }).collect()
}

fn truncate(text: &str) -> &str {
    let end = (0..=MAX_TEXT_BYTES.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    text.get(..end.unwrap_or(0)).unwrap_or(text)
}

/// RFC 3339 with exactly six digits: Go hosts parse with a fixed pattern.
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
