//! A metrics recorder for the counters incremented on a test's thread.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};

/// Counter values by name and labels.
#[derive(Default)]
pub(crate) struct TestCounters(Mutex<BTreeMap<String, Arc<AtomicU64>>>);

/// The key of a counter in the map: its name, and its labels sorted by name.
fn key_text(key: &Key) -> String {
    let mut labels: Vec<_> =
        key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
    labels.sort_unstable();
    format!("{}{{{}}}", key.name(), labels.join(","))
}

impl TestCounters {
    /// All nonzero counters of a name, with their values.
    pub(crate) fn nonzero_counts(&self, name: &str) -> Vec<(String, u64)> {
        let counters = self.0.lock().unwrap();
        let ours = counters.iter().filter_map(|(key, count)| {
            let labels = key.strip_prefix(name)?;
            Some((labels.to_owned(), count.load(Ordering::Relaxed)))
        });
        ours.filter(|(_, count)| *count > 0).collect()
    }
}

impl Recorder for TestCounters {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.0.lock().unwrap().entry(key_text(key)).or_default().clone())
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}
