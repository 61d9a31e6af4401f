//! The server as its callers see it, and its shutdown.

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use rustix::process::{DumpableBehavior, dumpable_behavior};
use strongroom_barrier::SealConfig;
use strongroom_crypto::SystemEntropy;
use strongroom_storage::memory::MemoryStorage;
use strongroom_storage::{Error, Physical, PhysicalBatch, PhysicalEntry, Version};
use strongroom_types::clock::ManualClock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use super::*;

fn test_options(config: &str, clock: &ManualClock) -> Options {
    Options {
        config: Config::parse(config, "t.hcl").unwrap(),
        version: String::new(),
        build_date: String::new(),
        clock: Arc::new(clock.clone()),
        entropy: Arc::new(SystemEntropy),
        exporter: MetricsExporter::detached(),
    }
}

/// A store whose reads of the cluster's names hang from when the test requests it.
#[derive(Debug, Default)]
struct StallingStorage {
    below: MemoryStorage,
    hangs: AtomicBool,
    asked: Notify,
}

#[async_trait::async_trait]
impl Physical for StallingStorage {
    async fn get(&self, key: &str) -> Result<Option<PhysicalEntry>, Error> {
        if key.contains("cluster") && self.hangs.load(Ordering::Relaxed) {
            self.asked.notify_one();
            std::future::pending::<()>().await;
        }
        self.below.get(key).await
    }

    async fn scan(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, Error> {
        self.below.scan(prefix, after, limit).await
    }

    async fn commit(&self, batch: PhysicalBatch) -> Result<Version, Error> {
        self.below.commit(batch).await
    }
}

const ANY_PORT: &str = "storage \"inmem\" {}\n\
    listener \"tcp\" {\n tls_disable = true\n address = \"127.0.0.1:0\"\n}";

#[tokio::test]
async fn stop_ignores_hanging_store() {
    let (clock, store) = (ManualClock::default(), Arc::new(StallingStorage::default()));
    let given = ServerStore::Given(store.clone());
    let running = Server::start_with_store(given, test_options(ANY_PORT, &clock)).await.unwrap();
    let config = SealConfig::new(1, 1).unwrap();
    let mut made = running.core().initialise(config, None).await.unwrap();
    store.hangs.store(true, Ordering::Relaxed);
    let (core, share) = (running.core().clone(), made.shares.pop().unwrap());
    let unsealing = TaskTracker::new().spawn(async move { core.unseal(share).await });
    store.asked.notified().await;
    // The clock stands still, so no timeout can have expired.
    assert!(running.stop().await, "something was cut off");
    assert!(unsealing.await.unwrap().is_err());
}

#[tokio::test]
async fn stop_ends_hanging_requests() {
    let clock = ManualClock::default();
    let store = ServerStore::Given(Arc::new(MemoryStorage::new()));
    let running = Server::start_with_store(store, test_options(ANY_PORT, &clock)).await.unwrap();
    let hanging = running.tasks.spawn(std::future::pending::<()>());
    let mut stopping = running.stop();
    let begun = std::future::poll_fn(|cx| Poll::Ready(stopping.as_mut().poll(cx))).await;
    assert!(begun.is_pending());
    clock.advance(SHUTDOWN_TIMEOUT);
    assert!(!stopping.await, "nothing was cut off");
    hanging.abort();
}

#[tokio::test]
async fn a_listener_answers_with_its_headers_and_without_what_it_redacts() {
    let text = format!(
        "{ANY_PORT}\nlistener \"tcp\" {{\n tls_disable = true\n address = \"127.0.0.1:0\"\n \
         redact_version = true\n \
         custom_response_headers {{ \"2xx\" = {{ \"X-Kept-By\" = [\"us\"] }} }}\n}}"
    );
    let clock = ManualClock::default();
    let store = ServerStore::Given(Arc::new(MemoryStorage::new()));
    let options = Options { version: "2.0.0".to_owned(), ..test_options(&text, &clock) };
    let running = Server::start_with_store(store, options).await.unwrap();
    let ask = async |path: &str| {
        let mut answers = Vec::new();
        for address in running.addresses() {
            let mut stream = TcpStream::connect(address.to_string()).await.unwrap();
            let head = format!("GET /v1/{path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            stream.write_all(head.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            answers.push(answer);
        }
        <[String; 2]>::try_from(answers).unwrap()
    };
    let [usual, special] = ask("sys/seal-status").await;
    assert!(usual.contains("\"version\":\"2.0.0\"") && !usual.contains("x-kept-by"), "{usual}");
    let is_redacted = special.contains("\"version\":\"\"") && !special.contains("2.0.0");
    assert!(is_redacted && special.contains("x-kept-by: us\r\n"), "{special}");
    let config = SealConfig::new(1, 1).unwrap();
    let mut made = running.core().initialise(config, None).await.unwrap();
    running.core().unseal(made.shares.pop().unwrap()).await.unwrap();
    // Paths served without a token, and whether they show the version unless it is redacted.
    for (path, tells) in [
        ("sys/seal-status", true),
        ("sys/health", true),
        ("sys/internal/specs/openapi", true),
        ("sys/internal/specs/openapi?generic_mount_paths=true", true),
        ("sys/leader", false),
        ("sys/init", false),
        ("sys/internal/ui/mounts", false),
        ("sys/internal/specs/openapi?help=1", false),
        ("sys/health?help=1", false),
        ("sys/host-info", false),
        ("sys/version-history", false),
        ("sys/metrics", false),
        ("nowhere", false),
    ] {
        let [usual, special] = ask(path).await;
        assert_eq!(usual.contains("2.0.0"), tells, "{path}: {usual}");
        assert!(!special.contains("2.0.0"), "{path}: {special}");
        assert_eq!(special.lines().next(), usual.lines().next(), "{path}");
    }
    let [_, special] = ask("sys/internal/specs/openapi").await;
    assert!(special.contains("\"title\":\"Strongroom\"") && special.contains("\"version\":\"\""));
    assert!(running.stop().await);
}

#[test]
fn the_core_keeps_in_memory_what_the_configuration_says() {
    let text = "storage \"inmem\" {}\nlistener \"tcp\" { tls_disable = true }\n\
        max_cached_entry_bytes = 1001\nmax_cached_token_bytes = 1002\n\
        max_cached_document_bytes_per_mount = 1003";
    let options = |text| test_options(text, &ManualClock::default());
    let caches = |settings: &Settings| {
        (settings.cache_bytes, settings.token_cache_bytes, settings.document_cache_bytes)
    };
    assert_eq!(caches(&core_settings(&options(text))), (1001, 1002, 1003));
    // The documented defaults are those of the crates below.
    let minimal = text.split("max_").next().unwrap();
    assert_eq!(caches(&core_settings(&options(minimal))), caches(&Settings::default()));
}

#[test]
fn a_duration_of_zero_is_a_day_and_not_none() {
    assert_eq!(to_timeout(Ttl::from_secs(0)), Duration::from_secs(24 * 3600));
    assert_eq!(to_timeout(Ttl::from_secs(5)), Duration::from_secs(5));
}

/// Metrics about the process, and about children, still work while its memory is private.
#[test]
fn process_memory_is_private() {
    assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::Dumpable);
    keep_memory_private();
    assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
    let own = std::process::id();
    let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
    let public = [
        format!("{own}/statm"),
        format!("{own}/task/{own}/children"),
        format!("{}/statm", child.id()),
    ];
    for path in public {
        // Run without root's permission to read everything.
        let mut reader = Command::new("cat");
        if rustix::process::geteuid().is_root() {
            reader = Command::new("setpriv");
            reader.args(["--bounding-set=-all", "--inh-caps=-all", "cat"]);
        }
        let read = reader.arg(format!("/proc/{path}")).output().unwrap();
        assert!(read.status.success(), "{path}: {read:?}");
    }
    child.kill().unwrap();
    child.wait().unwrap();
}
