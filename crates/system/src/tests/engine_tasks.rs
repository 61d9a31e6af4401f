//! Tasks that a linked-in engine declares: none of them blocks the removal of its mount or a seal,
//! and their runs are counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use strongroom_core::request::Verb;
use strongroom_sdk::{Blueprint, Context, Error};
use strongroom_telemetry::names;

use super::TestCore;
use super::test_counters::TestCounters;

/// Counts a run as ended when dropped.
struct RunningGuard(Arc<AtomicUsize>);

impl Drop for RunningGuard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

async fn fail(_: Context) -> Result<(), Error> {
    Err(Error::answered("directory", "bind", 500))
}

async fn succeed(_: Context) -> Result<(), Error> {
    Ok(())
}

/// An engine whose tasks hang, fail and succeed, and the number of runs that hang now.
fn engine_with_tasks() -> (Blueprint, Arc<AtomicUsize>) {
    let running: Arc<AtomicUsize> = Arc::default();
    let counted = running.clone();
    let hang = move |_: Context| {
        let counted = counted.clone();
        async move {
            counted.fetch_add(1, Ordering::SeqCst);
            let _running = RunningGuard(counted);
            std::future::pending::<Result<(), Error>>().await
        }
    };
    let engine = Blueprint::new("tasks", "1.0.0")
        .help("Has tasks.")
        .on_start(hang.clone())
        .run_limit(HOUR)
        .periodic("hangs", MINUTE, hang)
        .periodic("fails", MINUTE, fail)
        .periodic("works", MINUTE, succeed);
    (engine, running)
}

async fn core_with_tasks() -> (TestCore, Arc<AtomicUsize>) {
    let bench = TestCore::new().await;
    let (engine, running) = engine_with_tasks();
    bench.plugins.add_builtin(engine);
    bench.write("sys/mounts/t", r#"{"type":"tasks"}"#).await;
    bench.advance_secs(bench.settings.periodic_interval.as_secs()).await;
    assert_eq!(running.load(Ordering::SeqCst), 2, "on_start and the periodic task");
    (bench, running)
}

#[tokio::test]
async fn tasks_that_hang_or_fail_do_not_block_the_removal_of_their_mount() {
    let (bench, running) = core_with_tasks().await;
    bench.succeeds(Verb::Delete, "sys/mounts/t", "").await;
    assert_eq!(running.load(Ordering::SeqCst), 0);
    assert!(!bench.read("sys/mounts").await.data.contains("t/"));
}

#[tokio::test]
async fn tasks_that_hang_or_fail_do_not_block_a_seal() {
    let (bench, running) = core_with_tasks().await;
    bench.write("sys/seal", "").await;
    bench.run_until_idle().await;
    assert!(bench.core.is_sealed());
    assert_eq!(running.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn runs_are_counted_by_mount_task_and_outcome() {
    let counters = TestCounters::default();
    let _guard = metrics::set_default_local_recorder(&counters);
    let (bench, _running) = core_with_tasks().await;
    // The time limit of the periodic tasks is a minute as well.
    bench.advance_secs(60).await;
    let outcomes = |task: &str, outcome: &str| {
        let labels = format!("{{mount=t/,outcome={outcome},task={task}}}");
        let all = counters.nonzero_counts(names::TASK_RUNS);
        all.into_iter().find(|(key, _)| *key == labels).map_or(0, |(_, count)| count)
    };
    assert_eq!(outcomes("works", "succeeded"), 2);
    assert_eq!(outcomes("fails", "failed"), 2);
    assert_eq!(outcomes("hangs", "timed_out"), 1);
    assert_eq!(outcomes("on_start", "timed_out"), 0);
    bench.advance_secs(HOUR.as_secs()).await;
    assert_eq!(outcomes("on_start", "timed_out"), 1);
}
