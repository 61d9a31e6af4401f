//! The performance goals, and which of them a run met. They are ratios of figures of the same round
//! where possible, because those depend least on other load on the machine.

use std::fmt::Write;

use serde::Serialize;

use crate::bare;
use crate::figures::{median, pairwise_ratios};
use crate::load::RoundSample;
use crate::server_report::{ServerReport, figure_per_round};
use crate::workload::Workload;

/// A figure of the first server, with its goal.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct PerformanceGoal {
    pub(crate) what: String,
    /// The median over the rounds.
    pub(crate) figure: f64,
    pub(crate) bound: GoalBound,
}

/// The bound that a figure should keep.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum GoalBound {
    AtLeast(f64),
    AtMost(f64),
}

impl GoalBound {
    fn is_met_by(self, figure: f64) -> bool {
        match self {
            Self::AtLeast(least) => figure >= least,
            Self::AtMost(most) => figure <= most,
        }
    }
}

/// Goal for the resident memory of the server some time after the load.
const RESTED_MIB: f64 = 40.0;

/// All goals for which this run has figures.
pub(crate) fn evaluate_goals(
    servers: &[ServerReport],
    connections: &[usize],
) -> Vec<PerformanceGoal> {
    let Some((ours, others)) = servers.split_first() else { return Vec::new() };
    let limit = others.iter().find(|server| server.name == bare::NAME);
    let mut all = Vec::new();
    for &count in connections {
        let samples = |workload| ours.samples(workload, count);
        for workload in [Workload::KvWrite, Workload::Kv2Write, Workload::Kv2Create] {
            let spread: Vec<f64> = samples(workload).iter().filter_map(latency_spread).collect();
            let what = format!("{} at {count}: p99 by p50", workload.name());
            all.extend(median_goal(what, &spread, GoalBound::AtMost(4.0)));
        }
        for (part, whole) in [
            (Workload::KvReadAbsent, Workload::KvRead),
            (Workload::Kv2ReadAbsent, Workload::Kv2Read),
        ] {
            let what = format!("{} by {} at {count}", part.name(), whole.name());
            let rounds = rate_ratios(samples(part), samples(whole));
            all.extend(median_goal(what, &rounds, GoalBound::AtLeast(0.6)));
        }
        for other in others.iter().filter(|server| server.name != bare::NAME) {
            let theirs = other.samples(Workload::AppRoleLogin, count);
            let rounds = rate_ratios(samples(Workload::AppRoleLogin), theirs);
            let what = format!("approle-login by that of {} at {count}", other.name);
            all.extend(median_goal(what, &rounds, GoalBound::AtLeast(3.0)));
        }
        if let Some(limit) = limit {
            let rounds =
                rate_ratios(samples(Workload::KvRead), limit.samples(Workload::KvRead, count));
            let what = format!("kv-read by the bare server at {count}");
            all.extend(median_goal(what, &rounds, GoalBound::AtLeast(0.6)));
        }
    }
    // With one connection the rate is the inverse of a request's duration.
    let (version_1, version_2) =
        (ours.samples(Workload::KvWrite, 1), ours.samples(Workload::Kv2Write, 1));
    let what = "time of a kv2-write by that of a kv-write at 1".to_owned();
    all.extend(median_goal(what, &rate_ratios(version_1, version_2), GoalBound::AtMost(1.3)));
    let rested = ours.rested.first().map(|process| process.memory.resident_kib as f64 / 1024.0);
    let rested: Vec<f64> = rested.into_iter().collect();
    let what = format!("MiB resident {} s after the load", crate::REST_BEFORE_LAST_LOOK.as_secs());
    all.extend(median_goal(what, &rested, GoalBound::AtMost(RESTED_MIB)));
    all
}

/// The goals as a Markdown table.
pub(crate) fn write_table(out: &mut String, aims: &[PerformanceGoal]) -> std::fmt::Result {
    if aims.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n| aim | reached | bound | |\n|---|---|---|---|")?;
    for PerformanceGoal { what, figure, bound } in aims {
        let shown = match bound {
            GoalBound::AtLeast(least) => format!("≥ {least}"),
            GoalBound::AtMost(most) => format!("≤ {most}"),
        };
        let held = if bound.is_met_by(*figure) { "yes" } else { "**no**" };
        writeln!(out, "| {what} | {figure:.2} | {shown} | {held} |")?;
    }
    Ok(())
}

fn median_goal(what: String, rounds: &[f64], bound: GoalBound) -> Option<PerformanceGoal> {
    median(rounds).map(|figure| PerformanceGoal { what, figure, bound })
}

fn rate_ratios(part: &[RoundSample], whole: &[RoundSample]) -> Vec<f64> {
    let rate = |sample: &RoundSample| Some(sample.per_second);
    pairwise_ratios(&figure_per_round(part, rate), &figure_per_round(whole, rate))
}

fn latency_spread(sample: &RoundSample) -> Option<f64> {
    (sample.latency.p50_us > 0.0).then(|| sample.latency.p99_us / sample.latency.p50_us)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::Percentiles;
    use crate::http_client::ServerAccess;
    use crate::target::BenchTarget;

    fn server_report(name: &str, series: &[(Workload, f64)]) -> ServerReport {
        let root = ServerAccess::new("127.0.0.1:1", None).unwrap();
        let target = BenchTarget { name: name.to_owned(), root, pid: None };
        let mut server = ServerReport::new(&target, "1".to_owned());
        for (workload, per_second) in series {
            let latency = Percentiles { p50_us: 10.0, p99_us: 50.0, ..Percentiles::default() };
            let sample = RoundSample {
                requests: 1,
                per_second: *per_second,
                latency,
                server_cpu_us: None,
                client_cpu_share: 0.0,
                server_cpu_share: None,
                others_cpu_share: None,
            };
            server.add_sample(*workload, 1, sample);
        }
        server
    }

    #[test]
    fn aims_are_ratios_with_a_bound_in_the_right_direction() {
        let ours = server_report(
            "a",
            &[
                (Workload::KvRead, 70.0),
                (Workload::KvReadAbsent, 35.0),
                (Workload::KvWrite, 26.0),
                (Workload::Kv2Write, 20.0),
            ],
        );
        let found = evaluate_goals(
            &[ours, server_report(bare::NAME, &[(Workload::KvRead, 100.0)])],
            &[1, 16],
        );
        let mut text = String::new();
        write_table(&mut text, &found).unwrap();
        for line in [
            "| kv-write at 1: p99 by p50 | 5.00 | ≤ 4 | **no** |",
            "| kv-read-absent by kv-read at 1 | 0.50 | ≥ 0.6 | **no** |",
            "| kv-read by the bare server at 1 | 0.70 | ≥ 0.6 | yes |",
            "| time of a kv2-write by that of a kv-write at 1 | 1.30 | ≤ 1.3 | yes |",
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
        assert_eq!(found.len(), 5, "nothing is said of what was not measured: {text}");
    }
}
