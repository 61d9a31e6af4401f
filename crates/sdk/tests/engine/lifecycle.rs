//! `on_start`, periodic tasks, background tasks and `on_close`, on each transport.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use strongroom_sdk::lifecycle::{CLOSE_LIMIT, MAX_BACKGROUND_TASKS};
use strongroom_sdk::testing::{Harness, ManualClock, TestHost, Transport, json};
use strongroom_sdk::{Blueprint, Context, Document, Error, Response};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const ALL_TRANSPORTS: [Transport; 3] = [Transport::Linked, Transport::Wire, Transport::Foreign];

/// A function of an engine whose behaviour a test chooses. It counts its runs.
#[derive(Clone, Default)]
struct TestFunction(Arc<FunctionState>);

#[derive(Default)]
struct FunctionState {
    behavior: Mutex<FunctionBehavior>,
    begun: AtomicUsize,
    /// How many runs were dropped before they ended.
    dropped: AtomicUsize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum FunctionBehavior {
    #[default]
    Succeeds,
    Fails,
    Panics,
    Hangs,
}

/// Counts a run as dropped, unless it has ended.
struct DropCounter<'a>(&'a AtomicUsize);

impl Drop for DropCounter<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl TestFunction {
    fn set_behavior(&self, behavior: FunctionBehavior) {
        *self.0.behavior.lock().unwrap() = behavior;
    }

    fn begun(&self) -> usize {
        self.0.begun.load(Ordering::SeqCst)
    }

    fn dropped(&self) -> usize {
        self.0.dropped.load(Ordering::SeqCst)
    }

    async fn run(self) -> Result<(), Error> {
        let behavior = *self.0.behavior.lock().unwrap();
        self.0.begun.fetch_add(1, Ordering::SeqCst);
        match behavior {
            FunctionBehavior::Succeeds => Ok(()),
            FunctionBehavior::Fails => Err(Error::answered("directory", "bind", 500)),
            FunctionBehavior::Panics => std::panic::resume_unwind(Box::new("hunter2")),
            FunctionBehavior::Hangs => {
                let _dropped = DropCounter(&self.0.dropped);
                std::future::pending().await
            }
        }
    }

    /// The function in the form in which a blueprint takes it.
    fn as_task(
        &self,
    ) -> impl Fn(Context) -> futures_util::future::BoxFuture<'static, Result<(), Error>>
    + Send
    + Sync
    + 'static {
        let function = self.clone();
        move |_| Box::pin(function.clone().run())
    }

    async fn wait_until_begun(&self, host: &TestHost, runs: usize) {
        host.wait_until("the function has begun", || async { self.begun() == runs }).await;
    }
}

/// A value of the engine.
#[derive(Document)]
#[document(path = "config")]
struct Config {
    /// Any text.
    text: String,
}

fn new_blueprint() -> Blueprint {
    Blueprint::new("tasks", "1.0.0").help("Has tasks.").document::<Config>()
}

/// Makes the periodic call after a time, and waits until the help page of the mount has a text.
async fn run_periodic_after(host: &TestHost, by: Duration, expected_help: &str) {
    host.advance(by).await;
    host.run_periodic().await.unwrap();
    wait_for_help(host, expected_help).await;
}

async fn wait_for_help(host: &TestHost, expected: &str) {
    let what = format!("the help contains {expected:?}");
    host.wait_until(&what, || async { host.help("").await.unwrap().contains(expected) }).await;
}

#[tokio::test]
async fn a_periodic_task_runs_when_its_interval_has_passed() {
    for way in ALL_TRANSPORTS {
        let (task, other) = (TestFunction::default(), TestFunction::default());
        let engine = new_blueprint().periodic("rotate", HOUR, task.as_task()).periodic(
            "check",
            MINUTE,
            other.as_task(),
        );
        Harness::run_one(engine, way, |host| async move {
            assert_eq!((task.begun(), other.begun()), (0, 0));
            wait_for_help(&host, "has not succeeded since the start").await;
            for runs in 1..=60 {
                host.run_periodic().await.unwrap();
                other.wait_until_begun(&host, runs).await;
                wait_for_help(&host, &format!("last success: {}", host.now())).await;
                host.advance(MINUTE).await;
            }
            assert_eq!(task.begun(), 1);
            host.run_periodic().await.unwrap();
            task.wait_until_begun(&host, 2).await;
        })
        .await;
    }
}

#[tokio::test]
async fn a_failing_task_is_shown_in_the_help_and_retried_with_a_delay() {
    for way in ALL_TRANSPORTS {
        let task = TestFunction::default();
        let engine = new_blueprint().periodic("rotate", HOUR, task.as_task());
        Harness::run_one(engine, way, |host| async move {
            task.set_behavior(FunctionBehavior::Fails);
            run_periodic_after(&host, MINUTE, "failures in a row: 1").await;
            let help = host.help("").await.unwrap();
            let line = format!("last failure: {}: directory: bind answered 500", host.now());
            assert!(help.contains(&line) && help.contains("rotate"), "{help}");
            run_periodic_after(&host, MINUTE, "failures in a row: 2").await;
            run_periodic_after(&host, MINUTE, "failures in a row: 2").await;
            assert_eq!(task.begun(), 2, "the second retry is delayed");
            run_periodic_after(&host, MINUTE, "failures in a row: 3").await;
            task.set_behavior(FunctionBehavior::Panics);
            run_periodic_after(&host, HOUR, "the engine panicked").await;
            task.set_behavior(FunctionBehavior::Succeeds);
            run_periodic_after(&host, HOUR, "last success: ").await;
            let help = host.help("").await.unwrap();
            assert!(!help.contains("failures in a row") && !help.contains("hunter2"), "{help}");
        })
        .await;
    }
}

/// Neither the periodic call, nor other tasks, requests and the end of the instance.
#[tokio::test]
async fn a_hanging_task_blocks_nothing_and_is_dropped_after_its_time_limit() {
    for way in ALL_TRANSPORTS {
        let (hanging, other) = (TestFunction::default(), TestFunction::default());
        hanging.set_behavior(FunctionBehavior::Hangs);
        let engine = new_blueprint()
            .periodic("hangs", MINUTE, hanging.as_task())
            .run_limit(MINUTE * 3)
            .periodic("works", MINUTE, other.as_task());
        Harness::run_one(engine, way, |host| {
            let (hanging, other) = (hanging.clone(), other.clone());
            async move {
                for runs in 1..=3 {
                    host.run_periodic().await.unwrap();
                    other.wait_until_begun(&host, runs).await;
                    wait_for_help(&host, &format!("last success: {}", host.now())).await;
                    host.write("config", json!({ "text": "x" })).await.unwrap();
                    assert_eq!((hanging.begun(), hanging.dropped()), (1, 0), "one run at a time");
                    host.advance(MINUTE).await;
                }
                wait_for_help(&host, "it did not end within 180 s").await;
                assert_eq!(hanging.dropped(), 1);
                host.run_periodic().await.unwrap();
                hanging.wait_until_begun(&host, 2).await;
            }
        })
        .await;
        assert_eq!(hanging.dropped(), 2, "closing drops the run: {way}");
    }
}

#[tokio::test]
async fn the_start_function_is_retried_until_it_succeeds_and_the_mount_works_meanwhile() {
    for way in ALL_TRANSPORTS {
        let start = TestFunction::default();
        start.set_behavior(FunctionBehavior::Fails);
        let engine = new_blueprint().on_start(start.as_task());
        Harness::run_one(engine, way, |host| async move {
            wait_for_help(&host, "directory: bind answered 500").await;
            host.write("config", json!({ "text": "x" })).await.unwrap();
            run_periodic_after(&host, MINUTE, "failures in a row: 2").await;
            start.set_behavior(FunctionBehavior::Succeeds);
            run_periodic_after(&host, MINUTE * 2, "last success: ").await;
            for _ in 0..5 {
                run_periodic_after(&host, HOUR * 24, "last success: ").await;
            }
            assert_eq!(start.begun(), 3);
            host.reopen().await;
            start.wait_until_begun(&host, 4).await;
        })
        .await;
    }
}

#[tokio::test]
async fn tasks_read_and_write_documents() {
    async fn write_config(context: Context) -> Result<(), Error> {
        assert!(context.request_id().is_empty());
        context.documents().put(&[], &Config { text: "by a task".to_owned() }).await
    }
    for way in ALL_TRANSPORTS {
        let engine = new_blueprint().periodic("write", HOUR, write_config);
        Harness::run_one(engine, way, |host| async move {
            host.run_periodic().await.unwrap();
            host.wait_until("it is written", || async { host.read("config").await.is_ok() }).await;
            assert_eq!(host.read("config").await.unwrap().text("text"), "by a task");
        })
        .await;
    }
}

#[tokio::test]
async fn the_close_function_runs_once_and_not_after_a_crash() {
    for way in ALL_TRANSPORTS {
        let close = TestFunction::default();
        let engine = new_blueprint().on_close(close.as_task());
        Harness::run_one(engine.clone(), way, |host| {
            let close = close.clone();
            async move {
                host.crash().await;
                assert_eq!(close.begun(), 0);
                host.reopen().await;
            }
        })
        .await;
        assert_eq!(close.begun(), 1, "{way}");
        for behavior in [FunctionBehavior::Fails, FunctionBehavior::Panics] {
            close.set_behavior(behavior);
            Harness::run_one(engine.clone(), way, |_| async {}).await;
        }
        assert_eq!(close.begun(), 3, "{way}");
    }
}

#[tokio::test]
async fn a_close_function_that_hangs_is_dropped_after_its_time_limit() {
    let close = TestFunction::default();
    close.set_behavior(FunctionBehavior::Hangs);
    let engine = new_blueprint().on_close(close.as_task());
    let clock: Mutex<Option<ManualClock>> = Mutex::new(None);
    let run = Harness::run_one(engine, Transport::Linked, |host| {
        *clock.lock().unwrap() = Some(host.clock());
        async {}
    });
    let time = async {
        while close.begun() == 0 {
            tokio::task::yield_now().await;
        }
        clock.lock().unwrap().as_ref().unwrap().advance(CLOSE_LIMIT);
    };
    tokio::join!(run, time);
    assert_eq!(close.dropped(), 1);
}

#[tokio::test]
async fn background_tasks_are_bounded_and_dropped_at_the_end() {
    for way in ALL_TRANSPORTS {
        let task = TestFunction::default();
        task.set_behavior(FunctionBehavior::Hangs);
        let spawned = task.clone();
        let spawn = move |context: Context, (): ()| {
            let outcome = context.spawn("hangs", spawned.clone().run());
            async move { outcome.map(|()| Response::no_content()) }
        };
        let engine = new_blueprint().write("spawn", "Starts a task.", spawn);
        Harness::run_one(engine, way, |host| {
            let task = task.clone();
            async move {
                for _ in 0..MAX_BACKGROUND_TASKS {
                    host.write("spawn", "{}").await.unwrap();
                }
                let error = host.write("spawn", "{}").await.unwrap_err();
                assert_eq!(error.message, "too many background tasks are running; try again");
                task.wait_until_begun(&host, MAX_BACKGROUND_TASKS).await;
                assert_eq!(task.dropped(), 0);
            }
        })
        .await;
        assert_eq!(task.dropped(), MAX_BACKGROUND_TASKS, "{way}");
    }
}

#[tokio::test]
async fn background_tasks_that_end_make_room_for_others() {
    for way in ALL_TRANSPORTS {
        let task = TestFunction::default();
        let spawned = task.clone();
        let spawn = move |context: Context, (): ()| {
            let outcome = context.spawn("short", spawned.clone().run());
            async move { outcome.map(|()| Response::no_content()) }
        };
        let engine = new_blueprint().write("spawn", "Starts a task.", spawn);
        Harness::run_one(engine, way, |host| async move {
            let behaviors =
                [FunctionBehavior::Succeeds, FunctionBehavior::Fails, FunctionBehavior::Panics];
            for run in 0..MAX_BACKGROUND_TASKS * 2 {
                task.set_behavior(*behaviors.get(run % behaviors.len()).unwrap());
                host.write("spawn", "{}").await.unwrap();
                task.wait_until_begun(&host, run + 1).await;
            }
        })
        .await;
    }
}

#[tokio::test]
#[should_panic(expected = "the task \"a\" is declared twice")]
async fn an_engine_with_two_tasks_of_one_name_does_not_open() {
    let task = TestFunction::default();
    let twice =
        new_blueprint().periodic("a", HOUR, task.as_task()).periodic("a", HOUR, task.as_task());
    Harness::run_one(twice, Transport::Linked, |_| async {}).await;
}

/// Collects the lines of the log.
#[derive(Clone, Default)]
struct CollectedLog(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for CollectedLog {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl CollectedLog {
    fn count(&self, text: &str) -> usize {
        String::from_utf8_lossy(&self.0.lock().unwrap()).matches(text).count()
    }
}

#[tokio::test]
async fn a_failure_that_does_not_change_is_logged_once() {
    async fn fail(_: Context) -> Result<(), Error> {
        let cause = std::io::Error::other("connection refused");
        Err(Error::internal_caused_by("the directory can't be reached", cause))
    }
    let log = CollectedLog::default();
    let writer = log.clone();
    let subscriber =
        tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let engine = new_blueprint().periodic("rotate", MINUTE, fail);
    Harness::run_one(engine, Transport::Linked, |host| async move {
        for failures in 1..=5 {
            let help = format!("failures in a row: {failures}");
            run_periodic_after(&host, MINUTE, &help).await;
        }
    })
    .await;
    assert_eq!(log.count("a task of an engine fails"), 1);
    assert_eq!(log.count("the directory can't be reached: connection refused"), 1);
    assert_eq!(log.count("task=\"rotate\""), 1);
}
