//! Metrics and logging of the server.
//!
//! - [`names`]: the names of all metrics; code that measures takes its names from here
//! - [`log`]: logging, installed once by `main`; [`log_file`]: an optional log file beside standard
//!   error
//! - [`subscriber`]: writes the lines, filtered by [`log_filter`], in the format of [`text_line`] or
//!   [`json_line`], to [`log_output`]; [`span_store`] has the spans whose fields they contain
//! - [`export`]: the metrics in Prometheus text format, and by interval in JSON
//! - [`intervals`]: metrics of the last ten seconds
//! - [`Stopwatch`]: measures durations for metrics

mod entered_spans;
mod event_spans;
pub mod export;
pub mod intervals;
mod json_line;
pub mod log;
pub mod log_file;
mod log_filter;
mod log_output;
mod log_settings;
pub mod names;
mod printable_fields;
mod span_store;
mod span_values;
mod subscriber;
mod text_line;

pub use export::MetricsExporter;

use std::time::Duration;

/// A count as the value of a gauge. Exact up to 2^52.
#[expect(clippy::cast_precision_loss, reason = "gauges are floats; counts stay far below 2^52")]
pub fn gauge_value(count: usize) -> f64 {
    count as f64
}

/// Measures how long something takes, for metrics only. Decisions that depend on time use a `Clock`
/// instead.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(std::time::Instant);

impl Stopwatch {
    /// Starts measuring at the time of the call.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that measures with the real clock"
    )]
    pub fn start() -> Self {
        Self(std::time::Instant::now())
    }

    /// The time since [`Stopwatch::start`], by the monotonic clock. Changes of the system's clock
    /// don't affect it, and the stopwatch continues to run.
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    /// The time since [`Stopwatch::start`] in milliseconds, the unit of Vault's timers. The value
    /// includes fractions of a millisecond.
    pub fn elapsed_ms(&self) -> f64 {
        self.elapsed().as_secs_f64() * 1000.0
    }
}
