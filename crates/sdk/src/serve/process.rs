//! The life of a plug-in process.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use strongroom_crypto::SystemEntropy;
use strongroom_plugin_protocol::broker::PluginBroker;
use strongroom_plugin_protocol::handshake::versions::BACKEND_V5;
use strongroom_plugin_protocol::handshake::{Choice, HandshakeLine, MagicCookie, Offer, env};
use strongroom_plugin_protocol::tasks::Tasks;
use strongroom_plugin_protocol::tls::{Identity, client_config, identity, server_config};
use strongroom_plugin_protocol::transport::{Listener, SocketFolder};
use strongroom_types::{Clock, Entropy, SystemClock};
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;

use super::streams::Streams;
use super::{log, services};
use crate::engine::Factory;
use crate::wire::backend_service::BackendService;

/// Threads that run handlers. Round trips dominate, so more bring nothing; one alone would let a
/// handler that computes hold up health checks.
const WORKERS: usize = 2;
/// How long running calls may take to end when the host says so.
const LAST_CALLS: Duration = Duration::from_secs(1);
/// How often to look whether the host is still there.
const PARENT_CHECK: Duration = Duration::from_secs(2);

pub(super) fn run(
    factory: Arc<dyn Factory>,
    arguments: impl Iterator<Item = String>,
    lookup: impl Fn(&str) -> Option<String> + Copy,
) -> ExitCode {
    if arguments.into_iter().any(|argument| matches!(argument.as_str(), "--version" | "-version")) {
        say(&format!("{} {}", factory.name(), factory.version()));
        return ExitCode::SUCCESS;
    }
    if !MagicCookie::BACKEND.is_present(lookup) {
        complain(&format!(
            "{} is a plug-in for a secrets server and can't be run by hand.\n\
             Register it there: plugin register -sha256=<digest> secret {}",
            factory.name(),
            factory.name()
        ));
        return ExitCode::FAILURE;
    }
    match start(factory, lookup) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

fn start(
    factory: Arc<dyn Factory>,
    lookup: impl Fn(&str) -> Option<String> + Copy,
) -> Result<(), String> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
    let offer = Offer::parse(&lookup(env::PROTOCOL_VERSIONS).unwrap_or_default());
    let choice = Choice::make(&[BACKEND_V5], &offer).ok_or("no protocol version to speak")?;
    let pem = lookup(env::CLIENT_CERT).ok_or(
        "the host did not ask for mutual TLS (AutoMTLS), and this plug-in speaks nothing else",
    )?;
    let host = identity::read_pem(&pem).map_err(|error| error.to_string())?;
    let own = Identity::generate(&*clock, &*entropy).map_err(|error| error.to_string())?;
    let streams = Streams::take_over().map_err(|error| format!("standard streams: {error}"))?;
    log::install(streams.log(), clock.clone());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .max_blocking_threads(16)
        .thread_name("engine")
        .enable_all()
        .build()
        .map_err(|error| format!("the runtime can't be started: {error}"))?;
    let handshake = Handshake { choice, host, own, clock, entropy };
    let folder = lookup(env::UNIX_SOCKET_DIR).filter(|folder| !folder.is_empty());
    let temporary = lookup("TMPDIR").unwrap_or_else(|| "/tmp".to_owned());
    let asked_about_sharing = lookup(env::MULTIPLEX_GRPC).is_some();
    let sockets = Sockets { folder: folder.map(PathBuf::from), temporary: temporary.into() };
    let outcome = runtime.block_on(live(factory, handshake, sockets, streams, asked_about_sharing));
    runtime.shutdown_timeout(LAST_CALLS);
    outcome
}

/// What host and plug-in agreed on.
struct Handshake {
    choice: Choice,
    host: rustls::pki_types::CertificateDer<'static>,
    own: Identity,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

/// Where sockets go.
struct Sockets {
    /// The host's folder for them.
    folder: Option<PathBuf>,
    /// Else a private one is made here.
    temporary: PathBuf,
}

impl Sockets {
    fn bind(&self, entropy: &dyn Entropy) -> Result<Listener, String> {
        let name = format!("plugin{}", entropy.base62(8));
        let bound = match &self.folder {
            Some(folder) => Listener::bind_in(folder, &name),
            None => {
                let folder = SocketFolder::create(&self.temporary, entropy)
                    .map_err(|error| format!("{}: {error}", self.temporary.display()))?;
                Listener::bind(&Arc::new(folder), &name)
            }
        };
        bound.map_err(|error| error.to_string())
    }
}

async fn live(
    factory: Arc<dyn Factory>,
    handshake: Handshake,
    sockets: Sockets,
    streams: Streams,
    asked_about_sharing: bool,
) -> Result<(), String> {
    let tracker = TaskTracker::new();
    let tasks = Tasks::new(tracker.clone(), handshake.clock.clone());
    let text = |error: rustls::Error| error.to_string();
    let server = server_config(&handshake.own, handshake.host.clone()).map_err(text)?;
    let client = client_config(&handshake.own, handshake.host).map_err(text)?;
    let (clock, entropy) = (handshake.clock.clone(), handshake.entropy.clone());
    let backend = BackendService::new(factory, PluginBroker::new(&tasks), client, clock, entropy);
    let shutdown = Arc::new(Notify::new());
    let services = services::all(&backend, shutdown.clone(), streams.printed(), &tasks);
    let listener = sockets.bind(&*handshake.entropy)?;
    let address = listener.address().clone();
    let mut line =
        HandshakeLine::new(handshake.choice.version(), address, handshake.own.certificate());
    if asked_about_sharing {
        line = line.without_broker_sharing();
    }
    streams.announce(&line.to_string()).map_err(|error| format!("the handshake: {error}"))?;
    ignore_interrupts();
    let serving = listener.serve(server, services, &tasks);
    tokio::pin!(serving);
    let reason = tokio::select! {
        () = &mut serving => "the listener ended",
        () = shutdown.notified() => "the host asked for it",
        () = backend.broker().host_gone() => "the host closed its broker",
        () = host_process_gone(&*handshake.clock) => "the host's process is gone",
    };
    tracing::debug!(reason, "the plug-in ends");
    tasks.drain();
    let ends = async {
        backend.close().await;
        serving.await;
    };
    let late = handshake.clock.sleep_until(handshake.clock.now().plus(LAST_CALLS));
    tokio::select! {
        () = ends => {}
        () = late => {}
    }
    tasks.stop();
    Ok(())
}

/// Resolves when this process has another parent than it began with: the host is gone.
async fn host_process_gone(clock: &dyn Clock) {
    let first = rustix::process::getppid();
    while rustix::process::getppid() == first {
        clock.sleep_until(clock.now().plus(PARENT_CHECK)).await;
    }
}

/// An operator's Ctrl-C reaches the whole process group; the host decides what follows.
fn ignore_interrupts() {
    // From here on the signal only wakes a stream that nobody looks at.
    let interrupts = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt());
    if let Err(error) = interrupts {
        tracing::debug!(%error, "interrupts can't be ignored");
    }
}

#[expect(clippy::print_stdout, reason = "the answer to --version, before any protocol")]
fn say(text: &str) {
    println!("{text}");
}

#[expect(clippy::print_stderr, reason = "hosts show what a plug-in says before it ends")]
fn complain(text: &str) {
    eprintln!("{text}");
}
