//! The results of one server: its processes, and the samples of each workload.

use serde::Serialize;

use crate::launch::StartUp;
use crate::load::RoundSample;
use crate::machine::ProcessInfo;
use crate::target::BenchTarget;
use crate::workload::Workload;

/// The results of one server.
#[derive(Debug, Serialize)]
pub(crate) struct ServerReport {
    pub(crate) name: String,
    pub(crate) version: String,
    /// Start-up times, if the server was started by this program.
    pub(crate) start_up: Option<StartUp>,
    pub(crate) binary_bytes: Option<u64>,
    /// Its processes when unsealed and without mounts; if this program started it, after a restart.
    pub(crate) fresh: Vec<ProcessInfo>,
    /// Its processes with everything mounted, before the first round.
    pub(crate) mounted: Vec<ProcessInfo>,
    /// Its processes after the last round.
    pub(crate) loaded: Vec<ProcessInfo>,
    /// Its processes after [`REST_BEFORE_LAST_LOOK`](crate::REST_BEFORE_LAST_LOOK) without
    /// requests.
    pub(crate) rested: Vec<ProcessInfo>,
    pub(crate) series: Vec<WorkloadSeries>,
}

/// The results of a workload at a number of connections.
#[derive(Debug, Serialize)]
pub(crate) struct WorkloadSeries {
    pub(crate) workload: Workload,
    pub(crate) connections: usize,
    /// One sample for each round.
    pub(crate) samples: Vec<RoundSample>,
}

impl ServerReport {
    /// A report without results yet.
    pub(crate) fn new(target: &BenchTarget, version: String) -> Self {
        Self {
            name: target.name.clone(),
            version,
            start_up: None,
            binary_bytes: None,
            fresh: Vec::new(),
            mounted: Vec::new(),
            loaded: Vec::new(),
            rested: Vec::new(),
            series: Vec::new(),
        }
    }

    /// Adds the sample of one round.
    pub(crate) fn add_sample(
        &mut self,
        workload: Workload,
        connections: usize,
        sample: RoundSample,
    ) {
        let known = |series: &&mut WorkloadSeries| series.is_of(workload, connections);
        match self.series.iter_mut().find(known) {
            Some(series) => series.samples.push(sample),
            None => {
                self.series.push(WorkloadSeries { workload, connections, samples: vec![sample] });
            }
        }
    }

    /// The samples of a workload at a number of connections, one for each round.
    pub(crate) fn samples(&self, workload: Workload, connections: usize) -> &[RoundSample] {
        let found = self.series.iter().find(|series| series.is_of(workload, connections));
        found.map_or(&[], |series| series.samples.as_slice())
    }
}

impl WorkloadSeries {
    fn is_of(&self, workload: Workload, connections: usize) -> bool {
        (self.workload, self.connections) == (workload, connections)
    }
}

/// One figure for each round; empty if any round lacks it, so that rounds can be compared pairwise.
pub(crate) fn figure_per_round(
    samples: &[RoundSample],
    figure: impl Fn(&RoundSample) -> Option<f64>,
) -> Vec<f64> {
    samples.iter().map(figure).collect::<Option<_>>().unwrap_or_default()
}
