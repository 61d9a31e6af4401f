//! [`Exporter`]: the process's metrics as Prometheus text.

use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};

use crate::names::{ALL, MetricKind};

/// Renders metrics. Cheap to clone.
#[derive(Clone)]
pub struct Exporter(PrometheusHandle);

/// The exporter could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("metrics can't be set up: {0}")]
pub struct SetupError(#[from] BuildError);

impl Exporter {
    /// Makes this process's metrics go here. Once per process.
    pub fn install() -> Result<Self, SetupError> {
        let exporter = Self(PrometheusBuilder::new().install_recorder()?);
        describe();
        Ok(exporter)
    }

    /// An exporter that nothing is reported to: for tests, many of which share a process.
    pub fn detached() -> Self {
        Self(PrometheusBuilder::new().build_recorder().handle())
    }

    /// All metrics, in text format version 0.0.4.
    pub fn render(&self) -> String {
        self.0.render()
    }

    /// Folds what was measured since into the summaries, so that it takes no more room. Call it
    /// every few seconds.
    pub fn fold(&self) {
        self.0.run_upkeep();
    }
}

impl std::fmt::Debug for Exporter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Exporter")
    }
}

fn describe() {
    for metric in ALL {
        match metric.kind {
            MetricKind::Counter => metrics::describe_counter!(metric.name, metric.help),
            MetricKind::Gauge => metrics::describe_gauge!(metric.name, metric.help),
            MetricKind::Timer => {
                metrics::describe_histogram!(metric.name, metrics::Unit::Milliseconds, metric.help);
            }
        }
    }
}
