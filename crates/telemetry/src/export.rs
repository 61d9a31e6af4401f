//! [`MetricsExporter`]: the process's metrics, as Prometheus text and as the JSON of an interval.

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use strongroom_types::Timestamp;

use crate::intervals::IntervalMetrics;
use crate::names::{ALL, MetricKind};

/// Renders metrics. Cheap to clone.
#[derive(Clone)]
pub struct MetricsExporter {
    prometheus: PrometheusHandle,
    intervals: IntervalMetrics,
}

/// The exporter could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("metrics can't be set up: this process has an exporter already")]
pub struct SetupError;

impl MetricsExporter {
    /// Makes this process's metrics go here. Once per process.
    pub fn install(now: Timestamp) -> Result<Self, SetupError> {
        let (exporter, recorder) = Self::new(now);
        metrics::set_global_recorder(recorder).map_err(|_| SetupError)?;
        describe_metrics();
        Ok(exporter)
    }

    /// An exporter that nothing is reported to: for tests, many of which share a process.
    pub fn detached() -> Self {
        Self::new(Timestamp::EPOCH).0
    }

    fn new(now: Timestamp) -> (Self, BothRecorders) {
        let prometheus = PrometheusBuilder::new().build_recorder();
        let intervals = IntervalMetrics::new(now);
        let exporter = Self { prometheus: prometheus.handle(), intervals: intervals.clone() };
        (exporter, BothRecorders { prometheus, intervals })
    }

    /// All metrics, in text format version 0.0.4.
    pub fn render_prometheus(&self) -> String {
        self.prometheus.render()
    }

    /// The last interval that is over, as a JSON object.
    pub fn to_json(&self) -> String {
        self.intervals.to_json()
    }

    /// Folds what was measured since into the summaries, so that it takes no more room, and ends the
    /// current interval if its time is over. Call it every few seconds.
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

/// Records everything for both forms.
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
