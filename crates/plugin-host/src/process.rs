//! One plug-in process: from a file to a connection, and the watch over its life.

use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::sync::Arc;
use std::time::Duration;

use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use strongroom_plugin_protocol::broker::HostBroker;
use strongroom_plugin_protocol::generated::health::HealthCheckRequest;
use strongroom_plugin_protocol::generated::health::health_check_response::ServingStatus;
use strongroom_plugin_protocol::generated::health::health_client::HealthClient;
use strongroom_plugin_protocol::generated::multiplexing::MultiplexingSupportRequest;
use strongroom_plugin_protocol::generated::multiplexing::plugin_multiplexing_client::PluginMultiplexingClient;
use strongroom_plugin_protocol::generated::plugin::Empty;
use strongroom_plugin_protocol::generated::plugin::grpc_controller_client::GrpcControllerClient;
use strongroom_plugin_protocol::generated::plugin::grpc_stdio_client::GrpcStdioClient;
use strongroom_plugin_protocol::handshake::line::MAX_LINE_BYTES;
use strongroom_plugin_protocol::handshake::{HandshakeLine, Peer};
use strongroom_plugin_protocol::tasks::Tasks;
use strongroom_plugin_protocol::tls::{Identity, client_config, server_config};
use strongroom_plugin_protocol::transport::{AnySize, Channel, SocketFolder};
use strongroom_telemetry::names;
use strongroom_types::{Clock, Entropy};
use tokio::io::BufReader;
use tokio::net::unix::pipe;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::{Code, Request as Call};

use crate::binary::{Binaries, Program, Source};
use crate::environment::{self, HostEnvironment, Told};
use crate::error::{Error, StartFailure};
use crate::meter::Meter;
use crate::output::{AFTER_THE_END, Labels, Speaker, Tail, next_line, read_log, read_rest};
use crate::spawn::{Running, spawn};
use crate::spec::Spec;
use crate::within;

/// Starts processes.
#[derive(Debug)]
pub struct Launcher {
    /// What may be run.
    pub binaries: Arc<Binaries>,
    /// What is passed on.
    pub environment: HostEnvironment,
    /// Where folders of sockets are made: an absolute path, and short.
    pub sockets: PathBuf,
    /// How long a process may take to write its handshake.
    pub start_limit: Duration,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub entropy: Arc<dyn Entropy>,
    /// Owner of all tasks.
    pub tracker: TaskTracker,
    /// Ends all processes.
    pub closing: CancellationToken,
    /// Figures of running processes.
    pub meter: Meter,
}

/// A running process. It is shut down when [`stop`](Self::stop) is called.
#[derive(Debug)]
pub struct Process {
    /// The connection.
    pub channel: Channel,
    /// Where services are offered to its instances.
    pub broker: HostBroker,
    /// Whether it can serve more than one instance.
    pub multiplexes: bool,
    /// The mounts it serves.
    pub mounts: Arc<Labels>,
    /// How its standard error ends.
    pub tail: Tail,
    pid: u32,
    stop: CancellationToken,
    over: CancellationToken,
}

/// How long a process may take to end after it was asked to, before it is killed.
const GRACE: Duration = Duration::from_secs(2);
/// How long the first questions may take.
const QUESTION: Duration = Duration::from_secs(10);
/// How often memory is looked at.
const MEASURE: Duration = Duration::from_secs(15);

impl Process {
    /// Resolves when the process has ended, or can't be talked to any more.
    pub async fn lost(&self) {
        tokio::select! {
            () = self.over.cancelled() => {}
            () = self.channel.lost() => {}
        }
    }

    /// Whether there is no talking to it any more.
    pub fn is_lost(&self) -> bool {
        self.stop.is_cancelled() || self.over.is_cancelled() || self.channel.is_lost()
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.pid
    }

    /// Asks it to end; it is killed if it doesn't.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Resolves when it has ended. Comes true after [`stop`](Self::stop), within a few seconds.
    pub async fn ended(&self) {
        self.over.cancelled().await;
    }
}

impl Launcher {
    /// Verifies, starts and connects.
    ///
    /// Cancel safety: when dropped, a process that was started is killed.
    pub async fn start(&self, spec: &Spec, source: Source) -> Result<Process, Error> {
        if self.closing.is_cancelled() {
            return Err(Error::Closed);
        }
        environment::check(&spec.env)?;
        let program = self.verify(spec, source).await?;
        let tail = Tail::default();
        let started = tokio::select! {
            started = self.launch(spec, program, &tail) => started?,
            () = self.closing.cancelled() => return Err(Error::Closed),
        };
        metrics::counter!(names::PLUGIN_STARTS, "plugin" => spec.title()).increment(1);
        Ok(started)
    }

    async fn verify(&self, spec: &Spec, source: Source) -> Result<Program, Error> {
        let (binaries, asked) = (self.binaries.clone(), spec.clone());
        let verifying = tokio::task::spawn_blocking(move || binaries.verify(&asked, source));
        verifying.await.map_err(|_| Error::Closed)?
    }

    async fn launch(&self, spec: &Spec, program: Program, tail: &Tail) -> Result<Process, Error> {
        let failed =
            |reason| Error::Start { plugin: spec.title(), reason, last_words: tail.last_words() };
        let identity = Identity::generate(&*self.clock, &*self.entropy)
            .map_err(|error| failed(error.into()))?;
        let folder = SocketFolder::create(&self.sockets, &*self.entropy)
            .map_err(|error| failed(StartFailure::Prepare(error)))?;
        let told = Told { certificate: identity.certificate_pem(), socket_folder: folder.path() };
        let (command, held) = command(spec, program);
        let mut command = command;
        command.env_clear().envs(self.environment.of_process(&spec.env, &told)?);
        command.current_dir("/");
        let (mut child, pipes) =
            spawn(command).await.map_err(|error| failed(StartFailure::Spawn(error)))?;
        drop(held);
        let over = CancellationToken::new();
        let guard = over.clone().drop_guard();
        let mounts = Arc::new(Labels::default());
        let speaker = || Speaker { plugin: spec.title(), pid: child.id(), mounts: mounts.clone() };
        let log =
            read_log(BufReader::new(pipes.stderr), speaker(), tail.clone(), self.clock.clone());
        let logging = self.until_after(over.clone(), log);
        let log_ended = self.tracker.spawn(logging);
        let rest_speaker = speaker();
        let mut stdout = BufReader::new(pipes.stdout);
        let peer = match self.handshake(&mut child, &mut stdout).await {
            Ok(peer) => peer,
            Err(reason) => {
                child.kill();
                // What it still had to say explains more than we can.
                let _ = within(&*self.clock, AFTER_THE_END, log_ended).await;
                return Err(failed(reason));
            }
        };
        self.tracker.spawn(self.until_after(over.clone(), read_rest(stdout, rest_speaker)));
        let tasks = Tasks::new(self.tracker.clone(), self.clock.clone());
        let stopping = tasks.clone();
        let connected = self.connect(&peer, &identity, folder, tasks).await;
        let (channel, broker, multiplexes) = match connected {
            Ok(connected) => connected,
            Err(reason) => {
                stopping.stop();
                return Err(failed(reason));
            }
        };
        let process = Process {
            channel,
            broker,
            multiplexes,
            mounts,
            tail: tail.clone(),
            pid: child.id(),
            stop: self.closing.child_token(),
            over: guard.disarm(),
        };
        let keeper = Keeper {
            title: spec.title(),
            child,
            channel: process.channel.clone(),
            stop: process.stop.clone(),
            over: process.over.clone(),
            tasks: stopping,
            clock: self.clock.clone(),
            meter: self.meter.clone(),
        };
        self.tracker.spawn(keeper.keep());
        Ok(process)
    }

    /// Runs `reading` to its end, or until shortly after the process has ended: somebody else may
    /// hold its pipes open.
    fn until_after(
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
                    clock.sleep_until(clock.now().plus(AFTER_THE_END)).await;
                } => {}
            }
        }
    }

    async fn handshake(
        &self,
        child: &mut Running,
        stdout: &mut BufReader<pipe::Receiver>,
    ) -> Result<Peer, StartFailure> {
        let mut line = Vec::new();
        let limit = self.start_limit;
        // One byte more than is allowed, so that too much is seen as such.
        let reading = next_line(stdout, &mut line, MAX_LINE_BYTES + 1);
        let read = within(&*self.clock, limit, reading).await;
        match read {
            None => return Err(StartFailure::Silent(limit.as_secs())),
            Some(Ok(true)) => {}
            Some(Ok(false) | Err(_)) => {
                // Its output ended, so it is ending.
                let ended = within(&*self.clock, GRACE, child.ended()).await;
                return Err(StartFailure::Ended(describe_end(ended.and_then(Result::ok))));
            }
        }
        let line = String::from_utf8_lossy(&line);
        let parsed: HandshakeLine = line.parse()?;
        Ok(parsed.under_auto_mtls(&environment::offer())?)
    }

    /// Connects in the order that plug-ins expect: the broker's stream, standard output, and then
    /// questions.
    async fn connect(
        &self,
        peer: &Peer,
        identity: &Identity,
        folder: SocketFolder,
        tasks: Tasks,
    ) -> Result<(Channel, HostBroker, bool), StartFailure> {
        let tls = |error: rustls::Error| StartFailure::Tls(error.to_string());
        let client = client_config(identity, peer.certificate.clone()).map_err(tls)?;
        let server = server_config(identity, peer.certificate.clone()).map_err(tls)?;
        let channel = Channel::connect(&peer.address, client, &tasks).await?;
        let broker = HostBroker::open(&channel, Arc::new(folder), server, &tasks);
        self.tracker.spawn(drain_prints(channel.clone()));
        self.check_health(&channel).await?;
        let multiplexes = ask_multiplexing(&channel).await?;
        Ok((channel, broker, multiplexes))
    }

    async fn check_health(&self, channel: &Channel) -> Result<(), StartFailure> {
        let mut call = Call::new(HealthCheckRequest { service: "plugin".to_owned() });
        call.set_timeout(QUESTION);
        let reply = HealthClient::new(channel.clone()).any_size().check(call).await;
        match reply {
            Ok(reply) if reply.get_ref().status == ServingStatus::Serving as i32 => Ok(()),
            Ok(reply) => {
                Err(StartFailure::Health(format!("it answers status {}", reply.get_ref().status)))
            }
            Err(status) => Err(StartFailure::Health(status.message().to_owned())),
        }
    }
}

/// The command, and the descriptor it needs until it is started.
fn command(spec: &Spec, program: Program) -> (Command, Option<OwnedFd>) {
    let (mut command, held) = match program {
        Program::Copy(path) => (Command::new(path), None),
        // The system opens it before it closes what children don't get.
        Program::Descriptor(file) => {
            (Command::new(format!("/proc/self/fd/{}", file.as_raw_fd())), Some(file))
        }
    };
    command.arg0(&spec.command).args(&spec.args);
    (command, held)
}

async fn ask_multiplexing(channel: &Channel) -> Result<bool, StartFailure> {
    let mut call = Call::new(MultiplexingSupportRequest {});
    call.set_timeout(QUESTION);
    let client = PluginMultiplexingClient::new(channel.clone()).any_size();
    match { client }.multiplexing_support(call).await {
        Ok(reply) => Ok(reply.get_ref().supported),
        Err(status) if status.code() == Code::Unimplemented => Ok(false),
        Err(status) => Err(StartFailure::Health(status.message().to_owned())),
    }
}

/// Takes what the plug-in's code prints, so that it doesn't wait for us, and drops it.
async fn drain_prints(channel: Channel) {
    let mut client = GrpcStdioClient::new(channel).any_size();
    // Old plug-ins don't have it; any end is an end.
    let Ok(stream) = client.stream_stdio(()).await else { return };
    let mut stream = stream.into_inner();
    while let Ok(Some(_)) = stream.message().await {}
}

/// Watches one process to its end.
struct Keeper {
    title: String,
    child: Running,
    channel: Channel,
    stop: CancellationToken,
    over: CancellationToken,
    tasks: Tasks,
    clock: Arc<dyn Clock>,
    meter: Meter,
}

impl Keeper {
    async fn keep(mut self) {
        let pid = self.child.id();
        // Whatever ends this task, nobody waits for the process any more.
        let _over = self.over.clone().drop_guard();
        let _counted = self.meter.count(&self.title, pid);
        tracing::info!(plugin = self.title, pid, "a plug-in process was started");
        let end = loop {
            tokio::select! {
                end = self.child.ended() => break Some(end),
                () = self.channel.lost() => break None,
                () = self.stop.cancelled() => break None,
                () = self.clock.sleep_until(self.clock.now().plus(MEASURE)) => {
                    self.meter.measure(&self.title, pid);
                }
            }
        };
        let asked = self.stop.is_cancelled();
        let end = match end {
            Some(end) => end.ok(),
            None => self.shut_down().await,
        };
        self.tasks.stop();
        let end = describe_end(end);
        if asked {
            tracing::info!(plugin = self.title, pid, end, "a plug-in process was ended");
        } else {
            metrics::counter!(names::PLUGIN_CRASHES, "plugin" => self.title.clone()).increment(1);
            tracing::error!(plugin = self.title, pid, end, "a plug-in process ended by itself");
        }
    }

    async fn shut_down(&mut self) -> Option<ExitStatus> {
        let mut client = GrpcControllerClient::new(self.channel.clone()).any_size();
        let mut call = Call::new(Empty {});
        call.set_timeout(GRACE);
        let end = {
            // It usually ends within the call, which then fails: every outcome is fine.
            let asking = async { drop(client.shutdown(call).await) };
            let ending = within(&*self.clock, GRACE, self.child.ended());
            tokio::join!(asking, ending).1
        };
        match end {
            Some(end) => end.ok(),
            None => {
                tracing::warn!(
                    plugin = self.title,
                    pid = self.child.id(),
                    "a plug-in process did not end within {} s and is killed",
                    GRACE.as_secs()
                );
                self.child.kill();
                self.child.ended().await.ok()
            }
        }
    }
}

fn describe_end(end: Option<ExitStatus>) -> String {
    end.map_or_else(|| "no exit status".to_owned(), |status| status.to_string())
}
