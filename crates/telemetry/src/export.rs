//! [`MetricsExporter`]: the metrics of the process, as Prometheus text and as JSON per interval.

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use strongroom_types::Timestamp;

use crate::intervals::IntervalMetrics;
use crate::names::{ALL, MetricKind};

/// Renders the metrics of the process for `sys/metrics`. Cheap to clone. Clones read the same
/// metrics.
#[derive(Clone)]
pub struct MetricsExporter {
    prometheus: PrometheusHandle,
    intervals: IntervalMetrics,
}

/// Metrics could not be installed, because the process has a global recorder already. A process can
/// install them once only.
#[derive(Debug, thiserror::Error)]
#[error("metrics can't be set up: this process has an exporter already")]
pub struct SetupError;

impl MetricsExporter {
    /// Installs this process's metrics recorder and returns its exporter. `now` starts the first
    /// interval.
    ///
    /// # Errors
    ///
    /// If a recorder was installed before; it can be done once per process.
    pub fn install(now: Timestamp) -> Result<Self, SetupError> {
        let (exporter, recorder) = Self::new(now);
        metrics::set_global_recorder(recorder).map_err(|_| SetupError)?;
        describe_metrics();
        Ok(exporter)
    }

    /// An exporter that receives no metrics, for tests, many of which share a process. It does not
    /// install a global recorder.
    pub fn detached() -> Self {
        Self::new(Timestamp::EPOCH).0
    }

    fn new(now: Timestamp) -> (Self, BothRecorders) {
        let prometheus = PrometheusBuilder::new().build_recorder();
        let intervals = IntervalMetrics::new(now);
        let exporter = Self { prometheus: prometheus.handle(), intervals: intervals.clone() };
        (exporter, BothRecorders { prometheus, intervals })
    }

    /// Renders all metrics in version 0.0.4 of the Prometheus text format. The text contains the
    /// values at the time of the call.
    pub fn render_prometheus(&self) -> String {
        self.prometheus.render()
    }

    /// Renders the last completed interval as a JSON object; see [`IntervalMetrics::to_json`].
    /// Until one is completed, the current interval is rendered instead.
    pub fn to_json(&self) -> String {
        self.intervals.to_json()
    }

    /// Aggregates recorded samples, so that their memory doesn't grow, and ends the current
    /// interval if it is over. Must be called every few seconds.
    pub fn run_upkeep(&self, now: Timestamp) {
        self.prometheus.run_upkeep();
        self.intervals.rotate_if_due(now);
    }
}

impl std::fmt::Debug for MetricsExporter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MetricsExporter")
    }
}

/// Forwards every measurement to both recorders.
struct BothRecorders {
    prometheus: PrometheusRecorder,
    intervals: IntervalMetrics,
}

impl Recorder for BothRecorders {
    fn describe_counter(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.prometheus.describe_counter(key, unit, description);
    }

    fn describe_gauge(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.prometheus.describe_gauge(key, unit, description);
    }

    fn describe_histogram(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.prometheus.describe_histogram(key, unit, description);
    }

    fn register_counter(&self, key: &Key, metadata: &Metadata<'_>) -> Counter {
        self.intervals.counter(key, self.prometheus.register_counter(key, metadata))
    }

    fn register_gauge(&self, key: &Key, metadata: &Metadata<'_>) -> Gauge {
        self.intervals.gauge(key, self.prometheus.register_gauge(key, metadata))
    }

    fn register_histogram(&self, key: &Key, metadata: &Metadata<'_>) -> Histogram {
        self.intervals.timer(key, self.prometheus.register_histogram(key, metadata))
    }
}

fn describe_metrics() {
    for metric in ALL {
        match metric.kind {
            MetricKind::Counter => metrics::describe_counter!(metric.name, metric.help),
            MetricKind::Gauge => metrics::describe_gauge!(metric.name, metric.help),
            MetricKind::Timer => {
                metrics::describe_histogram!(metric.name, Unit::Milliseconds, metric.help);
            }
        }
    }
}
