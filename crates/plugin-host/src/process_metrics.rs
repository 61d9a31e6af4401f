//! Gauges of running plug-in processes: how many there are, and their memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use strongroom_telemetry::names;

/// The gauges of running processes, by plug-in. Clones share the state.
#[derive(Clone, Debug, Default)]
pub struct ProcessMetrics(Arc<Mutex<MemoryByProcess>>);

/// Resident memory in bytes, by plug-in and process ID.
type MemoryByProcess = BTreeMap<String, BTreeMap<u32, u64>>;

/// A process that is counted in the gauges until this is dropped.
#[derive(Debug)]
pub struct MeteredProcess {
    meter: ProcessMetrics,
    plugin: String,
    pid: u32,
}

impl ProcessMetrics {
    /// Counts a process, and reads its memory for the first time. The memory counts as zero if it
    /// can't be read.
    pub fn add_process(&self, plugin: &str, pid: u32) -> MeteredProcess {
        self.update_gauges(plugin, |of_plugin| {
            of_plugin.insert(pid, resident_bytes(pid).unwrap_or(0));
        });
        MeteredProcess { meter: self.clone(), plugin: plugin.to_owned(), pid }
    }

    /// Reads the memory of a process again; the process monitor calls this every 15 s.
    pub fn update_memory(&self, plugin: &str, pid: u32) {
        let Some(bytes) = resident_bytes(pid) else { return };
        self.update_gauges(plugin, |of_plugin| {
            of_plugin.entry(pid).and_modify(|it| *it = bytes);
        });
    }

    fn update_gauges(&self, plugin: &str, change: impl FnOnce(&mut BTreeMap<u32, u64>)) {
        let (count, bytes) = {
            let mut figures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let of_plugin = figures.entry(plugin.to_owned()).or_default();
            change(of_plugin);
            let seen = (of_plugin.len(), of_plugin.values().sum::<u64>());
            if of_plugin.is_empty() {
                figures.remove(plugin);
            }
            seen
        };
        let label = || plugin.to_owned();
        metrics::gauge!(names::PLUGIN_PROCESSES, "plugin" => label()).set(as_gauge(count as u64));
        metrics::gauge!(names::PLUGIN_MEMORY, "plugin" => label()).set(as_gauge(bytes));
    }
}

impl Drop for MeteredProcess {
    fn drop(&mut self) {
        self.meter.update_gauges(&self.plugin, |of_plugin| {
            of_plugin.remove(&self.pid);
        });
    }
}

#[expect(clippy::cast_precision_loss, reason = "no figure here comes near 2^52")]
fn as_gauge(figure: u64) -> f64 {
    figure as f64
}

/// The resident set, the second number of `statm` (proc(5)), which is in pages.
fn resident_bytes(pid: u32) -> Option<u64> {
    let statm = std::fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    pages.checked_mul(rustix::param::page_size() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_counts_while_it_is_held() {
        let meter = ProcessMetrics::default();
        let own = std::process::id();
        let counted = meter.add_process("custom", own);
        meter.update_memory("custom", own);
        assert!(meter.0.lock().unwrap()["custom"][&own] > 0);
        drop(counted);
        assert!(meter.0.lock().unwrap().is_empty());
    }
}
