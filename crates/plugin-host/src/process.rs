//! One plug-in process: from a verified file to a connection.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use strongroom_engine_wire::peer_error_text;
use strongroom_plugin_protocol::broker::HostBroker;
use strongroom_plugin_protocol::generated::health::health_check_response::ServingStatus;
use strongroom_plugin_protocol::generated::multiplexing::MultiplexingSupportRequest;
use strongroom_plugin_protocol::generated::multiplexing::plugin_multiplexing_client::PluginMultiplexingClient;
use strongroom_plugin_protocol::generated::plugin::grpc_stdio_client::GrpcStdioClient;
use strongroom_plugin_protocol::handshake::line::MAX_LINE_BYTES;
use strongroom_plugin_protocol::handshake::{HandshakeLine, HandshakePeer};
use strongroom_plugin_protocol::tasks::TaskGroup;
use strongroom_plugin_protocol::tls::{TlsIdentity, client_config, server_config};
use strongroom_plugin_protocol::transport::{AnySize, Channel, SocketFolder};
use strongroom_telemetry::names;
use strongroom_types::clock::with_timeout;
use strongroom_types::{Clock, Entropy};
use tokio::io::BufReader;
use tokio::net::unix::pipe;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::{Code, Request as Call};

use crate::binary::{BinarySource, PluginBinaries, VerifiedBinary};
use crate::environment::{self, HostEnvironment, ProcessVariables};
use crate::error::{Error, PluginMessage, StartFailure, StartOutput};
use crate::output::{
    LogSource, MountLabels, OUTPUT_DRAIN_TIMEOUT, OutputTail, drain_stdout, next_line, read_log,
};
use crate::process_metrics::ProcessMetrics;
use crate::process_monitor::{
    LivenessHints, ProcessMonitor, SHUTDOWN_TIMEOUT, ask_health, describe_exit,
};
use crate::spawn::{ChildCommand, ChildProcess, spawn};
use crate::spec::LaunchSpec;
use crate::trust::TrustFile;

/// Starts processes, one for each call of [`start`](Self::start). Its fields come from the
/// [`PluginHost`](crate::host::PluginHost).
#[derive(Debug)]
pub struct ProcessLauncher {
    /// The plug-in folder and its private copies, for verifying binaries.
    pub binaries: Arc<PluginBinaries>,
    /// The operator's list of plug-ins that may run, if one is configured.
    pub trust: Option<TrustFile>,
    /// The variables that all processes get.
    pub environment: HostEnvironment,
    /// Where the sockets' folders are created: an absolute path of at most 60 bytes.
    pub sockets: PathBuf,
    /// How long a process may take to write its handshake.
    pub start_limit: Duration,
    /// The clock for all timeouts. Tests replace it.
    pub clock: Arc<dyn Clock>,
    /// The source of randomness for certificates and names. Tests replace it.
    pub entropy: Arc<dyn Entropy>,
    /// Tracks all tasks that the host spawns, so that closing can wait for them.
    pub tracker: TaskTracker,
    /// Cancelled when the host is closed; every process is then shut down.
    pub closing: CancellationToken,
    /// The count and the memory of running processes.
    pub meter: ProcessMetrics,
    /// Limits how many files are hashed at once, so that a hanging file system can't block all
    /// threads of the pool.
    pub read_permits: Arc<Semaphore>,
}

/// A running process. It is shut down when [`stop`](Self::stop) is called or this is dropped.
#[derive(Debug)]
pub struct PluginProcess {
    /// The gRPC connection to the process.
    pub channel: Channel,
    /// Where the host offers services to the instances in the process.
    pub broker: HostBroker,
    /// Whether the process can serve more than one instance.
    pub multiplexes: bool,
    /// The labels of the mounts that it serves.
    pub mounts: Arc<MountLabels>,
    /// Where callers report the outcome of calls to the process monitor.
    pub liveness: LivenessHints,
    pid: u32,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
    exited: CancellationToken,
}

/// How many files may be hashed at the same time. The [`PluginHost`](crate::host::PluginHost)
/// creates its semaphore with this number of permits.
pub const MAX_CONCURRENT_READS: usize = 8;
/// How long a start may take beyond the limit for its handshake. The whole start is aborted after
/// both together.
pub const START_MARGIN: Duration = Duration::from_secs(10);
/// How long each of the first calls to a process may take.
const FIRST_CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// A socket's path has at most 107 bytes; a longer parent leaves no room for the names of the
/// folder and the socket.
const LONGEST_SOCKET_PARENT: usize = 60;
/// How long to wait for the end of a process.
const EXIT_WAIT: Duration = Duration::from_secs(6);

impl PluginProcess {
    /// Resolves when the process has exited or its connection is lost. It resolves at once if that
    /// has happened already.
    pub async fn wait_until_lost(&self) {
        tokio::select! {
            () = self.exited.cancelled() => {}
            () = self.channel.wait_until_lost() => {}
        }
    }

    /// Whether the process was stopped, has exited or lost its connection. Then it takes no more
    /// calls.
    pub fn is_lost(&self) -> bool {
        self.stop.is_cancelled() || self.exited.is_cancelled() || self.channel.is_lost()
    }

    /// The process ID that the operating system assigned. It remains available after the process
    /// has exited, when another process may have it.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Asks the process to shut down; if it doesn't, it is killed after 2 s.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Resolves when the process has exited after [`stop`](Self::stop), and in any case within 6 s:
    /// a process that can't be killed is left behind.
    pub async fn wait_until_ended(&self) {
        // The process monitor logs a process that doesn't exit.
        let _ = with_timeout(&*self.clock, EXIT_WAIT, self.exited.cancelled()).await;
    }
}

impl Drop for PluginProcess {
    fn drop(&mut self) {
        self.stop();
    }
}

impl ProcessLauncher {
    /// Verifies the binary, starts the process and connects to it. The reason of a failure is
    /// logged with the process's output; the error's text contains less, because clients see it.
    ///
    /// Cancel safety: when dropped, a process that was started is killed.
    pub async fn start(
        &self,
        spec: &LaunchSpec,
        source: BinarySource,
    ) -> Result<PluginProcess, Error> {
        if self.closing.is_cancelled() {
            return Err(Error::Closed);
        }
        let tail = OutputTail::default();
        let limit = self.start_limit + START_MARGIN;
        let mut outcome = tokio::select! {
            outcome = with_timeout(&*self.clock, limit, self.try_start(spec, source, &tail)) => {
                outcome.unwrap_or_else(|| Err(start_error(spec, StartFailure::Slow(limit.as_secs()))))
            }
            () = self.closing.cancelled() => return Err(Error::Closed),
        };
        if let Err(Error::Start { evidence, .. }) = &mut outcome {
            *evidence =
                StartOutput { first_line: tail.first_line(), last_lines: tail.last_lines() };
        }
        match &outcome {
            Ok(_) => {
                metrics::counter!(names::PLUGIN_STARTS, "plugin" => spec.display_name())
                    .increment(1);
            }
            Err(error) => {
                tracing::error!(
                    plugin = spec.display_name(),
                    reason = error.details(),
                    first_line = tail.first_line(),
                    wrote = tail.last_lines().join(" / "),
                    "a plug-in did not start"
                );
            }
        }
        outcome
    }

    async fn try_start(
        &self,
        spec: &LaunchSpec,
        source: BinarySource,
        tail: &OutputTail,
    ) -> Result<PluginProcess, Error> {
        spec.check_arguments()?;
        let program = self.verify_registration(spec, source).await?;
        self.launch(spec, program, tail).await
    }

    /// Checks the trust file, the variables and the binary at every start, so that catalog entries
    /// from a restored store are checked as well.
    async fn verify_registration(
        &self,
        spec: &LaunchSpec,
        source: BinarySource,
    ) -> Result<VerifiedBinary, Error> {
        let reading = self.read_permits.clone().acquire_owned().await.map_err(|_| Error::Closed)?;
        let (binaries, trust, asked) = (self.binaries.clone(), self.trust.clone(), spec.clone());
        let verifying = tokio::task::spawn_blocking(move || {
            let _reading = reading;
            let list = trust.map(|file| file.read()).transpose()?;
            let trusted = list.as_ref().map(|list| list.allowing_block(&asked)).transpose()?;
            environment::check_variables(&asked.env, |name| {
                trusted.is_some_and(|trusted| trusted.names_variable(name))
            })?;
            binaries.verify(&asked, source)
        });
        verifying.await.map_err(|_| Error::Closed)?
    }

    async fn launch(
        &self,
        spec: &LaunchSpec,
        program: VerifiedBinary,
        tail: &OutputTail,
    ) -> Result<PluginProcess, Error> {
        let failed = |reason| start_error(spec, reason);
        let identity = TlsIdentity::generate(&*self.clock, &*self.entropy)
            .map_err(|error| failed(error.into()))?;
        let folder = self.socket_folder().map_err(|cause| {
            failed(StartFailure::Sockets { parent: self.sockets.clone(), cause })
        })?;
        let told = ProcessVariables {
            certificate: identity.certificate_pem(),
            socket_folder: folder.path(),
        };
        let VerifiedBinary { file, is_script: keeps_file } = program;
        let words = std::iter::once(&spec.command).chain(&spec.args);
        let execution = ChildCommand {
            file,
            keeps_file,
            arguments: words.map(OsString::from).collect(),
            environment: self.environment.for_process(&spec.env, &told),
        };
        let (mut child, pipes) = spawn(&*self.clock, execution)
            .await
            .map_err(|error| failed(StartFailure::Spawn(error)))?;
        let over = CancellationToken::new();
        let guard = over.clone().drop_guard();
        let mounts = Arc::new(MountLabels::default());
        let speaker =
            || LogSource { plugin: spec.display_name(), pid: child.pid(), mounts: mounts.clone() };
        let log =
            read_log(BufReader::new(pipes.stderr), speaker(), tail.clone(), self.clock.clone());
        let logging = self.until_shortly_after_exit(over.clone(), log);
        let log_ended = self.tracker.spawn(logging);
        let rest_speaker = speaker();
        let mut stdout = BufReader::new(pipes.stdout);
        let tasks = TaskGroup::new(self.tracker.clone(), self.clock.clone());
        let connected = match self.read_handshake(&mut child, &mut stdout, tail).await {
            Ok(peer) => {
                self.tracker.spawn(
                    self.until_shortly_after_exit(over.clone(), drain_stdout(stdout, rest_speaker)),
                );
                self.connect(&peer, &identity, folder, tasks.clone()).await
            }
            Err(reason) => Err(reason),
        };
        let (channel, broker, multiplexes) = match connected {
            Ok(connected) => connected,
            Err(reason) => {
                child.kill();
                tasks.stop();
                // What it still writes explains the failure best.
                let _ = with_timeout(&*self.clock, OUTPUT_DRAIN_TIMEOUT, log_ended).await;
                return Err(failed(reason));
            }
        };
        let process = PluginProcess {
            channel,
            broker,
            multiplexes,
            mounts,
            liveness: LivenessHints::default(),
            pid: child.pid(),
            clock: self.clock.clone(),
            stop: self.closing.child_token(),
            exited: guard.disarm(),
        };
        let keeper = ProcessMonitor {
            title: spec.display_name(),
            child,
            channel: process.channel.clone(),
            liveness: process.liveness.clone(),
            stop: process.stop.clone(),
            exited: process.exited.clone(),
            tasks,
            clock: self.clock.clone(),
            meter: self.meter.clone(),
        };
        self.tracker.spawn(keeper.run());
        Ok(process)
    }

    fn socket_folder(&self) -> std::io::Result<SocketFolder> {
        if self.sockets.as_os_str().len() > LONGEST_SOCKET_PARENT {
            let text = format!("its path is longer than {LONGEST_SOCKET_PARENT} bytes");
            return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, text));
        }
        SocketFolder::create(&self.sockets, &*self.entropy)
    }

    /// Runs `reading` to its end, but only until shortly after the process has exited: a child of
    /// the process may keep its pipes open.
    fn until_shortly_after_exit(
        &self,
        over: CancellationToken,
        reading: impl Future<Output = ()> + Send + 'static,
    ) -> impl Future<Output = ()> + Send + 'static {
        let clock = self.clock.clone();
        async move {
            tokio::select! {
                () = reading => {}
                () = async {
                    over.cancelled().await;
                    clock.sleep(OUTPUT_DRAIN_TIMEOUT).await;
                } => {}
            }
        }
    }

    async fn read_handshake(
        &self,
        child: &mut ChildProcess,
        stdout: &mut BufReader<pipe::Receiver>,
        tail: &OutputTail,
    ) -> Result<HandshakePeer, StartFailure> {
        let mut line = Vec::new();
        let limit = self.start_limit;
        // One byte more than allowed, so that a line that is too long is recognized.
        let reading = next_line(stdout, &mut line, MAX_LINE_BYTES + 1);
        let read = with_timeout(&*self.clock, limit, reading).await;
        match read {
            None => {
                // It may have written part of a line.
                tail.keep_first_line(&String::from_utf8_lossy(&line));
                return Err(StartFailure::Silent(limit.as_secs()));
            }
            Some(Ok(true)) => {}
            Some(Ok(false) | Err(_)) => {
                // The output was closed, so the process is exiting.
                let ended = with_timeout(&*self.clock, SHUTDOWN_TIMEOUT, child.wait()).await;
                return Err(StartFailure::Ended(describe_exit(ended.and_then(Result::ok))));
            }
        }
        let line = String::from_utf8_lossy(&line);
        let parsed = line.parse::<HandshakeLine>();
        let judged = parsed.and_then(|line| line.under_auto_mtls(&environment::offered_versions()));
        judged.map_err(|error| {
            tail.keep_first_line(&line);
            StartFailure::Handshake(error)
        })
    }

    /// Connects in the order that plug-ins expect: first the broker's stream, then standard output,
    /// then calls.
    async fn connect(
        &self,
        peer: &HandshakePeer,
        identity: &TlsIdentity,
        folder: SocketFolder,
        tasks: TaskGroup,
    ) -> Result<(Channel, HostBroker, bool), StartFailure> {
        let client = client_config(identity, peer.certificate.clone())?;
        let server = server_config(identity, peer.certificate.clone())?;
        let channel = Channel::connect(&peer.address, client, &tasks).await?;
        let broker = HostBroker::open(&channel, Arc::new(folder), server, &tasks);
        self.tracker.spawn(drain_stdio(channel.clone()));
        match ask_health(&channel, FIRST_CALL_TIMEOUT).await {
            Ok(status) if status == ServingStatus::Serving as i32 => {}
            Ok(status) => return Err(unhealthy(format!("it answers status {status}"))),
            Err(status) => return Err(unhealthy(peer_error_text(&status))),
        }
        let multiplexes = ask_multiplexing(&channel).await?;
        Ok((channel, broker, multiplexes))
    }
}

fn start_error(spec: &LaunchSpec, reason: StartFailure) -> Error {
    // The caller adds the output once the process has exited.
    let evidence = StartOutput::default();
    Error::Start { plugin: spec.display_name(), reason: Arc::new(reason), evidence }
}

fn unhealthy(answer: String) -> StartFailure {
    StartFailure::Health(PluginMessage(answer))
}

async fn ask_multiplexing(channel: &Channel) -> Result<bool, StartFailure> {
    let mut call = Call::new(MultiplexingSupportRequest {});
    call.set_timeout(FIRST_CALL_TIMEOUT);
    let client = PluginMultiplexingClient::new(channel.clone()).any_size();
    match { client }.multiplexing_support(call).await {
        Ok(reply) => Ok(reply.get_ref().supported),
        Err(status) if status.code() == Code::Unimplemented => Ok(false),
        Err(status) => Err(unhealthy(peer_error_text(&status))),
    }
}

/// Reads and discards what the plug-in's code prints, so that it never blocks on a full stream.
async fn drain_stdio(channel: Channel) {
    let mut client = GrpcStdioClient::new(channel).any_size();
    // Old plug-ins lack this service; whatever ends the stream ends the task.
    let Ok(stream) = client.stream_stdio(()).await else { return };
    let mut stream = stream.into_inner();
    while let Ok(Some(_)) = stream.message().await {}
}

#[cfg(test)]
mod tests {
    use strongroom_types::clock::ManualClock;
    use strongroom_types::entropy::SeededEntropy;

    use super::*;
    use crate::kept_copies::KeptCopies;

    fn test_launcher(clock: &ManualClock, reading: usize) -> ProcessLauncher {
        let entropy = Arc::new(SeededEntropy::new(1));
        ProcessLauncher {
            binaries: Arc::new(PluginBinaries {
                directory: "/nonexistent".into(),
                copies: "/nonexistent/copies".into(),
                allow_scripts: false,
                group_may_write: false,
                entropy: entropy.clone(),
                kept_copies: KeptCopies::default(),
            }),
            trust: None,
            environment: HostEnvironment::default(),
            sockets: std::env::temp_dir(),
            start_limit: Duration::from_secs(60),
            clock: Arc::new(clock.clone()),
            entropy,
            tracker: TaskTracker::new(),
            closing: CancellationToken::new(),
            meter: ProcessMetrics::default(),
            read_permits: Arc::new(Semaphore::new(reading)),
        }
    }

    fn test_spec() -> LaunchSpec {
        LaunchSpec {
            name: "custom".to_owned(),
            kind: "secret",
            version: String::new(),
            command: "custom".to_owned(),
            args: Vec::new(),
            env: Vec::new(),
            sha256: "00".repeat(32),
        }
    }

    /// Hashing never begins, as on a file system that hangs.
    #[tokio::test]
    async fn no_step_of_a_start_takes_for_ever() {
        let clock = ManualClock::default();
        let (launcher, spec) = (test_launcher(&clock, 0), test_spec());
        let starting = launcher.start(&spec, BinarySource::AnyCopy);
        let (started, ()) = tokio::join!(starting, async {
            clock.advance(Duration::from_secs(60) + START_MARGIN);
        });
        let error = started.unwrap_err();
        assert!(error.to_string().contains("it was not ready within 70 s"), "{error}");
        assert!(!error.is_plugin_fault());
    }

    #[test]
    fn a_folder_too_deep_for_sockets_says_so() {
        let mut launcher = test_launcher(&ManualClock::default(), 1);
        launcher.sockets = format!("/{}", "x".repeat(LONGEST_SOCKET_PARENT)).into();
        let error = launcher.socket_folder().unwrap_err().to_string();
        assert_eq!(error, "its path is longer than 60 bytes");
    }

    #[tokio::test]
    async fn nothing_is_started_while_the_host_closes() {
        let launcher = test_launcher(&ManualClock::default(), 0);
        let spec = test_spec();
        let starting = launcher.start(&spec, BinarySource::AnyCopy);
        let (started, ()) = tokio::join!(starting, async { launcher.closing.cancel() });
        assert!(matches!(started, Err(Error::Closed)));
        let again = launcher.start(&spec, BinarySource::AnyCopy).await;
        assert!(matches!(again, Err(Error::Closed)));
    }
}
