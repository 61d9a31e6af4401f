//! The results of a run, as Markdown tables and as JSON.

use std::fmt::Write;

use serde::Serialize;

use crate::figures::{median, pairwise_ratios};
use crate::goals::{self, PerformanceGoal};
use crate::load::{MeasurementPlan, RoundSample};
use crate::machine::ProcessInfo;
use crate::server_report::{ServerReport, figure_per_round};
use crate::workload::Workload;

/// The complete results of a run, as they are written to the JSON file.
#[derive(Debug, Serialize)]
pub(crate) struct BenchReport {
    pub(crate) plan: MeasurementPlan,
    pub(crate) rounds: usize,
    pub(crate) processors: usize,
    pub(crate) servers: Vec<ServerReport>,
    pub(crate) comparisons: Vec<ServerComparison>,
    /// The goals for the first server, with the figures that it reached.
    pub(crate) aims: Vec<PerformanceGoal>,
}

/// A comparison of the first server with another one.
#[derive(Debug, Serialize)]
pub(crate) struct ServerComparison {
    pub(crate) what: String,
    /// The ratios of requests per second, ours to the peer's, one for each round.
    pub(crate) rounds: Vec<f64>,
    pub(crate) median: f64,
    /// The median ratio of processor time per request, the peer's to ours. It depends least on
    /// other load.
    pub(crate) cpu_median: Option<f64>,
}

/// The workloads of the first server, each with the workload of the others that it is compared
/// with.
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
pub(crate) fn compare_servers(servers: &[ServerReport]) -> Vec<ServerComparison> {
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
                all.extend(compare_samples(what, pair));
            }
        }
    }
    all
}

fn compare_samples(
    what: String,
    (ours, peers): (&[RoundSample], &[RoundSample]),
) -> Option<ServerComparison> {
    let rate = |sample: &RoundSample| Some(sample.per_second);
    let rounds = pairwise_ratios(&figure_per_round(ours, rate), &figure_per_round(peers, rate));
    let middle = median(&rounds)?;
    let cpu = |sample: &RoundSample| sample.server_cpu_us;
    let cpu_median =
        median(&pairwise_ratios(&figure_per_round(peers, cpu), &figure_per_round(ours, cpu)));
    Some(ServerComparison { what, rounds, median: middle, cpu_median })
}

/// The report as Markdown.
pub(crate) fn to_markdown(report: &BenchReport) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = rate_table(&mut out, report)
        .and_then(|()| ratio_table(&mut out, report))
        .and_then(|()| goals::write_table(&mut out, &report.aims))
        .and_then(|()| process_table(&mut out, report));
    out
}

fn rate_table(out: &mut String, report: &BenchReport) -> std::fmt::Result {
    writeln!(out, "Medians of {} rounds of {} s.\n", report.rounds, report.plan.seconds)?;
    writeln!(
        out,
        "| workload | connections | server | requests/s | p50 | p99 | longest | server CPU a \
         request | CPUs: server | client | others |\n|---|---|---|---|---|---|---|---|---|---|---|"
    )?;
    for workload in Workload::ALL {
        for connections in connection_counts(report, workload) {
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

/// The numbers of connections at which a workload was measured.
fn connection_counts(report: &BenchReport, workload: Workload) -> Vec<usize> {
    let series = report.servers.iter().flat_map(|server| &server.series);
    let mut counts: Vec<usize> =
        series.filter(|series| series.workload == workload).map(|s| s.connections).collect();
    counts.sort_unstable();
    counts.dedup();
    counts
}

/// The medians over the rounds; for the longest request, the maximum.
fn rate_line(
    out: &mut String,
    server: &ServerReport,
    workload: Workload,
    connections: usize,
    samples: &[RoundSample],
) -> std::fmt::Result {
    let figures = |figure: fn(&RoundSample) -> Option<f64>| -> Vec<f64> {
        samples.iter().filter_map(figure).collect()
    };
    let of = |figure: fn(&RoundSample) -> Option<f64>| median(&figures(figure));
    let longest = figures(|s| Some(s.latency.longest_us / 1e3)).into_iter().reduce(f64::max);
    writeln!(
        out,
        "| {} | {connections} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
        workload.name(),
        server.name,
        format_figure(of(|s| Some(s.per_second)), 0, ""),
        format_figure(of(|s| Some(s.latency.p50_us / 1e3)), 2, " ms"),
        format_figure(of(|s| Some(s.latency.p99_us / 1e3)), 2, " ms"),
        format_figure(longest, 1, " ms"),
        format_figure(of(|s| s.server_cpu_us), 0, " µs"),
        format_figure(of(|s| s.server_cpu_share), 2, ""),
        format_figure(of(|s| Some(s.client_cpu_share)), 2, ""),
        format_figure(of(|s| s.others_cpu_share), 2, ""),
    )
}

fn ratio_table(out: &mut String, report: &BenchReport) -> std::fmt::Result {
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
        let cpu = format_figure(comparison.cpu_median, 2, "");
        writeln!(out, "| {what} | **{median:.2}** | {} | {cpu} |", rounds.join(", "))?;
    }
    Ok(())
}

fn process_table(out: &mut String, report: &BenchReport) -> std::fmt::Result {
    writeln!(
        out,
        "\n| process | binary | resident: fresh | mounted | after the load | {rest} s later \
         | without files: fresh | mounted | after | later |\n|---|---|---|---|---|---|---|---|---|---|",
        rest = crate::REST_BEFORE_LAST_LOOK.as_secs(),
    )?;
    for server in &report.servers {
        for process in &server.mounted {
            let now =
                |all: &[ProcessInfo]| all.iter().find(|p| p.pid == process.pid).map(|p| p.memory);
            let states = [&server.fresh, &server.mounted, &server.loaded, &server.rested];
            let states = states.map(|all| now(all));
            let main = server.mounted.first().is_some_and(|first| first.pid == process.pid);
            let mib = |kib: u64| Some(kib as f64 / 1024.0);
            let resident =
                states.map(|s| format_figure(s.and_then(|s| mib(s.resident_kib)), 1, " MiB"));
            let anonymous =
                states.map(|s| format_figure(s.and_then(|s| mib(s.anonymous_kib)), 1, " MiB"));
            writeln!(
                out,
                "| {} {} | {} | {} | {} |",
                server.name,
                if main { "server" } else { "plug-in" },
                format_figure(mib(process.binary_bytes / 1024), 1, " MiB"),
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

fn format_figure(figure: Option<f64>, digits: usize, unit: &str) -> String {
    figure.map_or_else(|| "–".to_owned(), |figure| format!("{figure:.digits$}{unit}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::Percentiles;
    use crate::machine::ProcessMemory;
    use crate::server_report::WorkloadSeries;
    use crate::workload::DataSize;

    fn server_report(
        name: &str,
        workload: Workload,
        rates: &[f64],
        cpu: Option<f64>,
    ) -> ServerReport {
        let sample = |rate: &f64| RoundSample {
            requests: 1,
            per_second: *rate,
            latency: Percentiles::default(),
            server_cpu_us: cpu,
            client_cpu_share: 0.5,
            server_cpu_share: None,
            others_cpu_share: None,
        };
        let memory = ProcessMemory { resident_kib: 2048, anonymous_kib: 1024 };
        ServerReport {
            name: name.to_owned(),
            version: "1".to_owned(),
            start_up: None,
            binary_bytes: None,
            fresh: Vec::new(),
            mounted: vec![ProcessInfo { pid: 1, binary_bytes: 3 << 20, memory }],
            loaded: Vec::new(),
            rested: Vec::new(),
            series: vec![WorkloadSeries {
                workload,
                connections: 16,
                samples: rates.iter().map(sample).collect(),
            }],
        }
    }

    #[test]
    fn the_first_server_is_compared_round_by_round() {
        let ours = server_report("a", Workload::CallRust, &[30.0, 10.0, 40.0], Some(50.0));
        let peer = server_report("b", Workload::CallGo, &[10.0, 10.0, 10.0], Some(100.0));
        let compared = compare_servers(&[ours, peer]);
        assert_eq!(compared.len(), 1);
        assert_eq!(compared[0].what, "a call-rust / b call-go at 16");
        assert_eq!(compared[0].rounds, [3.0, 1.0, 4.0]);
        assert_eq!(compared[0].median, 3.0);
        assert_eq!(compared[0].cpu_median, Some(2.0));
    }

    #[test]
    fn what_was_not_measured_is_shown_as_such() {
        let servers = vec![server_report("a", Workload::KvRead, &[10.0], None)];
        let size = DataSize { keys: 1, uncached_keys: 1, value_bytes: 1 };
        let plan = MeasurementPlan { connections: vec![16], warm_up_secs: 0.0, seconds: 1.0, size };
        let (comparisons, aims) = (Vec::new(), Vec::new());
        let report = BenchReport { plan, rounds: 1, processors: 2, servers, comparisons, aims };
        let text = to_markdown(&report);
        let line = "| kv-read | 16 | a | 10 | 0.00 ms | 0.00 ms | 0.0 ms | – | – | 0.50 | – |";
        assert!(text.contains(line), "{text}");
        let line = "| a server | 3.0 MiB | – | 2.0 MiB | – | – | – | 1.0 MiB | – | – |";
        assert!(text.contains(line), "{text}");
        assert!(!text.contains("ratio"));
    }
}
