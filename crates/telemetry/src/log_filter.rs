//! [`LogFilter`]: which events and spans are logged.

use std::sync::atomic::{AtomicU8, Ordering};

use tracing::level_filters::LevelFilter;
use tracing::{Level, Metadata};

use crate::log_settings::ServerLogLevel;

/// Prefixes of the targets that the configured level applies to: this project and plug-ins.
const CONFIGURED_TARGETS: [&str; 2] = ["strongroom", "plugin"];

/// The log level, which may be changed at any time. It applies to messages of this project and of
/// plug-ins. Libraries are limited to warnings, because at lower levels they would log requests and
/// headers, and with them tokens.
#[derive(Debug)]
pub(crate) struct LogFilter(AtomicU8);

impl LogFilter {
    pub(crate) fn new(level: ServerLogLevel) -> Self {
        Self(AtomicU8::new(level as u8))
    }

    /// Sets the level, and lets `tracing` ask again for each place that logs.
    pub(crate) fn set_level(&self, level: ServerLogLevel) {
        self.0.store(level as u8, Ordering::Relaxed);
        tracing::callsite::rebuild_interest_cache();
    }

    pub(crate) fn is_logged(&self, metadata: &Metadata<'_>) -> bool {
        self.is_level_logged(metadata.target(), *metadata.level())
    }

    /// The most verbose level of which anything is logged.
    pub(crate) fn max_level(&self) -> LevelFilter {
        const LEVELS: [LevelFilter; 5] = [
            LevelFilter::TRACE,
            LevelFilter::DEBUG,
            LevelFilter::INFO,
            LevelFilter::WARN,
            LevelFilter::ERROR,
        ];
        let level = usize::from(self.0.load(Ordering::Relaxed));
        LEVELS.get(level).copied().unwrap_or(LevelFilter::ERROR)
    }

    fn is_level_logged(&self, target: &str, level: Level) -> bool {
        let is_configured = CONFIGURED_TARGETS.iter().any(|prefix| target.starts_with(prefix));
        level <= self.max_level() && (is_configured || level <= LevelFilter::WARN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_never_asked_for_more_than_warnings() {
        let verbose = LogFilter::new(ServerLogLevel::Trace);
        assert!(verbose.is_level_logged("strongroom_core::core", Level::TRACE));
        assert!(verbose.is_level_logged("plugin", Level::DEBUG));
        for library in ["h2::codec", "hyper::proto", "rustls::client", "reqwest"] {
            assert!(!verbose.is_level_logged(library, Level::INFO), "{library}");
            assert!(verbose.is_level_logged(library, Level::WARN), "{library}");
        }
        assert!(!LogFilter::new(ServerLogLevel::Error).is_level_logged("h2", Level::WARN));
    }

    #[test]
    fn each_level_includes_those_that_are_more_severe() {
        let settings = [
            (ServerLogLevel::Trace, Level::TRACE),
            (ServerLogLevel::Debug, Level::DEBUG),
            (ServerLogLevel::Info, Level::INFO),
            (ServerLogLevel::Warn, Level::WARN),
            (ServerLogLevel::Error, Level::ERROR),
        ];
        for (setting, lowest) in settings {
            let filter = LogFilter::new(setting);
            assert_eq!(filter.max_level(), LevelFilter::from_level(lowest));
            for (_, level) in settings {
                assert_eq!(filter.is_level_logged("strongroom", level), level <= lowest);
            }
        }
    }
}
