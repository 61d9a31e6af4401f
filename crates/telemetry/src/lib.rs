//! What the server tells about itself.
//!
//! - [`names`]: every metric, named once. Code that measures takes its names from here.
//! - [`log`]: logging, set up once by `main`; [`log_file`]: where to, beside standard error
//! - [`export`]: the values in Prometheus' text format, and by interval in JSON
//! - [`intervals`]: what was measured in the last ten seconds
//! - [`Stopwatch`]: how long something took

pub mod export;
pub mod intervals;
pub mod log;
pub mod log_file;
pub mod names;
mod printable_fields;
mod printable_json;

pub use export::MetricsExporter;

use std::time::Duration;

/// Measures how long something takes. For figures only: whatever decides takes a clock.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(std::time::Instant);

impl Stopwatch {
    /// Starts now.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that measures with the real clock"
    )]
    pub fn start() -> Self {
        Self(std::time::Instant::now())
    }

    /// Since the start.
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    /// Since the start, in milliseconds: the unit of Vault's timers.
    pub fn elapsed_ms(&self) -> f64 {
        self.elapsed().as_secs_f64() * 1000.0
    }
}
