//! What was measured, as a table and as a file.

use std::fmt::Write;

use serde::Serialize;

use crate::figures::{median, ratios};
use crate::launch::StartUp;
use crate::load::{Plan, Sample};
use crate::machine::Process;
use crate::target::Target;
use crate::targets::{self, Aim};
use crate::workload::Workload;

/// All of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) plan: Plan,
    pub(crate) rounds: usize,
    pub(crate) processors: usize,
    pub(crate) servers: Vec<Server>,
    pub(crate) comparisons: Vec<Comparison>,
    /// What is aimed at, of the first server.
    pub(crate) aims: Vec<Aim>,
}

/// One server.
#[derive(Debug, Serialize)]
pub(crate) struct Server {
    pub(crate) name: String,
    pub(crate) version: String,
    /// If it was started here.
    pub(crate) start_up: Option<StartUp>,
    pub(crate) binary_bytes: Option<u64>,
    /// Unsealed, with nothing mounted; a server that was started here was started again before.
    pub(crate) fresh: Vec<Process>,
    /// With everything mounted, before the first round.
    pub(crate) mounted: Vec<Process>,
    /// After the last round.
    pub(crate) loaded: Vec<Process>,
    /// [`REST`](crate::REST) later, without a request in between.
    pub(crate) rested: Vec<Process>,
    pub(crate) series: Vec<Series>,
}

/// A workload at a number of connections.
#[derive(Debug, Serialize)]
pub(crate) struct Series {
    pub(crate) workload: Workload,
    pub(crate) connections: usize,
    /// Round by round.
    pub(crate) samples: Vec<Sample>,
}

impl Server {
    /// Of which nothing is known yet.
    pub(crate) fn new(target: &Target, version: String) -> Self {
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

    /// Adds a round's sample.
    pub(crate) fn add(&mut self, workload: Workload, connections: usize, sample: Sample) {
        let known = |series: &&mut Series| series.is(workload, connections);
        match self.series.iter_mut().find(known) {
            Some(series) => series.samples.push(sample),
            None => self.series.push(Series { workload, connections, samples: vec![sample] }),
        }
    }

    /// The rounds of a workload at a number of connections.
    pub(crate) fn samples(&self, workload: Workload, connections: usize) -> &[Sample] {
        let found = self.series.iter().find(|series| series.is(workload, connections));
        found.map_or(&[], |series| series.samples.as_slice())
    }
}

impl Series {
    fn is(&self, workload: Workload, connections: usize) -> bool {
        (self.workload, self.connections) == (workload, connections)
    }
}

/// The first server against another.
#[derive(Debug, Serialize)]
pub(crate) struct Comparison {
    pub(crate) what: String,
    /// Requests a second, ours by the peer's.
    pub(crate) rounds: Vec<f64>,
    pub(crate) median: f64,
    /// Processor time a request, the peer's by ours: what else ran changes it least.
    pub(crate) cpu_median: Option<f64>,
}

/// What of the first server stands against what of each other.
const PAIRS: [(Workload, Workload); 16] = [
    (Workload::KvRead, Workload::KvRead),
    (Workload::KvReadUncached, Workload::KvReadUncached),
    (Workload::KvReadAbsent, Workload::KvReadAbsent),
    (Workload::KvReadUnknown, Workload::KvReadUnknown),
    (Workload::KvWrite, Workload::KvWrite),
    (Workload::Kv2Read, Workload::Kv2Read),
    (Workload::Kv2ReadAbsent, Workload::Kv2ReadAbsent),
    (Workload::Kv2Write, Workload::Kv2Write),
    (Workload::Kv2Create, Workload::Kv2Create),
    (Workload::Kv2ReadMixed, Workload::Kv2ReadMixed),
    (Workload::CallGo, Workload::CallGo),
    (Workload::CallRust, Workload::CallGo),
    (Workload::CallRust, Workload::CallRust),
    (Workload::LeasedGo, Workload::LeasedGo),
    (Workload::LeasedRust, Workload::LeasedGo),
    (Workload::LeasedRust, Workload::LeasedRust),
];

/// Compares the first server with each of the others.
pub(crate) fn comparisons(servers: &[Server]) -> Vec<Comparison> {
    let Some((ours, peers)) = servers.split_first() else { return Vec::new() };
    let mut all = Vec::new();
    for peer in peers {
        for (our, their) in PAIRS {
            let counts = ours.series.iter().filter(|series| series.workload == our);
            for connections in counts.map(|series| series.connections) {
                let pair = (ours.samples(our, connections), peer.samples(their, connections));
                let what = format!(
                    "{} {} / {} {} at {connections}",
                    ours.name,
                    our.name(),
                    peer.name,
                    their.name()
                );
                all.extend(compared(what, pair));
            }
        }
    }
    all
}

fn compared(what: String, (ours, peers): (&[Sample], &[Sample])) -> Option<Comparison> {
    let rate = |sample: &Sample| Some(sample.per_second);
    let rounds = ratios(&each(ours, rate), &each(peers, rate));
    let middle = median(&rounds)?;
    let cpu = |sample: &Sample| sample.server_cpu_us;
    let cpu_median = median(&ratios(&each(peers, cpu), &each(ours, cpu)));
    Some(Comparison { what, rounds, median: middle, cpu_median })
}

/// A figure of each round. Where one is missing, all are: rounds must stay side by side.
pub(crate) fn each(samples: &[Sample], figure: impl Fn(&Sample) -> Option<f64>) -> Vec<f64> {
    samples.iter().map(figure).collect::<Option<_>>().unwrap_or_default()
}

/// The report as Markdown.
pub(crate) fn markdown(report: &Report) -> String {
    let mut out = String::new();
    // Writing to a string can't fail.
    let _ = rate_table(&mut out, report)
        .and_then(|()| ratio_table(&mut out, report))
        .and_then(|()| targets::table(&mut out, &report.aims))
        .and_then(|()| process_table(&mut out, report));
    out
}

fn rate_table(out: &mut String, report: &Report) -> std::fmt::Result {
    writeln!(out, "Medians of {} rounds of {} s.\n", report.rounds, report.plan.seconds)?;
    writeln!(
        out,
        "| workload | connections | server | requests/s | p50 | p99 | longest | server CPU a \
         request | CPUs: server | client | others |\n|---|---|---|---|---|---|---|---|---|---|---|"
    )?;
    for workload in Workload::ALL {
        for connections in counts(report, workload) {
            for server in &report.servers {
                let samples = server.samples(workload, connections);
                if !samples.is_empty() {
                    rate_line(out, server, workload, connections, samples)?;
                }
            }
        }
    }
    Ok(())
}

/// The numbers of connections that a workload was measured at.
fn counts(report: &Report, workload: Workload) -> Vec<usize> {
    let series = report.servers.iter().flat_map(|server| &server.series);
    let mut counts: Vec<usize> =
        series.filter(|series| series.workload == workload).map(|s| s.connections).collect();
    counts.sort_unstable();
    counts.dedup();
    counts
}

/// Medians of the rounds; of the longest request, the longest of all.
fn rate_line(
    out: &mut String,
    server: &Server,
    workload: Workload,
    connections: usize,
    samples: &[Sample],
) -> std::fmt::Result {
    let figures = |figure: fn(&Sample) -> Option<f64>| -> Vec<f64> {
        samples.iter().filter_map(figure).collect()
    };
    let of = |figure: fn(&Sample) -> Option<f64>| median(&figures(figure));
    let longest = figures(|s| Some(s.latency.longest_us / 1e3)).into_iter().reduce(f64::max);
    writeln!(
        out,
        "| {} | {connections} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
        workload.name(),
        server.name,
        shown(of(|s| Some(s.per_second)), 0, ""),
        shown(of(|s| Some(s.latency.p50_us / 1e3)), 2, " ms"),
        shown(of(|s| Some(s.latency.p99_us / 1e3)), 2, " ms"),
        shown(longest, 1, " ms"),
        shown(of(|s| s.server_cpu_us), 0, " µs"),
        shown(of(|s| s.server_cpu_share), 2, ""),
        shown(of(|s| Some(s.client_cpu_share)), 2, ""),
        shown(of(|s| s.others_cpu_share), 2, ""),
    )
}

fn ratio_table(out: &mut String, report: &Report) -> std::fmt::Result {
    if report.comparisons.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "\n| ratio of requests/s | median | rounds | less CPU a request |\n|---|---|---|---|"
    )?;
    for comparison in &report.comparisons {
        let rounds: Vec<String> = comparison.rounds.iter().map(|r| format!("{r:.2}")).collect();
        let (what, median) = (&comparison.what, comparison.median);
        let cpu = shown(comparison.cpu_median, 2, "");
        writeln!(out, "| {what} | **{median:.2}** | {} | {cpu} |", rounds.join(", "))?;
    }
    Ok(())
}

fn process_table(out: &mut String, report: &Report) -> std::fmt::Result {
    writeln!(
        out,
        "\n| process | binary | resident: fresh | mounted | after the load | {rest} s later \
         | without files: fresh | mounted | after | later |\n|---|---|---|---|---|---|---|---|---|---|",
        rest = crate::REST.as_secs(),
    )?;
    for server in &report.servers {
        for process in &server.mounted {
            let now = |all: &[Process]| all.iter().find(|p| p.pid == process.pid).map(|p| p.memory);
            let states = [&server.fresh, &server.mounted, &server.loaded, &server.rested];
            let states = states.map(|all| now(all));
            let main = server.mounted.first().is_some_and(|first| first.pid == process.pid);
            let mib = |kib: u64| Some(kib as f64 / 1024.0);
            let resident = states.map(|s| shown(s.and_then(|s| mib(s.resident_kib)), 1, " MiB"));
            let anonymous = states.map(|s| shown(s.and_then(|s| mib(s.anonymous_kib)), 1, " MiB"));
            writeln!(
                out,
                "| {} {} | {} | {} | {} |",
                server.name,
                if main { "server" } else { "plug-in" },
                shown(mib(process.binary_bytes / 1024), 1, " MiB"),
                resident.join(" | "),
                anonymous.join(" | "),
            )?;
        }
    }
    if report.servers.iter().any(|server| server.start_up.is_some()) {
        writeln!(out, "\n| start-up | answers after | then active after |\n|---|---|---|")?;
    }
    for server in &report.servers {
        let Some(start) = server.start_up else { continue };
        let (answers, active) = (start.answers_ms, start.active_ms);
        writeln!(out, "| {} | {answers:.0} ms | {active:.0} ms |", server.name)?;
    }
    Ok(())
}

fn shown(figure: Option<f64>, digits: usize, unit: &str) -> String {
    figure.map_or_else(|| "–".to_owned(), |figure| format!("{figure:.digits$}{unit}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::Percentiles;
    use crate::machine::Memory;
    use crate::workload::Size;

    fn server(name: &str, workload: Workload, rates: &[f64], cpu: Option<f64>) -> Server {
        let sample = |rate: &f64| Sample {
            requests: 1,
            per_second: *rate,
            latency: Percentiles::default(),
            server_cpu_us: cpu,
            client_cpu_share: 0.5,
            server_cpu_share: None,
            others_cpu_share: None,
        };
        let memory = Memory { resident_kib: 2048, anonymous_kib: 1024 };
        Server {
            name: name.to_owned(),
            version: "1".to_owned(),
            start_up: None,
            binary_bytes: None,
            fresh: Vec::new(),
            mounted: vec![Process { pid: 1, binary_bytes: 3 << 20, memory }],
            loaded: Vec::new(),
            rested: Vec::new(),
            series: vec![Series {
                workload,
                connections: 16,
                samples: rates.iter().map(sample).collect(),
            }],
        }
    }

    #[test]
    fn the_first_server_is_compared_round_by_round() {
        let ours = server("a", Workload::CallRust, &[30.0, 10.0, 40.0], Some(50.0));
        let peer = server("b", Workload::CallGo, &[10.0, 10.0, 10.0], Some(100.0));
        let compared = comparisons(&[ours, peer]);
        assert_eq!(compared.len(), 1);
        assert_eq!(compared[0].what, "a call-rust / b call-go at 16");
        assert_eq!(compared[0].rounds, [3.0, 1.0, 4.0]);
        assert_eq!(compared[0].median, 3.0);
        assert_eq!(compared[0].cpu_median, Some(2.0));
    }

    #[test]
    fn what_was_not_measured_is_shown_as_such() {
        let servers = vec![server("a", Workload::KvRead, &[10.0], None)];
        let size = Size { keys: 1, uncached_keys: 1, value_bytes: 1 };
        let plan = Plan { connections: vec![16], warm_up_secs: 0.0, seconds: 1.0, size };
        let (comparisons, aims) = (Vec::new(), Vec::new());
        let report = Report { plan, rounds: 1, processors: 2, servers, comparisons, aims };
        let text = markdown(&report);
        let line = "| kv-read | 16 | a | 10 | 0.00 ms | 0.00 ms | 0.0 ms | – | – | 0.50 | – |";
        assert!(text.contains(line), "{text}");
        let line = "| a server | 3.0 MiB | – | 2.0 MiB | – | – | – | 1.0 MiB | – | – |";
        assert!(text.contains(line), "{text}");
        assert!(!text.contains("ratio"));
    }
}
