//! The log settings of the configuration file.

use std::str::FromStr;

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
