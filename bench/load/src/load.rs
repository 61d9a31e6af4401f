//! Sends requests over many connections for a while, and counts the responses.
#![expect(clippy::disallowed_methods, reason = "a benchmark measures with the machine's clock")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::task::JoinSet;

use crate::error::Error;
use crate::figures::{KeyPicker, Latencies, Percentiles};
use crate::http_client::{BenchConnection, PreparedRequest, unexpected_response};
use crate::machine;
use crate::target::PreparedTarget;
use crate::workload::{DataSize, Workload, WorkloadRequests};

/// The extent of a measurement: connections, durations and data sizes.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct MeasurementPlan {
    /// The numbers of connections to measure at, one after the other.
    pub(crate) connections: Vec<usize>,
    pub(crate) warm_up_secs: f64,
    pub(crate) seconds: f64,
    pub(crate) size: DataSize,
}

/// The figures of one server in one round.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct RoundSample {
    pub(crate) requests: usize,
    pub(crate) per_second: f64,
    pub(crate) latency: Percentiles,
    /// Processor time of the server and its plug-ins per request, in microseconds; `None` if the
    /// server runs elsewhere.
    pub(crate) server_cpu_us: Option<f64>,
    /// Processor time of this program, as a share of one processor.
    pub(crate) client_cpu_share: f64,
    /// Processor time of the server and its plug-ins, as a share of one processor.
    pub(crate) server_cpu_share: Option<f64>,
    /// Processor time of everything else on the machine, as a share of one processor.
    pub(crate) others_cpu_share: Option<f64>,
}

/// The work of a set of connections.
struct LoadTask {
    requests: WorkloadRequests,
    workload: Workload,
    mark: String,
    connections: usize,
    /// Only requests that are sent and answered between these times are counted.
    from: Instant,
    until: Instant,
}

/// Runs a workload on this many connections. The first wrong response fails the whole run, so that
/// no figure comes from a run with errors.
pub(crate) async fn run_workload(
    ready: &PreparedTarget,
    workload: Workload,
    connections: usize,
    plan: &MeasurementPlan,
) -> Result<RoundSample, Error> {
    let from = Instant::now() + Duration::from_secs_f64(plan.warm_up_secs);
    let time = Duration::from_secs_f64(plan.seconds);
    let begin = |workload: Workload, connections: usize| -> Result<Connections, Error> {
        let requests = workload.requests(&ready.mounts, plan.size)?;
        let mark = workload.expected_text(plan.size);
        let until = from + time;
        Ok(start_connections(
            ready,
            LoadTask { requests, workload, mark, connections, from, until },
        ))
    };
    let counted = begin(workload, connections)?;
    let beside =
        workload.concurrent_workload().map(|beside| begin(beside, (connections / 4).max(1)));
    let beside = beside.transpose()?;
    let used = cpu_usage_between(ready.target.pid, from, from + time);
    // The first error ends everything.
    let beside = async {
        match beside {
            Some(beside) => collect_latencies(beside).await.map(drop),
            None => Ok(()),
        }
    };
    let (used, latencies, ()) =
        tokio::try_join!(async { Ok(used.await) }, collect_latencies(counted), beside)?;
    Ok(round_sample(latencies, time, &used))
}

/// Running connections, each of which returns its measured latencies.
type Connections = JoinSet<Result<Latencies, Error>>;

fn start_connections(ready: &PreparedTarget, task: LoadTask) -> Connections {
    let task = Arc::new(task);
    let mut connections = JoinSet::new();
    for at in 0..task.connections {
        let (access, task) = (ready.access.clone(), task.clone());
        connections.spawn(async move {
            access.with_connection(|connection| drive_connection(connection, task, at)).await
        });
    }
    connections
}

async fn collect_latencies(mut connections: Connections) -> Result<Latencies, Error> {
    let mut latencies = Latencies::default();
    while let Some(done) = connections.join_next().await {
        latencies.append(done.map_err(|error| Error::other(error.to_string()))??);
    }
    Ok(latencies)
}

/// The requests of the connection with index `at`: every `connections`th of the fixed requests, so
/// that no two connections request the same name.
fn requests_of_connection<'a>(
    task: &'a LoadTask,
    fixed: &'a [PreparedRequest],
    at: usize,
) -> Vec<&'a PreparedRequest> {
    let part: Vec<_> = fixed.iter().skip(at).step_by(task.connections.max(1)).collect();
    if part.is_empty() { fixed.iter().collect() } else { part }
}

async fn drive_connection(
    mut connection: BenchConnection,
    task: Arc<LoadTask>,
    at: usize,
) -> Result<Latencies, Error> {
    let mut dice = KeyPicker::new(at as u64 + 1);
    let fixed = match &task.requests {
        WorkloadRequests::Fixed(fixed) => requests_of_connection(&task, fixed, at),
        WorkloadRequests::Unique(_) => Vec::new(),
    };
    let mut latencies = Latencies::default();
    let mut begun = Instant::now();
    let mut checked = false;
    loop {
        let fresh = match &task.requests {
            WorkloadRequests::Fixed(_) => None,
            WorkloadRequests::Unique(fresh) => Some(fresh.next()?),
        };
        let chosen = fixed.get(dice.below(fixed.len())).copied();
        let Some(request) = fresh.as_ref().or(chosen) else {
            return Err(Error::other("there is nothing to ask"));
        };
        let (status, answer) = connection.send(request).await?;
        // Searching every response for the value would cost more than everything else in the
        // client. Only the first is searched; after that, only the length is checked.
        let whole = if checked {
            answer.len() >= task.mark.len()
        } else {
            checked = true;
            contains_text(&answer, task.mark.as_bytes())
        };
        if status != task.workload.expected_status() || !whole {
            return Err(unexpected_response(
                request.method.clone(),
                request.uri.path(),
                status,
                &answer,
            ));
        }
        let ended = Instant::now();
        if begun >= task.from && ended <= task.until {
            latencies.push(ended - begun);
        }
        if ended >= task.until {
            return Ok(latencies);
        }
        begun = ended;
    }
}

fn contains_text(answer: &[u8], mark: &[u8]) -> bool {
    mark.is_empty() || answer.windows(mark.len()).any(|window| window == mark)
}

/// The processor time used by this program, by the server, and in total on the machine.
struct CpuUsage {
    client: Duration,
    server: Option<Duration>,
    busy: Option<Duration>,
}

async fn cpu_usage_between(server: Option<u32>, from: Instant, until: Instant) -> CpuUsage {
    tokio::time::sleep_until(from.into()).await;
    let family = server.map(machine::process_tree);
    let look = || CpuUsage {
        client: machine::processor_time(&[std::process::id()]),
        server: family.as_deref().map(machine::processor_time),
        busy: machine::busy_time(),
    };
    let before = look();
    tokio::time::sleep_until(until.into()).await;
    let after = look();
    let between = |after: Option<Duration>, before: Option<Duration>| {
        after.zip(before).map(|(after, before)| after.saturating_sub(before))
    };
    CpuUsage {
        client: after.client.saturating_sub(before.client),
        server: between(after.server, before.server),
        busy: between(after.busy, before.busy),
    }
}

fn round_sample(latencies: Latencies, time: Duration, used: &CpuUsage) -> RoundSample {
    let requests = latencies.len();
    let seconds = time.as_secs_f64();
    let share = |used: Duration| used.as_secs_f64() / seconds;
    let each = |used: Duration| used.as_secs_f64() * 1e6 / requests.max(1) as f64;
    let others = used.busy.zip(used.server);
    let others = others.map(|(busy, server)| busy.saturating_sub(server + used.client));
    RoundSample {
        requests,
        per_second: requests as f64 / seconds,
        latency: latencies.percentiles(),
        server_cpu_us: used.server.map(each),
        client_cpu_share: share(used.client),
        server_cpu_share: used.server.map(share),
        others_cpu_share: others.map(share),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::http_client::ServerAccess;
    use crate::target::BenchTarget;
    use crate::workload::BenchMounts;

    #[test]
    fn figures_are_by_time_and_by_request() {
        let mut latencies = Latencies::default();
        (0..200).for_each(|_| latencies.push(Duration::from_micros(100)));
        let used = CpuUsage {
            client: Duration::from_millis(500),
            server: Some(Duration::from_millis(1000)),
            busy: Some(Duration::from_millis(2500)),
        };
        let sample = round_sample(latencies, Duration::from_secs(2), &used);
        assert_eq!(sample.per_second, 100.0);
        assert_eq!(sample.server_cpu_us, Some(5000.0));
        assert_eq!(sample.client_cpu_share, 0.25);
        assert_eq!(sample.others_cpu_share, Some(0.5));
    }

    /// A server that returns `answers` in turn, and then the last one repeatedly.
    async fn fake_server(answers: &'static [&'static str]) -> PreparedTarget {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let root =
            ServerAccess::new(&listener.local_addr().unwrap().to_string(), Some("t")).unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            for turn in 0.. {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await?);
                }
                let answer = answers.get(turn).or(answers.last()).unwrap();
                stream.write_all(answer.as_bytes()).await?;
            }
            std::io::Result::Ok(())
        });
        let mounts =
            BenchMounts { kv: "kv".to_owned(), kv2: None, rust: None, go: None, approle: None };
        let target = BenchTarget { name: "t".to_owned(), root: root.clone(), pid: None };
        PreparedTarget { target, mounts, access: root }
    }

    /// So long that only an error ends the run.
    const LONG: MeasurementPlan = MeasurementPlan {
        connections: Vec::new(),
        warm_up_secs: 0.0,
        seconds: 600.0,
        size: DataSize { keys: 1, uncached_keys: 1, value_bytes: 1 },
    };
    const GOOD: &str = "HTTP/1.1 200 OK\r\ncontent-length: 14\r\n\r\n{\"data\":\"abc\"}";
    const FAULT: &str = "HTTP/1.1 500 No\r\ncontent-length: 5\r\n\r\nfault";
    const EMPTY: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
    const LAST: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

    #[tokio::test]
    async fn one_error_among_good_answers_ends_the_run() {
        let ready = fake_server(&[GOOD, GOOD, GOOD, FAULT]).await;
        let error = run_workload(&ready, Workload::KvRead, 1, &LONG).await.unwrap_err().to_string();
        assert!(error.contains("answered 500") && error.contains("fault"), "{error}");
    }

    #[tokio::test]
    async fn a_good_status_without_the_value_is_an_error() {
        let ready = fake_server(&[EMPTY]).await;
        let error = run_workload(&ready, Workload::KvRead, 1, &LONG).await.unwrap_err().to_string();
        assert!(error.contains("answered 200"), "{error}");
        // Later responses are not searched, but must be long enough to contain the value.
        let ready = fake_server(&[GOOD, LAST]).await;
        assert!(run_workload(&ready, Workload::KvRead, 1, &LONG).await.is_err());
    }

    #[test]
    fn connections_share_the_names_out_among_them() {
        let request = |n: usize| PreparedRequest::new(http::Method::GET, &n.to_string(), "".into());
        let fixed: Vec<_> = (0..10).map(|n| request(n).unwrap()).collect();
        let now = Instant::now();
        let task = LoadTask {
            requests: WorkloadRequests::Fixed(Vec::new()),
            workload: Workload::KvRead,
            mark: String::new(),
            connections: 4,
            from: now,
            until: now,
        };
        let paths = |at| -> Vec<_> {
            requests_of_connection(&task, &fixed, at)
                .iter()
                .map(|request| request.uri.path().to_owned())
                .collect()
        };
        assert_eq!(paths(1), ["/v1/1", "/v1/5", "/v1/9"]);
        let mut all: Vec<_> = (0..4).flat_map(paths).collect();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 10);
        // With fewer names than connections, several connections request the same names.
        assert_eq!(requests_of_connection(&task, &fixed[..2], 3).len(), 2);
    }

    #[test]
    fn an_answer_without_the_value_is_found() {
        assert!(contains_text(b"{\"data\":{\"value\":\"abc\"}}", b"abc"));
        assert!(!contains_text(b"{\"data\":{\"value\":\"abd\"}}", b"abc"));
        assert!(contains_text(b"", b""));
    }
}
