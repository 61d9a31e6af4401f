//! Benchmarks servers that implement Vault's API, several side by side in one run.
//!
//! `bench/README.md` describes what it measures and how to run it. The modules, in the order of a
//! run:
//!
//! - [`launch`]: starts servers on empty stores
//! - [`target`]: mounts the engines to measure and creates the token for the requests
//! - [`workload`]: the requests of each workload
//! - [`load`]: sends them and counts the responses
//! - [`bare`]: a bare HTTP server that shows the upper limit
//! - [`report`]: tables and the JSON file of the results; [`goals`]: the performance goals
//! - [`figures`], [`machine`], [`http_client`], [`error`]: arithmetic, process figures, the HTTP
//!   client, and failures

mod bare;
mod error;
mod figures;
mod goals;
mod http_client;
mod launch;
mod load;
mod machine;
mod report;
mod server_report;
mod target;
mod workload;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use crate::bare::BareServer;
use crate::error::Error;
use crate::http_client::ServerAccess;
use crate::launch::{LaunchedServer, ServerKind, StartUp};
use crate::load::MeasurementPlan;
use crate::machine::ProcessInfo;
use crate::report::BenchReport;
use crate::server_report::ServerReport;
use crate::target::{BenchPlugins, BenchTarget, PreparedTarget};
use crate::workload::{DataSize, Workload};

/// How long the servers are idle before their memory is measured for the last time.
const REST_BEFORE_LAST_LOOK: Duration = Duration::from_secs(20);

/// Measures servers that speak the API of Vault, side by side.
#[derive(Debug, Parser)]
#[command(name = "strongroom-bench")]
struct BenchArguments {
    /// Starts this Strongroom binary on an empty embedded store.
    #[arg(long, value_name = "BINARY")]
    strongroom: Option<PathBuf>,
    /// Starts this OpenBao or Vault binary on an empty raft store.
    #[arg(long, value_name = "BINARY")]
    peer: Option<PathBuf>,
    /// Measures a running server as well; the pid may be left out. May be given several times.
    #[arg(long, value_name = "NAME=URL,ROOT_TOKEN,PID")]
    server: Vec<String>,
    /// The no-op engine as a plug-in binary (strongroom-bench-noop).
    #[arg(long, value_name = "BINARY")]
    rust_plugin: Option<PathBuf>,
    /// The plug-in of tests/interop/go-plugin.
    #[arg(long, value_name = "BINARY")]
    go_plugin: Option<PathBuf>,
    /// Folder for the stores of servers that are started; on the disk that is to be measured.
    #[arg(long, default_value = "bench/results")]
    scratch: PathBuf,
    /// Only these workloads, by commas.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Numbers of connections, by commas. Plug-ins are measured at the one in the middle.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16, 64])]
    connections: Vec<usize>,
    /// Seconds before each measurement.
    #[arg(long, default_value_t = 0.5)]
    warm_up: f64,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Fewer rounds and starts, and shorter ones: figures within two minutes a server, to look at
    /// and not to publish.
    #[arg(long)]
    quick: bool,
    /// Secrets of each KV engine.
    #[arg(long, default_value_t = 1000)]
    keys: usize,
    /// Secrets for reads that miss the caches. They must be larger than those.
    #[arg(long, default_value_t = 40_000)]
    uncached_keys: usize,
    /// Bytes of text in each value.
    #[arg(long, default_value_t = 1024)]
    value_bytes: usize,
    /// How often a started server is started again, to measure that.
    #[arg(long, default_value_t = 5)]
    starts: usize,
    /// Leaves out the bare server, which shows what the HTTP library alone can do.
    #[arg(long)]
    no_limit: bool,
    /// Where the figures go.
    #[arg(long, default_value = "bench/results/load.json")]
    out: PathBuf,
    /// Is the bare server: gives the answer in this file.
    #[arg(long, hide = true, value_name = "FILE")]
    serve_answer: Option<PathBuf>,
}

impl BenchArguments {
    fn from_command_line() -> Self {
        let given = Self::parse();
        match given.quick {
            true => Self { rounds: 1, starts: 1, warm_up: 0.3, seconds: 1.5, ..given },
            false => given,
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    // On a signal, the servers that this program started are ended as well.
    let ended = tokio::select! {
        ended = run(BenchArguments::from_command_line()) => ended,
        _ = tokio::signal::ctrl_c() => Err(Error::other("interrupted")),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            print_line(&format!("The run FAILED: {error}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: BenchArguments) -> Result<(), Error> {
    match &arguments.serve_answer {
        Some(file) => bare::serve_recorded(file).await,
        None => measure(arguments).await,
    }
}

async fn measure(arguments: BenchArguments) -> Result<(), Error> {
    let plugins =
        BenchPlugins { rust: arguments.rust_plugin.clone(), go: arguments.go_plugin.clone() };
    let plan = measurement_plan(&arguments)?;
    let wanted = selected_workloads(&arguments.only)?;
    std::fs::create_dir_all(&arguments.scratch).map_err(Error::io("making the scratch folder"))?;
    let scratch =
        tempfile::tempdir_in(&arguments.scratch).map_err(Error::io("a scratch folder"))?;
    // The path is written to configurations, where it must be absolute.
    let folder = scratch.path().canonicalize().map_err(Error::io("the scratch folder"))?;
    let mut launched = Vec::new();
    let (mut ready, mut servers) = (Vec::new(), Vec::new());
    for (kind, name, binary) in servers_to_start(&arguments)? {
        let mut server = LaunchedServer::start(kind, &name, binary, &folder, &plugins).await?;
        let start_up = server.restart(arguments.starts).await?;
        let entry = describe_server(&server.as_target()?, Some(start_up), Some(binary)).await?;
        servers.push(entry);
        ready.push(server.as_target()?.prepare(&plugins, plan.size).await?);
        launched.push(server);
    }
    for text in &arguments.server {
        let target = parse_running_server(text)?;
        servers.push(describe_server(&target, None, None).await?);
        ready.push(target.prepare(&plugins, plan.size).await?);
    }
    if ready.is_empty() {
        return Err(Error::other("name a server: --strongroom, --peer or --server"));
    }
    let bare = match ready.first().filter(|_| !arguments.no_limit) {
        Some(first) => Some(BareServer::start(first, plan.size, &folder).await?),
        None => None,
    };
    if let Some((first, bare)) = ready.first().zip(bare.as_ref()) {
        let bare = bare.ready_target(first)?;
        servers.push(ServerReport::new(&bare.target, "–".to_owned()));
        ready.push(bare);
    }
    settle().await;
    for (server, ready) in servers.iter_mut().zip(&ready) {
        server.mounted = server_processes(ready.target.pid);
    }
    run_rounds(&arguments, &plan, &wanted, &ready, &mut servers).await?;
    settle().await;
    for (server, ready) in servers.iter_mut().zip(&ready) {
        server.loaded = server_processes(ready.target.pid);
    }
    pause(REST_BEFORE_LAST_LOOK).await;
    for (server, ready) in servers.iter_mut().zip(&ready) {
        server.rested = server_processes(ready.target.pid);
    }
    for mut server in launched {
        server.stop().await?;
    }
    write_report(&arguments, plan, servers)
}

/// Runs every workload on every server, in alternating order from round to round, so that effects
/// that grow with time, such as heat, favour no server.
async fn run_rounds(
    arguments: &BenchArguments,
    plan: &MeasurementPlan,
    wanted: &[Workload],
    ready: &[PreparedTarget],
    servers: &mut [ServerReport],
) -> Result<(), Error> {
    for round in 0..arguments.rounds {
        for (workload, connections) in measured_pairs(wanted, plan) {
            let mut order: Vec<(&PreparedTarget, &mut ServerReport)> =
                ready.iter().zip(servers.iter_mut()).collect();
            if round % 2 == 1 {
                order.reverse();
            }
            for (ready, server) in order {
                if !workload.is_supported_by(&ready.mounts) {
                    continue;
                }
                let sample = load::run_workload(ready, workload, connections, plan).await;
                let sample = sample.map_err(|error| {
                    Error::other(format!("{} {}: {error}", server.name, workload.name()))
                })?;
                print_line(&format!(
                    "round {}: {:<16} {connections:>4} {:<12} {:>8.0}/s  p50 {:>7.2} ms  p99 {:>7.2} ms",
                    round + 1,
                    workload.name(),
                    server.name,
                    sample.per_second,
                    sample.latency.p50_us / 1e3,
                    sample.latency.p99_us / 1e3,
                ));
                server.add_sample(workload, connections, sample);
            }
        }
    }
    Ok(())
}

/// Each workload with each number of connections that it is measured at.
fn measured_pairs(wanted: &[Workload], plan: &MeasurementPlan) -> Vec<(Workload, usize)> {
    let middle = plan.connections.get(plan.connections.len() / 2).copied().unwrap_or(1);
    let each = |workload: &Workload| match workload.is_scaled() {
        true => plan.connections.iter().map(|count| (*workload, *count)).collect(),
        false => vec![(*workload, middle)],
    };
    wanted.iter().flat_map(each).collect()
}

fn write_report(
    arguments: &BenchArguments,
    plan: MeasurementPlan,
    servers: Vec<ServerReport>,
) -> Result<(), Error> {
    let comparisons = report::compare_servers(&servers);
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let rounds = arguments.rounds;
    let aims = goals::evaluate_goals(&servers, &plan.connections);
    let report = BenchReport { plan, rounds, processors, servers, comparisons, aims };
    let text = serde_json::to_string_pretty(&report)
        .map_err(|error| Error::other(format!("the report can't be written: {error}")))?;
    let out = arguments.out.display().to_string();
    std::fs::write(&arguments.out, text).map_err(Error::io(out))?;
    print_line(&format!("\n{}", report::to_markdown(&report)));
    Ok(())
}

fn measurement_plan(arguments: &BenchArguments) -> Result<MeasurementPlan, Error> {
    let size = DataSize {
        keys: arguments.keys,
        uncached_keys: arguments.uncached_keys,
        value_bytes: arguments.value_bytes,
    };
    let mut counts = vec![arguments.rounds, arguments.connections.len(), size.keys];
    counts.extend(&arguments.connections);
    counts.push(size.uncached_keys);
    let counts = counts.iter().all(|n| *n > 0);
    let measured = arguments.seconds.is_finite() && arguments.seconds > 0.0;
    let warmed = arguments.warm_up.is_finite() && arguments.warm_up >= 0.0;
    if !(counts && measured && warmed) {
        return Err(Error::other("rounds, connections, keys and seconds must be positive"));
    }
    Ok(MeasurementPlan {
        connections: arguments.connections.clone(),
        warm_up_secs: arguments.warm_up,
        seconds: arguments.seconds,
        size,
    })
}

fn selected_workloads(only: &[String]) -> Result<Vec<Workload>, Error> {
    if only.is_empty() {
        return Ok(Workload::ALL.to_vec());
    }
    let find = |name: &String| {
        Workload::by_name(name).ok_or_else(|| Error::other(format!("there is no workload {name}")))
    };
    only.iter().map(find).collect()
}

/// The servers to start; the others are compared with the first one.
fn servers_to_start(arguments: &BenchArguments) -> Result<Vec<(ServerKind, String, &Path)>, Error> {
    let mut found = Vec::new();
    for (kind, binary) in
        [(ServerKind::Strongroom, &arguments.strongroom), (ServerKind::Peer, &arguments.peer)]
    {
        let Some(binary) = binary else { continue };
        let name = binary.file_name().map(|name| name.to_string_lossy().into_owned());
        let name = name.ok_or_else(|| Error::other("a binary has a name"))?;
        found.push((kind, name, binary.as_path()));
    }
    Ok(found)
}

/// Parses `NAME=URL,ROOT_TOKEN[,PID]`.
fn parse_running_server(text: &str) -> Result<BenchTarget, Error> {
    let wrong = || Error::other("--server is NAME=URL,ROOT_TOKEN[,PID]");
    let (name, rest) = text.split_once('=').ok_or_else(wrong)?;
    let mut parts = rest.split(',');
    let (url, token) = parts.next().zip(parts.next()).ok_or_else(wrong)?;
    let pid = parts.next().map(|pid| pid.parse().map_err(|_| wrong())).transpose()?;
    Ok(BenchTarget { name: name.to_owned(), root: ServerAccess::new(url, Some(token))?, pid })
}

async fn describe_server(
    target: &BenchTarget,
    start_up: Option<StartUp>,
    binary: Option<&Path>,
) -> Result<ServerReport, Error> {
    let version = target.version().await?;
    settle().await;
    let fresh = server_processes(target.pid);
    let binary_bytes = binary.map(machine::file_bytes);
    Ok(ServerReport { start_up, binary_bytes, fresh, ..ServerReport::new(target, version) })
}

fn server_processes(pid: Option<u32>) -> Vec<ProcessInfo> {
    let family = pid.map(machine::process_tree).unwrap_or_default();
    family.into_iter().filter_map(machine::process_info).collect()
}

/// Waits until the servers are idle, before memory is measured.
async fn settle() {
    pause(Duration::from_secs(2)).await;
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures with the machine's clock")]
async fn pause(time: Duration) {
    tokio::time::sleep(time).await;
}

#[expect(clippy::print_stdout, reason = "the output of this program")]
fn print_line(text: &str) {
    println!("{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_declared_as_clap_wants_them() {
        use clap::CommandFactory;
        BenchArguments::command().debug_assert();
    }

    #[test]
    fn running_servers_are_named_with_all_they_need() {
        let target = parse_running_server("bao=http://127.0.0.1:8200,root,77").unwrap();
        assert_eq!((target.name.as_str(), target.pid), ("bao", Some(77)));
        assert_eq!(target.root.address, "127.0.0.1:8200");
        assert_eq!(parse_running_server("bao=127.0.0.1:8200,root").unwrap().pid, None);
        for wrong in ["bao", "bao=http://127.0.0.1:8200", "bao=127.0.0.1:8200,root,x"] {
            assert!(parse_running_server(wrong).is_err(), "{wrong}");
        }
        assert!(parse_running_server("bao=https://127.0.0.1:8200,root").is_err());
    }

    #[test]
    fn unknown_workloads_are_named() {
        assert_eq!(selected_workloads(&["kv-read".to_owned()]).unwrap(), [Workload::KvRead]);
        assert!(selected_workloads(&["kv".to_owned()]).unwrap_err().to_string().contains("kv"));
        assert_eq!(selected_workloads(&[]).unwrap().len(), Workload::ALL.len());
    }

    #[test]
    fn plug_ins_are_measured_at_one_number_of_connections() {
        let arguments = BenchArguments::parse_from(["strongroom-bench"]);
        let plan = measurement_plan(&arguments).unwrap();
        assert_eq!(plan.connections, [1, 16, 64]);
        use Workload::{CallGo, KvRead};
        let all = measured_pairs(&[KvRead, CallGo], &plan);
        assert_eq!(all, [(KvRead, 1), (KvRead, 16), (KvRead, 64), (CallGo, 16)]);
    }
}
