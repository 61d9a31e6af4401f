//! Compares embedded storage engines under the server's write pattern, and prints Markdown.
//!
//! ```text
//! cargo run --release -- all <folder> [keys] [seconds] [engine ...]
//! cargo run --release -- <step> <folder> <keys> <seconds> <engine>
//! ```
//!
//! Steps: `load` fills an empty store; `open` times opening; `read` reads without concurrent
//! writes; `single` and `mixed` run the writers; `kill` runs them until the process kills itself;
//! `thin` deletes nine keys of ten. Each step runs in a process of its own, so that its memory and
//! processor time are separate and a kill ends only that step.
#![expect(clippy::disallowed_methods, reason = "a benchmark measures with the machine's clock")]

mod engines;
mod machine;
mod workload;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use strongroom_storage::Physical;
use workload::{BatchKind, LatencyPercentiles, WriteReport};

const STEPS: &[&str] =
    &["load", "open", "read", "single", "mixed", "kill", "open", "thin", "open", "single"];

/// How often the writers run in a step. The fastest run counts, because other load on the machine
/// only makes a run slower.
const RUNS: usize = 3;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, default: u64| {
        args.get(at).map_or(default, |text| text.parse().expect("a number"))
    };
    let step = args.first().expect("a step").as_str();
    let folder = Path::new(args.get(1).expect("a folder"));
    let (keys, seconds) = (number(2, 100_000), number(3, 8));
    if step == "all" {
        let named: Vec<&str> = args.iter().skip(4).map(String::as_str).collect();
        run_all(folder, keys, seconds, &named);
    } else {
        let engine = args.get(4).expect("an engine").as_str();
        run_step(step, &folder.join(engine), keys, Duration::from_secs(seconds), engine);
    }
}

fn run_all(folder: &Path, keys: u64, seconds: u64, named: &[&str]) {
    println!("{keys} keys, {seconds} s a step\n");
    for (engine, what) in engines::ENGINES {
        if !named.is_empty() && !named.contains(engine) {
            continue;
        }
        println!("**{engine}**: {what}\n");
        let _ = std::fs::remove_dir_all(folder.join(engine));
        for step in STEPS {
            let cold = *step == "open" && machine::drop_file_cache();
            let program = std::env::current_exe().expect("this program has a path");
            let numbers = [keys, seconds].map(|number| number.to_string());
            let child = Command::new(program)
                .arg(step)
                .arg(folder)
                .args(numbers)
                .arg(engine)
                .output()
                .expect("the step runs");
            let text = String::from_utf8_lossy(&child.stdout);
            let how = if cold { " (file cache empty)" } else { "" };
            // A killed step prints nothing.
            if !text.is_empty() {
                println!("- {step}{how}: {}", text.trim());
            }
        }
        println!();
    }
}

fn run_step(step: &str, dir: &Path, keys: u64, time: Duration, engine: &str) {
    let began = Instant::now();
    let store = engines::open(engine, dir);
    let opened = began.elapsed();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime starts");
    match step {
        "load" => {
            runtime.block_on(workload::load(&*store, keys));
            drop(store);
            let took = began.elapsed().as_secs_f64();
            println!("{took:.1} s, {} MiB on disk", machine::folder_mib(dir));
        }
        "open" => {
            let first = Instant::now();
            let _ = runtime.block_on(store.get(&workload::key(0)));
            println!("{opened:.1?}, first read {:.1?}", first.elapsed());
        }
        "read" => {
            let latency = runtime.block_on(workload::read(&*store, keys, 20_000));
            println!("{}", show(&latency));
        }
        "single" => report(&runtime, &store, dir, keys, BatchKind::Single, time),
        "mixed" => report(&runtime, &store, dir, keys, BatchKind::Mixed, time),
        "thin" => {
            let before = machine::folder_mib(dir);
            runtime.block_on(workload::thin(&*store, keys));
            let after = machine::folder_mib(dir);
            drop(store);
            println!("{before} to {after} MiB, closed {} MiB", machine::folder_mib(dir));
        }
        "kill" => {
            std::thread::spawn(move || {
                std::thread::sleep(time / 2);
                let me = rustix::process::getpid();
                let _ = rustix::process::kill_process(me, rustix::process::Signal::KILL);
            });
            let forever = Duration::from_secs(3600);
            let _ = runtime.block_on(workload::write(&store, dir, keys, BatchKind::Single, forever, 1));
        }
        other => panic!("no step is called {other}"),
    }
}

fn report(
    runtime: &tokio::runtime::Runtime,
    store: &Arc<dyn Physical>,
    dir: &Path,
    keys: u64,
    kind: BatchKind,
    time: Duration,
) {
    let before = machine::folder_mib(dir);
    let runs = (0..RUNS).map(|run| {
        let seed = run as u64 * 100;
        runtime.block_on(workload::write(store, dir, keys, kind, time, seed))
    });
    let fastest = |a: &WriteReport, b: &WriteReport| a.commits_per_second.total_cmp(&b.commits_per_second);
    let written = runs.max_by(fastest).expect("there are runs");
    println!(
        "{:.0} commits/s, {}; cpu {:.1} us and device {:.1} KiB a commit; {} MiB of memory; \
         folder {before} to {} MiB; reads beside it {}",
        written.commits_per_second,
        show(&written.latency),
        written.cpu_micros_per_commit,
        written.device_bytes_per_commit / 1024.0,
        written.resident_mib,
        machine::folder_mib(dir),
        show(&written.reads),
    );
}

fn show(latency: &LatencyPercentiles) -> String {
    let LatencyPercentiles { p50, p99, p999, max } = latency;
    format!("p50 {p50}, p99 {p99}, p99.9 {p999}, max {max} us")
}
