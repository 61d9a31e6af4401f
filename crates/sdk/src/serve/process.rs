//! Start, run and shutdown of a plug-in process.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use strongroom_crypto::SystemEntropy;
use strongroom_engine::EngineFactory;
use strongroom_engine_wire::BackendService;
use strongroom_plugin_protocol::broker::PluginBroker;
use strongroom_plugin_protocol::handshake::{MagicCookie, env};
use strongroom_plugin_protocol::tasks::TaskGroup;
use strongroom_plugin_protocol::transport::{PluginListener, SocketFolder};
use strongroom_types::{Clock, Entropy, SystemClock};
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;

use super::host_link::{HandshakeRequest, HostLink};
use super::standard_streams::StandardStreams;
use super::{log, services};

/// The number of threads that run handlers. Calls mostly wait for the network, so more would not
/// help; a single one would let a handler that computes delay health checks.
const WORKER_THREADS: usize = 2;
/// How long running calls may take to finish after the host requested the shutdown.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(1);
/// How often to check whether the host process still exists.
const PARENT_CHECK_INTERVAL: Duration = Duration::from_secs(2);

pub(super) fn run(
    factory: Arc<dyn EngineFactory>,
    arguments: impl Iterator<Item = String>,
    lookup: impl Fn(&str) -> Option<String> + Copy,
) -> ExitCode {
    let arguments: Vec<_> = arguments.collect();
    if arguments.iter().any(|argument| matches!(argument.as_str(), "--version" | "-version")) {
        print_line(&format!("{} {}", factory.name(), factory.version()));
        return ExitCode::SUCCESS;
    }
    if !MagicCookie::BACKEND.is_present(lookup) {
        print_error(&format!(
            "{} is a plug-in for a secrets server and can't be run by hand.\n\
             Register it there: plugin register -sha256=<digest> secret {}",
            factory.name(),
            factory.name()
        ));
        return ExitCode::FAILURE;
    }
    match start(factory, &arguments, lookup) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            print_error(&error);
            ExitCode::FAILURE
        }
    }
}

fn start(
    factory: Arc<dyn EngineFactory>,
    arguments: &[String],
    lookup: impl Fn(&str) -> Option<String> + Copy,
) -> Result<(), String> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
    let wishes = HandshakeRequest::read(arguments, lookup)?;
    let streams =
        StandardStreams::redirect_stdout().map_err(|error| format!("standard streams: {error}"))?;
    log::install_subscriber(streams.log_file(), clock.clone());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKER_THREADS)
        .max_blocking_threads(16)
        .thread_name("engine")
        .enable_all()
        .build()
        .map_err(|error| format!("the runtime can't be started: {error}"))?;
    let folder = lookup(env::UNIX_SOCKET_DIR).filter(|folder| !folder.is_empty());
    let temporary = lookup("TMPDIR").unwrap_or_else(|| "/tmp".to_owned());
    let sockets = SocketLocation { folder: folder.map(PathBuf::from), temporary: temporary.into() };
    let outcome = runtime.block_on(async {
        let link = HostLink::negotiate(wishes, &clock, &entropy).await?;
        serve_until_shutdown(factory, link, sockets, streams, clock, entropy).await
    });
    runtime.shutdown_timeout(SHUTDOWN_GRACE);
    outcome
}

/// Where the process creates its sockets.
struct SocketLocation {
    /// The folder that the host provides for sockets.
    folder: Option<PathBuf>,
    /// Otherwise a private folder is created here.
    temporary: PathBuf,
}

impl SocketLocation {
    fn bind(&self, entropy: &dyn Entropy) -> Result<PluginListener, String> {
        let name = format!("plugin{}", entropy.base62(8));
        let bound = match &self.folder {
            Some(folder) => PluginListener::bind_in(folder, &name),
            None => {
                let folder = SocketFolder::create(&self.temporary, entropy)
                    .map_err(|error| format!("{}: {error}", self.temporary.display()))?;
                PluginListener::bind(&Arc::new(folder), &name)
            }
        };
        bound.map_err(|error| error.to_string())
    }
}

async fn serve_until_shutdown(
    factory: Arc<dyn EngineFactory>,
    link: HostLink,
    sockets: SocketLocation,
    streams: StandardStreams,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
) -> Result<(), String> {
    let tasks = TaskGroup::new(TaskTracker::new(), clock.clone());
    let listener = sockets.bind(&*entropy)?;
    let line = link.handshake_line(listener.address().clone());
    let broker = PluginBroker::new(&tasks);
    let backend = BackendService::new(factory, broker, link.client, clock.clone(), entropy);
    let shutdown = Arc::new(Notify::new());
    let services = services::services_for(
        link.terms,
        &backend,
        shutdown.clone(),
        streams.printed_chunks(),
        &tasks,
    );
    streams
        .write_handshake_line(&line.to_string())
        .map_err(|error| format!("the handshake: {error}"))?;
    ignore_interrupts();
    let serving = listener.serve(link.server, services, &tasks);
    tokio::pin!(serving);
    let reason = tokio::select! {
        () = &mut serving => "the listener ended",
        () = shutdown.notified() => "the host asked for it",
        () = backend.broker().host_gone() => "the host closed its broker",
        () = host_process_gone(&*clock) => "the host's process is gone",
    };
    tracing::debug!(reason, "the plug-in ends");
    tasks.drain();
    let ends = async {
        backend.close().await;
        serving.await;
    };
    let late = clock.sleep(SHUTDOWN_GRACE);
    tokio::select! {
        () = ends => {}
        () = late => {}
    }
    tasks.stop();
    Ok(())
}

/// Resolves when the parent process has changed, which means that the host has exited.
async fn host_process_gone(clock: &dyn Clock) {
    let first = rustix::process::getppid();
    while rustix::process::getppid() == first {
        clock.sleep(PARENT_CHECK_INTERVAL).await;
    }
}

/// Ignores SIGINT: Ctrl-C is sent to the whole process group, and the host decides what follows.
fn ignore_interrupts() {
    // From here on the signal only wakes a stream that is never read.
    let interrupts = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt());
    if let Err(error) = interrupts {
        tracing::debug!(%error, "interrupts can't be ignored");
    }
}

#[expect(clippy::print_stdout, reason = "the answer to --version, before any protocol")]
fn print_line(text: &str) {
    println!("{text}");
}

#[expect(clippy::print_stderr, reason = "hosts show what a plug-in says before it ends")]
fn print_error(text: &str) {
    eprintln!("{text}");
}
