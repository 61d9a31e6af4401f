//! Logging to standard error, and optionally to a file.

use std::io::IsTerminal;
use std::sync::Arc;

use strongroom_types::SystemClock;
use tracing::subscriber::SetGlobalDefaultError;

pub use crate::log_settings::{LogFormat, ServerLogLevel, UnknownLogSetting};

use crate::log_file::LogFile;
use crate::log_filter::LogFilter;
use crate::log_output::LogOutput;
use crate::subscriber::{LineFormat, LogSubscriber};

/// Changes the log level of a running process. Returned by [`install`]. Clones change the level of
/// the same subscriber.
#[derive(Clone, Debug)]
pub struct LogLevelHandle(Arc<LogFilter>);

impl LogLevelHandle {
    /// Sets the log level; it applies to all messages from now on.
    pub fn set_level(&self, level: ServerLogLevel) {
        self.0.set_level(level);
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
) -> Result<LogLevelHandle, SetGlobalDefaultError> {
    let filter = Arc::new(LogFilter::new(level));
    let colours = file.is_none() && std::io::stderr().is_terminal();
    let (output, clock) = (LogOutput { file }, Arc::new(SystemClock));
    let subscriber =
        LogSubscriber::new(filter.clone(), line_format(format, colours), output, clock);
    tracing::subscriber::set_global_default(subscriber)?;
    Ok(LogLevelHandle(filter))
}

fn line_format(format: LogFormat, colours: bool) -> LineFormat {
    match format {
        LogFormat::Standard => LineFormat::Text { colours },
        LogFormat::Json => LineFormat::Json,
    }
}
