//! Tests with misbehaving processes. Most are scripts; the one real plug-in is this test binary,
//! run by a script that hides the test harness's output from the host.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use data_encoding::HEXLOWER;
use rustix::process::{Pid, Signal, kill_process_group};
use strongroom_crypto::SystemEntropy;
use strongroom_crypto::digest::sha256;
use strongroom_engine::{
    ClusterInfo, Engine, EngineDescription, EngineError, EngineFactory, EngineRequest,
    EngineResponse, Existence, FoldedPaths, MountContext, MountKind, MountLifetimes, SpecialPaths,
    Storage, StorageBatch, StorageEntry, StorageError, SystemError, SystemView,
};
use strongroom_types::clock::{ManualClock, with_timeout};
use strongroom_types::{Clock, SystemClock, Ttl};

use crate::{Error, LaunchSpec, Options, PluginHost};

/// A host with a plug-in folder.
struct HostFixture {
    root: tempfile::TempDir,
    clock: Arc<dyn Clock>,
    host: PluginHost,
}

const WAIT_LIMIT: Duration = Duration::from_secs(30);

impl HostFixture {
    fn new(clock: impl Clock, start_limit: Duration) -> Self {
        Self::with_trust_file(clock, start_limit, None)
    }

    fn with_trust_file(clock: impl Clock, start_limit: Duration, trust: Option<&str>) -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("plugins")).unwrap();
        set_mode(&root.path().join("plugins"), 0o755);
        let clock: Arc<dyn Clock> = Arc::new(clock);
        let trust_file = trust.map(|text| {
            let path = root.path().join("trust.hcl");
            fs::write(&path, text).unwrap();
            set_mode(&path, 0o644);
            path
        });
        let host = PluginHost::new(Options {
            directory: root.path().join("plugins"),
            copies: root.path().join("copies"),
            sockets: std::env::temp_dir(),
            inherit_env: true,
            allow_scripts: true,
            group_may_write: false,
            trust_file,
            start_limit,
            environment: std::env::vars_os().collect(),
            version: "1.0.0".to_owned(),
            clock: clock.clone(),
            entropy: Arc::new(SystemEntropy),
        });
        Self { root, clock, host }
    }

    /// The file that processes write their marks to.
    fn marks_path(&self) -> PathBuf {
        self.root.path().join("marks")
    }

    fn read_marks(&self) -> Vec<String> {
        let text = fs::read_to_string(self.marks_path()).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn register_script(&self, text: &str) -> LaunchSpec {
        let path = self.root.path().join("plugins/odd");
        fs::write(&path, text).unwrap();
        set_mode(&path, 0o755);
        LaunchSpec {
            name: "odd".to_owned(),
            kind: "secret",
            version: String::new(),
            command: "odd".to_owned(),
            args: Vec::new(),
            env: vec![format!("MARKS={}", self.marks_path().display())],
            sha256: HEXLOWER.encode(&sha256(text.as_bytes())),
        }
    }

    /// Registers a real plug-in. It marks its process ID, and what [`FakeEngine`] does.
    fn register_plugin(&self) -> LaunchSpec {
        let this = std::env::current_exe().unwrap();
        self.register_script(&format!(
            "#!/bin/sh\necho $$ >> \"$MARKS\"\n\
             '{}' --exact tests::plug_in --ignored --nocapture --test-threads=1 | \
             sed -un 's/^.*\\(1|5|unix\\)/\\1/p'\n",
            this.display()
        ))
    }

    fn mount_with(&self, config: &[(&str, &str)]) -> MountContext {
        let config = config.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        MountContext {
            uuid: "one".to_owned(),
            config,
            storage: Arc::new(EmptyBackend),
            system: Arc::new(EmptyBackend),
            clock: self.clock.clone(),
            entropy: Arc::new(SystemEntropy),
        }
    }

    async fn open_engine(&self, spec: &LaunchSpec) -> Result<Arc<dyn Engine>, Error> {
        self.host.open(spec, self.mount_with(&[]), "odd/").await
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Waits for an effect of other processes.
async fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            SystemClock.sleep(Duration::from_millis(5)).await;
        }
    };
    with_timeout(&SystemClock, WAIT_LIMIT, waiting).await.unwrap_or_else(|| panic!("no {what}"));
}

/// Moves the clock until the future is ready: a start whose file is open for writing waits for it.
async fn while_advancing<T>(clock: &ManualClock, future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    loop {
        tokio::select! {
            output = &mut future => return output,
            () = SystemClock.sleep(Duration::from_millis(5)) => {
                clock.advance(Duration::from_millis(1));
            }
        }
    }
}

fn stop_group(group: &str) {
    let group = Pid::from_raw(group.parse().unwrap()).unwrap();
    kill_process_group(group, Signal::STOP).unwrap();
}

fn is_running(pid: &str) -> bool {
    // A zombie doesn't count.
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|state| !state.is_empty() && !state.starts_with('Z'))
}

#[derive(Debug)]
struct EmptyBackend;

#[async_trait]
impl Storage for EmptyBackend {
    async fn get(&self, _: &str) -> Result<Option<StorageEntry>, StorageError> {
        Ok(None)
    }

    async fn list(&self, _: &str, _: Option<&str>, _: usize) -> Result<Vec<String>, StorageError> {
        Ok(Vec::new())
    }

    async fn commit(&self, _: StorageBatch) -> Result<(), StorageError> {
        Err(StorageError::Missing)
    }

    fn is_atomic(&self) -> bool {
        true
    }
}

#[async_trait]
impl SystemView for EmptyBackend {
    async fn lifetimes(&self) -> Result<MountLifetimes, SystemError> {
        Ok(MountLifetimes { default: Ttl::from_secs(1), max: Ttl::from_secs(1) })
    }

    async fn tainted(&self) -> Result<bool, SystemError> {
        Ok(false)
    }

    async fn cluster_info(&self) -> Result<ClusterInfo, SystemError> {
        Ok(ClusterInfo::default())
    }

    async fn server_version(&self) -> Result<String, SystemError> {
        Ok("1.0.0".to_owned())
    }
}

/// The engine that the plug-in process serves.
#[derive(Debug)]
struct FakeEngine(EngineDescription);

fn write_mark(what: &str) {
    use std::io::Write;
    let marks = std::env::var_os("MARKS").unwrap();
    let mut file = fs::OpenOptions::new().append(true).create(true).open(marks).unwrap();
    writeln!(file, "{what}").unwrap();
}

#[derive(Debug)]
struct FakeEngineFactory;

#[async_trait]
impl EngineFactory for FakeEngineFactory {
    fn name(&self) -> &'static str {
        "odd"
    }

    fn version(&self) -> String {
        "v1.0.0".to_owned()
    }

    fn kind(&self) -> MountKind {
        MountKind::Secret
    }

    async fn open(&self, _: MountContext) -> Result<Arc<dyn Engine>, EngineError> {
        write_mark("opened");
        if std::env::var_os("HANG").is_some() {
            std::future::pending::<()>().await;
        }
        Ok(Arc::new(FakeEngine(EngineDescription {
            kind: MountKind::Secret,
            version: self.version(),
            special_paths: SpecialPaths::default(),
            wants_token_hash: false,
            folded_paths: FoldedPaths::Unknown,
            exclusive: false,
        })))
    }
}

#[async_trait]
impl Engine for FakeEngine {
    fn description(&self) -> &EngineDescription {
        &self.0
    }

    async fn initialize(&self) -> Result<(), EngineError> {
        Ok(())
    }

    async fn exists(&self, _: &EngineRequest) -> Result<Existence, EngineError> {
        Ok(Existence::NoCheck)
    }

    async fn handle(&self, _: EngineRequest) -> Result<EngineResponse, EngineError> {
        Ok(EngineResponse::Nothing)
    }

    async fn invalidate(&self, _: &str) {}

    async fn periodic(&self) -> Result<(), EngineError> {
        Ok(())
    }

    async fn close(&self) {
        write_mark("closed");
    }
}

/// Not a test: the script of [`HostFixture::register_plugin`] runs it.
#[test]
#[ignore = "a part of other tests"]
fn plug_in() {
    if std::env::var_os("MARKS").is_some() {
        strongroom_sdk::serve(FakeEngineFactory);
    }
}

#[tokio::test]
async fn a_probe_tells_the_version() {
    let scene = HostFixture::new(SystemClock, WAIT_LIMIT);
    assert_eq!(scene.host.probe(&scene.register_plugin()).await.unwrap(), "v1.0.0");
    assert!(!is_running(&scene.read_marks()[0]));
}

/// It leaves its group, so that killing the group has no effect, and writes nothing.
#[tokio::test]
async fn a_process_outside_its_group_delays_nothing() {
    let scene = HostFixture::new(SystemClock, Duration::from_secs(1));
    let spec = scene.register_script(
        "#!/usr/bin/env python3\n\
         import os, time\n\
         os.setpgid(0, os.getpgid(os.getppid()))\n\
         print(os.getpid(), file=open(os.environ['MARKS'], 'w'), flush=True)\n\
         time.sleep(1000)\n",
    );
    let refused = scene.host.probe(&spec).await.unwrap_err().to_string();
    assert!(refused.contains("no handshake within 1 s"), "{refused}");
    wait_until("end of the silent one", || !is_running(&scene.read_marks()[0])).await;
    scene.host.close().await;
}

#[tokio::test]
async fn what_it_printed_is_in_the_log_and_told_to_who_registers_it() {
    let scene = HostFixture::new(SystemClock, WAIT_LIMIT);
    let spec = scene.register_script("#!/bin/sh\necho 'the password is hunter2' >&2\nexit 3\n");
    let log = LogCapture::default();
    let errors = {
        let _log = tracing::subscriber::set_default(log.clone().subscriber());
        // Another test may have come to the same event just now, without a subscriber.
        tracing::callsite::rebuild_interest_cache();
        [scene.host.probe(&spec).await.unwrap_err(), scene.open_engine(&spec).await.unwrap_err()]
    };
    for error in errors {
        let shown = format!("{error}");
        assert!(shown.contains("it ended (exit status: 3) before it was ready"), "{shown}");
        assert!(!format!("{shown} {error:?}").contains("hunter2"), "{error:?}");
        assert!(error.is_plugin_fault());
        let told = error.explanation();
        assert!(told.contains("its last lines on standard error: the password is"), "{told}");
    }
    let log = log.text();
    let line = log.lines().find(|line| line.contains("a plug-in did not start")).unwrap();
    assert!(line.contains("hunter2"), "{log}");
}

#[tokio::test]
async fn output_in_place_of_the_handshake_is_shown() {
    let scene = HostFixture::new(SystemClock, WAIT_LIMIT);
    let spec = scene.register_script("#!/bin/sh\nprintf 'starting\\033[31m\\n'\nexec sleep 1000\n");
    let error = scene.host.probe(&spec).await.unwrap_err();
    let told = error.explanation();
    assert!(told.contains("the first line that it wrote: \"starting?[31m\""), "{told}");
    assert_eq!(told.matches("is not a handshake").count(), 1, "{told}");
    assert!(!error.to_string().contains("starting"), "{error}");
}

/// The format check passes, since the file begins like a script.
#[tokio::test]
async fn what_the_kernel_refuses_is_not_started() {
    let scene = HostFixture::new(SystemClock, WAIT_LIMIT);
    let spec = scene.register_script("#!/nonexistent/interpreter\necho run >> \"$MARKS\"\n");
    let told = scene.host.probe(&spec).await.unwrap_err().explanation();
    assert!(told.contains("the interpreter or loader that it names is not there"), "{told}");
    assert!(scene.read_marks().is_empty());
}

#[tokio::test]
async fn sr_2026_12_the_environment_is_judged_at_each_launch() {
    let scene = HostFixture::new(SystemClock, WAIT_LIMIT);
    let mut spec = scene.register_plugin();
    spec.env.push("OPENSSL_CONF=/tmp/evil.cnf".to_owned());
    for error in
        [scene.host.probe(&spec).await.unwrap_err(), scene.open_engine(&spec).await.unwrap_err()]
    {
        assert!(error.to_string().contains("OPENSSL_CONF configures"), "{error}");
    }
    assert!(scene.read_marks().is_empty(), "nothing was started");
}

#[tokio::test]
async fn with_a_trust_file_only_what_it_names_is_started() {
    let scene = HostFixture::with_trust_file(SystemClock, WAIT_LIMIT, Some(""));
    let spec = scene.register_plugin();
    let trust = scene.root.path().join("trust.hcl");
    let allow = |settings: &str| {
        fs::write(&trust, format!("plugin \"{}\" {{ {settings} }}", spec.sha256)).unwrap();
    };
    let refusal = async || scene.host.probe(&spec).await.unwrap_err().to_string();
    let said = refusal().await;
    assert!(said.contains("doesn't allow it: it names no plugin"), "{said}");
    allow("");
    let said = refusal().await;
    assert!(said.contains("it does not allow the variable MARKS"), "{said}");
    allow("env = [\"MARKS\"]\n args = [\"-x\"]");
    let said = refusal().await;
    assert!(said.contains("other arguments"), "{said}");
    assert!(scene.read_marks().is_empty(), "nothing was started");
    allow("env = [\"MARKS\"]");
    scene.host.probe(&spec).await.unwrap();
    // A plug-in that is removed from the list does not start again.
    fs::write(&trust, "").unwrap();
    assert!(matches!(scene.open_engine(&spec).await, Err(Error::Untrusted { .. })));
    fs::write(&trust, "plugin {").unwrap();
    assert!(matches!(scene.open_engine(&spec).await, Err(Error::TrustFile { .. })));
    assert!(scene.host.check_trust_file().is_err());
}

#[tokio::test]
async fn paths_of_folders_stay_in_the_log() {
    let scene = HostFixture::new(SystemClock, WAIT_LIMIT);
    let spec = scene.register_script("#!/bin/sh\n");
    set_mode(&scene.root.path().join("plugins"), 0o777);
    let error = scene.open_engine(&spec).await.unwrap_err();
    let (shown, root) = (error.to_string(), scene.root.path().display().to_string());
    assert!(shown.contains("its group or others may write to it"), "{shown}");
    assert!(!shown.contains(&root), "{shown}");
    assert!(!error.is_plugin_fault() && error.details().contains(&root));
}

/// If a plug-in doesn't start, all waiting mounts get the error of one attempt.
#[tokio::test]
async fn a_start_that_fails_fails_for_all_who_waited() {
    let scene = HostFixture::new(SystemClock, WAIT_LIMIT);
    let spec = scene.register_script("#!/bin/sh\necho started >> \"$MARKS\"\nexit 3\n");
    let (one, two, three) =
        tokio::join!(scene.open_engine(&spec), scene.open_engine(&spec), scene.open_engine(&spec));
    for outcome in [one, two, three] {
        assert!(outcome.unwrap_err().to_string().contains("before it was ready"));
    }
    assert_eq!(scene.read_marks(), ["started"]);
    scene.open_engine(&spec).await.unwrap_err();
    assert_eq!(scene.read_marks(), ["started", "started"], "who comes later tries again");
}

/// A waiting caller's start is not begun again when the first caller is dropped.
#[tokio::test]
async fn a_start_goes_on_when_the_first_who_wanted_it_goes() {
    let scene = HostFixture::new(SystemClock, WAIT_LIMIT);
    let spec = scene.register_plugin();
    let mut first = Box::pin(scene.open_engine(&spec));
    let mut second = Box::pin(scene.open_engine(&spec));
    tokio::select! {
        biased;
        _ = &mut first => panic!("it can't be ready yet"),
        _ = &mut second => panic!("it can't be ready yet"),
        () = wait_until("process", || !scene.read_marks().is_empty()) => {}
    }
    drop(first);
    let engine = second.await.unwrap();
    assert_eq!(engine.description().version, "v1.0.0");
    let pids = scene.read_marks().iter().filter(|line| line.parse::<u32>().is_ok()).count();
    assert_eq!(pids, 1, "{:?}", scene.read_marks());
}

#[tokio::test]
async fn a_start_nobody_waits_for_is_given_up() {
    let scene = HostFixture::new(SystemClock, WAIT_LIMIT);
    let spec = scene.register_script("#!/bin/sh\necho $$ >> \"$MARKS\"\nexec sleep 1000\n");
    tokio::select! {
        _ = scene.open_engine(&spec) => panic!("it says nothing"),
        () = wait_until("process", || !scene.read_marks().is_empty()) => {}
    }
    wait_until("end", || !is_running(&scene.read_marks()[0])).await;
}

#[tokio::test]
async fn a_probe_that_is_given_up_leaves_no_process() {
    let scene = HostFixture::new(SystemClock, WAIT_LIMIT);
    let mut spec = scene.register_plugin();
    spec.env.push("HANG=1".to_owned());
    tokio::select! {
        outcome = scene.host.probe(&spec) => panic!("{outcome:?}"),
        // It would exit by itself when its connections are closed.
        () = wait_until("question", || {
            let asked = scene.read_marks().contains(&"opened".to_owned());
            if asked {
                stop_group(&scene.read_marks()[0]);
            }
            asked
        }) => {}
    }
    wait_until("end", || !is_running(&scene.read_marks()[0])).await;
}

/// The process keeps serving another instance, so the host must clean up the dropped one.
#[tokio::test]
async fn an_instance_that_is_dropped_is_cleaned_up() {
    let scene = HostFixture::new(SystemClock, WAIT_LIMIT);
    let spec = scene.register_plugin();
    let (one, two) =
        (scene.open_engine(&spec).await.unwrap(), scene.open_engine(&spec).await.unwrap());
    drop(one);
    let closed = || scene.read_marks().iter().filter(|line| *line == "closed").count();
    wait_until("clean-up", || closed() == 1).await;
    assert!(is_running(&scene.read_marks()[0]));
    two.periodic().await.unwrap();
    two.close().await;
    assert_eq!(closed(), 2);
    assert!(!is_running(&scene.read_marks()[0]));
}

/// It neither exits nor answers, like a process stopped by a debugger.
#[tokio::test]
async fn a_hanging_process_is_replaced() {
    let clock = ManualClock::default();
    let scene = HostFixture::new(clock.clone(), WAIT_LIMIT);
    let spec = scene.register_plugin();
    let engine = while_advancing(&clock, scene.open_engine(&spec)).await.unwrap();
    engine.initialize().await.unwrap();
    let pid = scene.read_marks()[0].clone();
    stop_group(&pid);
    let seconds = AtomicU32::new(0);
    wait_until("end of the one that hangs", || {
        let over = !is_running(&pid);
        if !over {
            clock.advance(Duration::from_secs(1));
            seconds.fetch_add(1, Ordering::Relaxed);
        }
        over
    })
    .await;
    let seconds = seconds.into_inner();
    assert!(seconds > 90, "it is given some time to think: {seconds} s");
    while_advancing(&clock, engine.periodic()).await.unwrap();
    let pids: Vec<_> =
        scene.read_marks().into_iter().filter(|it| it.parse::<u32>().is_ok()).collect();
    assert_eq!(pids.len(), 2);
    scene.host.close().await;
}

#[derive(Clone, Default)]
struct LogCapture(Arc<std::sync::Mutex<Vec<u8>>>);

impl LogCapture {
    fn subscriber(self) -> impl tracing::Subscriber {
        tracing_subscriber::fmt().with_ansi(false).with_writer(move || self.clone()).finish()
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl std::io::Write for LogCapture {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
