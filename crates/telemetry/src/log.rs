//! Logging to standard error, and optionally to a file.

use std::io::IsTerminal;
use std::str::FromStr;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::JsonFields;
use tracing_subscriber::fmt::writer::MakeWriterExt;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{Registry, fmt, reload};

use crate::log_file::LogFile;
use crate::printable_fields::PrintableFields;
use crate::printable_json::PrintableJson;
use crate::span_fields::SpanFields;

/// The log level of the server. It applies to messages of the server and of plug-ins; libraries log
/// warnings and errors at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ServerLogLevel {
    /// Everything, down to individual steps.
    Trace,
    /// Details useful for developing and debugging.
    Debug,
    /// Events of normal operation; the default.
    #[default]
    Info,
    /// Unexpected events that operators should look at.
    Warn,
    /// Failures that need an operator's action.
    Error,
}

impl FromStr for ServerLogLevel {
    type Err = UnknownLogSetting;

    fn from_str(text: &str) -> Result<Self, UnknownLogSetting> {
        match text.trim().to_lowercase().as_str() {
            "trace" => Ok(Self::Trace),
            "debug" => Ok(Self::Debug),
            "" | "info" | "notice" => Ok(Self::Info),
            "warn" | "warning" => Ok(Self::Warn),
            "err" | "error" => Ok(Self::Error),
            _ => Err(UnknownLogSetting("log_level must be trace, debug, info, warn or error")),
        }
    }
}

/// The format of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Text for people; the default.
    #[default]
    Standard,
    /// One JSON object per line, for log collectors.
    Json,
}

impl FromStr for LogFormat {
    type Err = UnknownLogSetting;

    fn from_str(text: &str) -> Result<Self, UnknownLogSetting> {
        match text.trim().to_lowercase().as_str() {
            "" | "standard" => Ok(Self::Standard),
            "json" => Ok(Self::Json),
            _ => Err(UnknownLogSetting("log_format must be standard or json")),
        }
    }
}

/// The value of a log setting is unknown. The message names the valid ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UnknownLogSetting(&'static str);

/// Changes the log level of a running process. Returned by [`install`]. Clones change the level of
/// the same subscriber.
#[derive(Clone, Debug)]
pub struct LogLevelHandle(reload::Handle<Targets, Registry>);

impl LogLevelHandle {
    /// Sets the log level; it applies to all messages from now on. The call has no effect once the
    /// subscriber is gone.
    pub fn set_level(&self, level: ServerLogLevel) {
        // Fails only if the subscriber is gone, and then there is no level to set.
        let _ = self.0.reload(level_filter(level));
    }
}

/// Installs logging for this process: to standard error, and to `file` if there is one.
///
/// # Errors
///
/// If a subscriber was installed before; it can be done once per process.
pub fn install(
    level: ServerLogLevel,
    format: LogFormat,
    file: Option<LogFile>,
) -> Result<LogLevelHandle, TryInitError> {
    let (level, handle) = reload::Layer::new(level_filter(level));
    let registry = tracing_subscriber::registry().with(level);
    let stderr = std::io::stderr;
    match file {
        None => registry.with(log_layer(format, stderr().is_terminal(), stderr)).try_init()?,
        Some(file) => registry.with(log_layer(format, false, stderr.and(file))).try_init()?,
    }
    Ok(LogLevelHandle(handle))
}

fn log_layer<S, W>(format: LogFormat, colours: bool, to: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
    W: for<'a> fmt::MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = fmt::layer().with_ansi(colours);
    match format {
        LogFormat::Standard => {
            let lines = lines.with_writer(to).fmt_fields(PrintableFields);
            SpanFields::new(lines, PrintableFields).boxed()
        }
        LogFormat::Json => {
            let lines = lines.with_writer(PrintableJson(to)).json().flatten_event(true);
            SpanFields::new(lines.with_span_list(false), JsonFields::new()).boxed()
        }
    }
}

/// The level applies to messages of this project and of plug-ins. Libraries are limited to
/// warnings, because at lower levels they would log requests and headers, and with them tokens.
fn level_filter(level: ServerLogLevel) -> Targets {
    let level = match level {
        ServerLogLevel::Trace => LevelFilter::TRACE,
        ServerLogLevel::Debug => LevelFilter::DEBUG,
        ServerLogLevel::Info => LevelFilter::INFO,
        ServerLogLevel::Warn => LevelFilter::WARN,
        ServerLogLevel::Error => LevelFilter::ERROR,
    };
    Targets::new()
        .with_default(level.min(LevelFilter::WARN))
        .with_target("strongroom", level)
        .with_target("plugin", level)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// What is written for one event.
    fn log_output(format: LogFormat, colours: bool, event: impl FnOnce()) -> String {
        let written = Arc::new(Mutex::new(Vec::new()));
        let to = written.clone();
        let layer = log_layer(format, colours, move || SharedBuffer(to.clone()));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), event);
        String::from_utf8(written.lock().unwrap().clone()).unwrap()
    }

    struct SharedBuffer(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for SharedBuffer {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    const FORGED: &str =
        "boom\n2026-11-29T00:00:00Z  INFO core: FORGED\u{1b}[31m\u{2028}next\u{9b}0m\r\nlast";

    #[test]
    fn sr_2026_06_no_value_breaks_a_line_or_reaches_a_terminal() {
        let error = std::io::Error::other(FORGED);
        let line = log_output(LogFormat::Standard, false, || {
            let span = tracing::info_span!("span", of = %FORGED);
            let _inside = span.enter();
            tracing::error!(%error, text = FORGED, debug = ?FORGED, "{FORGED}");
        });
        assert_eq!(line.matches('\n').count(), 1, "{line:?}");
        assert!(line.ends_with('\n') && line.matches("FORGED").count() == 5, "{line:?}");
        let shows = |c: char| c == '\n' || strongroom_types::path::is_printable(c);
        assert!(line.chars().all(shows), "{line:?}");
        assert!(line.contains("error=boom 2026-11-29T00:00:00Z"), "{line}");
    }

    #[test]
    fn sr_2026_06_a_value_has_a_bounded_length() {
        let long = "x".repeat(1 << 20);
        let line = log_output(
            LogFormat::Standard,
            false,
            || tracing::error!(error = %long, more = 7, "no"),
        );
        assert!(line.len() < 10_000, "{}", line.len());
        assert!(line.contains(" more=7"), "the fields behind it are there");
    }

    #[test]
    fn standard_format_is_stable() {
        let line = log_output(LogFormat::Standard, false, || {
            tracing::warn!(mount = "kv/", r#type = true, "it is {}", "so");
        });
        let (_, after_time) = line.split_once("  WARN ").unwrap();
        let target = module_path!();
        assert_eq!(after_time, format!("{target}: it is so mount=\"kv/\" type=true\n"));
    }

    #[test]
    fn json_lines_are_always_valid() {
        let line = log_output(LogFormat::Json, false, || tracing::error!(error = %FORGED, "no"));
        assert_eq!(line.matches('\n').count(), 1, "{line:?}");
        assert!(line.contains(r"boom\n2026") && line.contains(r"\u001b[31m"), "{line}");
        assert!(line.contains(r"\u2028next\u009b0m"), "{line}");
        let shows = |c: char| c == '\n' || strongroom_types::path::is_printable(c);
        assert!(line.chars().all(shows), "{line:?}");
        let read: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(read["error"], FORGED, "machines read what was said");
    }

    #[test]
    fn libraries_are_never_asked_for_more_than_warnings() {
        let verbose = level_filter(ServerLogLevel::Trace);
        assert!(verbose.would_enable("strongroom_core::core", &tracing::Level::TRACE));
        assert!(verbose.would_enable("plugin", &tracing::Level::DEBUG));
        for library in ["h2::codec", "hyper::proto", "rustls::client", "reqwest"] {
            assert!(!verbose.would_enable(library, &tracing::Level::INFO), "{library}");
            assert!(verbose.would_enable(library, &tracing::Level::WARN), "{library}");
        }
        assert!(!level_filter(ServerLogLevel::Error).would_enable("h2", &tracing::Level::WARN));
    }
}
