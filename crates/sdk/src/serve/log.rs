//! Writes log events to standard error, one JSON object per line, in the format that hosts parse.

use std::fmt::{self, Write as _};
use std::fs::File;
use std::io::{self, Write};
use std::panic::PanicHookInfo;
use std::sync::{Arc, Mutex, PoisonError};

use strongroom_plugin_protocol::log_line::{LineBuilder, PluginLogLevel};
use strongroom_types::Clock;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Sends all log events and panics of this process to `log`. If `log` is an error, they are lost.
pub(super) fn install_subscriber(log: io::Result<File>, clock: Arc<dyn Clock>) {
    let Ok(log) = log else { return };
    let lines = Arc::new(LogWriter { log: Mutex::new(log), clock });
    let hook = lines.clone();
    std::panic::set_hook(Box::new(move |info| hook.log_panic(info)));
    // Fails only if an engine's `main` has installed a subscriber of its own.
    let _ = tracing::subscriber::set_global_default(LogSubscriber(lines));
}

struct LogWriter {
    log: Mutex<File>,
    clock: Arc<dyn Clock>,
}

impl LogWriter {
    fn write(&self, line: LineBuilder) {
        let line = line.finish();
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        // There is nowhere to report that the log can't be written.
        let _ = log.write_all(&line);
    }

    /// Logs where the panic occurred but not its message, which may be a secret.
    fn log_panic(&self, info: &PanicHookInfo<'_>) {
        let mut line =
            LineBuilder::new(PluginLogLevel::Error, "the engine panicked", self.clock.now());
        if let Some(at) = info.location() {
            line = line.caller(&format!("{}:{}", at.file(), at.line()));
        }
        self.write(line);
    }
}

/// A minimal subscriber: events are written, spans only numbered.
struct LogSubscriber(Arc<LogWriter>);

impl Subscriber for LogSubscriber {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        is_logged(metadata.target(), *metadata.level())
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let level = match *event.metadata().level() {
            tracing::Level::ERROR => PluginLogLevel::Error,
            tracing::Level::WARN => PluginLogLevel::Warn,
            tracing::Level::INFO => PluginLogLevel::Info,
            tracing::Level::DEBUG => PluginLogLevel::Debug,
            tracing::Level::TRACE => PluginLogLevel::Trace,
        };
        let mut found = EventFields::default();
        event.record(&mut found);
        let mut line = LineBuilder::new(level, &found.message, self.0.clock.now())
            .module(event.metadata().target());
        for (name, value) in &found.fields {
            line = line.field(name, value);
        }
        self.0.write(line);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// Libraries that log each frame and connection. One line per frame would flood the log and slow
/// down each call.
const NOISY_LIBRARIES: [&str; 8] =
    ["h2", "hyper", "hyper_util", "mio", "reqwest", "rustls", "tokio", "tower"];

/// The host filters by its own level, so only events that no host needs are dropped here: traces,
/// and what noisy libraries log below a warning.
fn is_logged(target: &str, level: tracing::Level) -> bool {
    let library = target.split("::").next().unwrap_or_default();
    let lowest = if NOISY_LIBRARIES.contains(&library) {
        tracing::Level::WARN
    } else {
        tracing::Level::DEBUG
    };
    level <= lowest
}

/// The message and the fields of an event, as text.
#[derive(Default)]
struct EventFields {
    message: String,
    fields: Vec<(&'static str, String)>,
}

impl Visit for EventFields {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => value.clone_into(&mut self.message),
            name => self.fields.push((name, value.to_owned())),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = String::new();
        // Writing to a string can't fail.
        let _ = write!(text, "{value:?}");
        self.record_str(field, &text);
    }
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn libraries_log_warnings_only() {
        for target in ["h2::codec::framed_write", "hyper_util::client", "rustls", "reqwest"] {
            assert!(!is_logged(target, Level::DEBUG), "{target}");
            assert!(is_logged(target, Level::WARN), "{target}");
        }
        assert!(is_logged("my_engine::service", Level::DEBUG));
        assert!(!is_logged("my_engine::service", Level::TRACE));
    }
}
