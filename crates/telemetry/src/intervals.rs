//! [`IntervalMetrics`]: metrics of the last ten seconds, which `sys/metrics` returns as JSON.
//!
//! As in Vault, metrics are aggregated per interval, and the last completed one is returned:
//! counters and timers with count and sum in that interval, gauges with their last value.
//! Monitoring tools (telegraf's Vault input, for one) expect integers for counters and gauges, so
//! whole numbers are written without a fraction.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use metrics::{Counter, CounterFn, Gauge, Histogram, HistogramFn, Key};
use serde::{Serialize, Serializer};
use strongroom_types::Timestamp;

/// Length of an interval, the same as Vault's.
pub const INTERVAL_LENGTH: Duration = Duration::from_secs(10);

/// The metrics of this process by interval. Clones share the same data. Only the current and the
/// last completed interval are kept.
#[derive(Clone)]
pub struct IntervalMetrics(Arc<RwLock<IntervalTables>>);

struct IntervalTables {
    counters: HashMap<Key, Arc<CounterSamples>>,
    timers: HashMap<Key, Arc<MetricSamples>>,
    gauges: HashMap<Key, Arc<AtomicU64>>,
    /// Start of the current interval, and of the last completed one.
    current: Timestamp,
    finished: Option<Timestamp>,
}

/// The samples recorded under one name and set of labels.
#[derive(Default)]
struct MetricSamples(Mutex<SampleWindow>);

#[derive(Default)]
struct SampleWindow {
    current: AggregateSample,
    finished: AggregateSample,
}

#[derive(Clone, Copy, Default)]
struct AggregateSample {
    count: u64,
    sum: f64,
    squares: f64,
    min: f64,
    max: f64,
}

#[derive(Default)]
struct CounterSamples {
    samples: MetricSamples,
    /// The last value of a counter that is set rather than incremented.
    last_absolute: AtomicU64,
}

impl IntervalMetrics {
    /// Creates empty metrics whose first interval begins at `now`. No interval is completed until
    /// [`IntervalMetrics::rotate_if_due`] ends this one.
    pub fn new(now: Timestamp) -> Self {
        Self(Arc::new(RwLock::new(IntervalTables {
            counters: HashMap::new(),
            timers: HashMap::new(),
            gauges: HashMap::new(),
            current: now,
            finished: None,
        })))
    }

    /// Ends the current interval and begins the next, if [`INTERVAL_LENGTH`] has passed. Otherwise
    /// does nothing. An interval is longer if this is called late.
    pub fn rotate_if_due(&self, now: Timestamp) {
        let mut tables = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if now.since(tables.current) < INTERVAL_LENGTH {
            return;
        }
        tables.finished = Some(tables.current);
        tables.current = now;
        tables.timers.values().for_each(|samples| samples.rotate());
        tables.counters.values().for_each(|counter| counter.samples.rotate());
    }

    /// The last completed interval as a JSON object; during the first interval, what was recorded
    /// so far.
    pub fn to_json(&self) -> String {
        let tables = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let is_first = tables.finished.is_none();
        let seconds = INTERVAL_LENGTH.as_secs_f64();
        let shown = |key: &Key, samples: &MetricSamples| {
            let aggregate = samples.aggregate(is_first);
            (aggregate.count > 0).then(|| SampledValue::from_aggregate(key, aggregate, seconds))
        };
        let counters = tables.counters.iter();
        let counters = counters.filter_map(|(key, counter)| shown(key, &counter.samples));
        let timers = tables.timers.iter().filter_map(|(key, samples)| shown(key, samples));
        let gauges = tables.gauges.iter().map(|(key, level)| GaugeValue {
            value: GoNumber(f64::from_bits(level.load(Ordering::Acquire))),
            named: MetricName::from_key(key),
        });
        let summary = MetricsSummary {
            timestamp: format_go_time(tables.finished.unwrap_or(tables.current)),
            gauges: sort_by_name(gauges, |gauge| &gauge.named),
            points: [],
            counters: sort_by_name(counters, |samples| &samples.named),
            samples: sort_by_name(timers, |samples| &samples.named),
        };
        // Serialisation doesn't fail: the values are strings and finite numbers.
        serde_json::to_string(&summary).unwrap_or_default()
    }

    /// A counter that increments this metric and `other`.
    pub(crate) fn counter(&self, key: &Key, other: Counter) -> Counter {
        let own =
            self.get_or_register(key, |tables| &tables.counters, |tables| &mut tables.counters);
        Counter::from_arc(Arc::new(BothCounters { own, other }))
    }

    /// A gauge that sets this metric and `other`.
    pub(crate) fn gauge(&self, key: &Key, other: Gauge) -> Gauge {
        let own = self.get_or_register(key, |tables| &tables.gauges, |tables| &mut tables.gauges);
        Gauge::from_arc(Arc::new(BothGauges { own, other }))
    }

    /// A timer that records in this metric and in `other`.
    pub(crate) fn timer(&self, key: &Key, other: Histogram) -> Histogram {
        let own = self.get_or_register(key, |tables| &tables.timers, |tables| &mut tables.timers);
        Histogram::from_arc(Arc::new(BothTimers { own, other }))
    }

    fn get_or_register<T: Default>(
        &self,
        key: &Key,
        table: impl Fn(&IntervalTables) -> &HashMap<Key, Arc<T>>,
        table_mut: impl Fn(&mut IntervalTables) -> &mut HashMap<Key, Arc<T>>,
    ) -> Arc<T> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = table(&known).get(key) {
            return kept.clone();
        }
        drop(known);
        let mut tables = self.0.write().unwrap_or_else(PoisonError::into_inner);
        table_mut(&mut tables).entry(key.to_retained()).or_default().clone()
    }
}

impl std::fmt::Debug for IntervalMetrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("IntervalMetrics")
    }
}

impl MetricSamples {
    fn add(&self, value: f64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).current.add(value);
    }

    fn rotate(&self) {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        window.finished = std::mem::take(&mut window.current);
    }

    fn aggregate(&self, current: bool) -> AggregateSample {
        let window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if current { window.current } else { window.finished }
    }
}

impl AggregateSample {
    fn add(&mut self, value: f64) {
        if !value.is_finite() {
            return;
        }
        let is_first = self.count == 0;
        self.min = if is_first { value } else { self.min.min(value) };
        self.max = if is_first { value } else { self.max.max(value) };
        self.count += 1;
        self.sum += value;
        self.squares += value * value;
    }

    fn mean(&self) -> f64 {
        if self.count == 0 { 0.0 } else { self.sum / self.count as f64 }
    }

    /// The sample standard deviation, as in go-metrics.
    fn standard_deviation(&self) -> f64 {
        if self.count < 2 {
            return 0.0;
        }
        let count = self.count as f64;
        let spread = count * self.squares - self.sum * self.sum;
        // Rounding may give a negative number.
        (spread / (count * (count - 1.0))).max(0.0).sqrt()
    }
}

struct BothCounters {
    own: Arc<CounterSamples>,
    other: Counter,
}

impl CounterFn for BothCounters {
    fn increment(&self, value: u64) {
        self.other.increment(value);
        self.own.samples.add(value as f64);
    }

    fn absolute(&self, value: u64) {
        self.other.absolute(value);
        let before = self.own.last_absolute.fetch_max(value, Ordering::AcqRel);
        if value > before {
            self.own.samples.add((value - before) as f64);
        }
    }
}

struct BothGauges {
    own: Arc<AtomicU64>,
    other: Gauge,
}

impl metrics::GaugeFn for BothGauges {
    fn increment(&self, value: f64) {
        self.other.increment(value);
        metrics::GaugeFn::increment(&*self.own, value);
    }

    fn decrement(&self, value: f64) {
        self.other.decrement(value);
        metrics::GaugeFn::decrement(&*self.own, value);
    }

    fn set(&self, value: f64) {
        self.other.set(value);
        metrics::GaugeFn::set(&*self.own, value);
    }
}

struct BothTimers {
    own: Arc<MetricSamples>,
    other: Histogram,
}

impl HistogramFn for BothTimers {
    fn record(&self, value: f64) {
        self.other.record(value);
        self.own.add(value);
    }
}

/// An interval in the JSON form of go-metrics.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct MetricsSummary {
    timestamp: String,
    gauges: Vec<GaugeValue>,
    points: [(); 0],
    counters: Vec<SampledValue>,
    samples: Vec<SampledValue>,
}

#[derive(Serialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "PascalCase")]
struct MetricName {
    name: String,
    labels: BTreeMap<String, String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct GaugeValue {
    value: GoNumber,
    #[serde(flatten)]
    named: MetricName,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct SampledValue {
    count: u64,
    rate: GoNumber,
    sum: GoNumber,
    min: GoNumber,
    max: GoNumber,
    mean: GoNumber,
    stddev: GoNumber,
    #[serde(flatten)]
    named: MetricName,
}

impl MetricName {
    fn from_key(key: &Key) -> Self {
        let labels = key.labels().map(|label| (label.key().to_owned(), label.value().to_owned()));
        Self { name: key.name().to_owned(), labels: labels.collect() }
    }
}

impl SampledValue {
    fn from_aggregate(key: &Key, aggregate: AggregateSample, seconds: f64) -> Self {
        Self {
            count: aggregate.count,
            rate: GoNumber(aggregate.sum / seconds),
            sum: GoNumber(aggregate.sum),
            min: GoNumber(aggregate.min),
            max: GoNumber(aggregate.max),
            mean: GoNumber(aggregate.mean()),
            stddev: GoNumber(aggregate.standard_deviation()),
            named: MetricName::from_key(key),
        }
    }
}

/// A number formatted as by Go: without a fraction if it is whole.
struct GoNumber(f64);

impl Serialize for GoNumber {
    #[expect(clippy::cast_possible_truncation, reason = "it is whole, and within what is exact")]
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        /// Up to here every whole number is represented exactly.
        const EXACT: f64 = 9_007_199_254_740_992.0;
        let Self(value) = *self;
        if value.fract() == 0.0 && value.abs() <= EXACT {
            to.serialize_i64(value as i64)
        } else {
            to.serialize_f64(value)
        }
    }
}

fn sort_by_name<T>(shown: impl Iterator<Item = T>, named: impl Fn(&T) -> &MetricName) -> Vec<T> {
    let mut all: Vec<T> = shown.collect();
    all.sort_by(|one, other| named(one).cmp(named(other)));
    all
}

/// Formats a time like `2026-11-29 13:40:00 +0000 UTC`.
fn format_go_time(at: Timestamp) -> String {
    let whole = Timestamp::from_secs(at.as_secs()).to_rfc3339();
    whole.replace('T', " ").replace('Z', " +0000 UTC")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn metric_key(name: &'static str, labels: &[(&'static str, &'static str)]) -> Key {
        let labels = labels.iter().map(|(key, value)| metrics::Label::new(*key, *value));
        Key::from_parts(name, labels.collect::<Vec<_>>())
    }

    fn to_value(intervals: &IntervalMetrics) -> Value {
        serde_json::from_str(&intervals.to_json()).unwrap()
    }

    #[test]
    fn the_last_interval_that_is_over_is_shown() {
        let start = Timestamp::from_secs(1_800_000_000);
        let intervals = IntervalMetrics::new(start);
        let counter = intervals.counter(&metric_key("vault.count", &[]), Counter::noop());
        let timer =
            intervals.timer(&metric_key("vault.route", &[("type", "kv")]), Histogram::noop());
        let gauge = intervals.gauge(&metric_key("vault.core.unsealed", &[]), Gauge::noop());
        counter.increment(3);
        counter.increment(1);
        timer.record(1.5);
        timer.record(2.5);
        timer.record(f64::NAN);
        gauge.set(1.0);
        let first = to_value(&intervals);
        assert_eq!(
            first,
            json!({
                "Timestamp": "2027-01-15 08:00:00 +0000 UTC",
                "Gauges": [{"Name": "vault.core.unsealed", "Value": 1, "Labels": {}}],
                "Points": [],
                "Counters": [{
                    "Name": "vault.count", "Count": 2, "Rate": 0.4, "Sum": 4, "Min": 1, "Max": 3,
                    "Mean": 2, "Stddev": std::f64::consts::SQRT_2, "Labels": {},
                }],
                "Samples": [{
                    "Name": "vault.route", "Count": 2, "Rate": 0.4, "Sum": 4, "Min": 1.5,
                    "Max": 2.5, "Mean": 2, "Stddev": std::f64::consts::FRAC_1_SQRT_2,
                    "Labels": {"type": "kv"},
                }],
            })
        );
        // Too early: the interval continues.
        intervals.rotate_if_due(start.plus(INTERVAL_LENGTH - Duration::from_nanos(1)));
        counter.increment(1);
        let second = start.plus(INTERVAL_LENGTH);
        intervals.rotate_if_due(second);
        counter.increment(40);
        assert_eq!(to_value(&intervals)["Counters"][0]["Sum"], 5);
        assert_eq!(to_value(&intervals)["Timestamp"], "2027-01-15 08:00:00 +0000 UTC");
        intervals.rotate_if_due(second.plus(INTERVAL_LENGTH));
        let last = to_value(&intervals);
        assert_eq!(last["Timestamp"], "2027-01-15 08:00:10 +0000 UTC");
        assert_eq!(
            (&last["Counters"][0]["Sum"], &last["Counters"][0]["Count"]),
            (&json!(40), &json!(1))
        );
        // Timers without samples are missing; gauges keep their value.
        assert_eq!((&last["Samples"], &last["Gauges"][0]["Value"]), (&json!([]), &json!(1)));
    }

    #[test]
    fn whole_numbers_have_no_fraction_and_names_are_in_order() {
        let intervals = IntervalMetrics::new(Timestamp::from_secs(0));
        for name in ["vault.z", "vault.a"] {
            intervals.counter(&metric_key(name, &[]), Counter::noop()).increment(2);
        }
        intervals.gauge(&metric_key("vault.g", &[("type", "b")]), Gauge::noop()).set(-3.0);
        intervals.gauge(&metric_key("vault.g", &[("type", "a")]), Gauge::noop()).increment(0.5);
        intervals.counter(&metric_key("vault.set", &[]), Counter::noop()).absolute(7);
        let text = intervals.to_json();
        assert!(!text.contains(".0"), "{text}");
        assert!(text.find("vault.a").unwrap() < text.find("vault.z").unwrap());
        assert!(
            text.contains(r#"{"Value":0.5,"Name":"vault.g","Labels":{"type":"a"}},{"Value":-3,"#)
        );
        assert!(text.contains(r#""Sum":7"#));
    }

    #[test]
    fn absolute_counter_adds_delta() {
        let intervals = IntervalMetrics::new(Timestamp::from_secs(0));
        let counter = intervals.counter(&metric_key("c", &[]), Counter::noop());
        counter.absolute(5);
        counter.absolute(4);
        counter.absolute(8);
        let shown = to_value(&intervals);
        assert_eq!(
            (&shown["Counters"][0]["Sum"], &shown["Counters"][0]["Count"]),
            (&json!(8), &json!(2))
        );
    }
}
