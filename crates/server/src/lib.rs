//! The composition root: it alone sees core, HTTP, plug-in host, engines and stores, and wires them.
//!
//! - [`Server::start`]: from a configuration to a running server; [`Running`] is its handle
//! - [`store`]: the physical store, measured
//! - [`plugins`]: linked-in engines and plug-in processes, as the core wants them
//! - [`tls`]: certificates from files, which can change while the server runs
//! - [`dev`]: what `-dev` does after the start

pub mod dev;
pub mod plugins;
mod store;
mod tls;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use strongroom_config::{Config, ListenerConfig};
use strongroom_core::{Core, Parts, Settings};
use strongroom_http::{Bodies, Limits, Listener, Timeouts, TlsSource, descriptors};
use strongroom_sdk::engine::Lifetimes;
use strongroom_telemetry::Exporter;
use strongroom_types::{Clock, Entropy, Ttl};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::plugins::Engines;
use crate::store::Store;
use crate::tls::TlsFromFiles;

/// What a server is made with.
#[derive(Clone)]
pub struct Options {
    /// The configuration.
    pub config: Config,
    /// The server's version, as clients parse it.
    pub version: String,
    /// When this build was made; empty if unknown.
    pub build_date: String,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub entropy: Arc<dyn Entropy>,
    /// Where metrics are rendered.
    pub exporter: Exporter,
}

/// Why a server doesn't start. The message is for the operator.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The store.
    #[error("the storage can't be opened: {0}")]
    Storage(#[from] strongroom_storage::Error),
    /// A listener's address.
    #[error("can't listen on {address}: {reason}")]
    Listen {
        /// As configured.
        address: String,
        /// What the system says.
        reason: std::io::Error,
    },
    /// A listener's certificate.
    #[error("the TLS files of the listener on {address} can't be used: {reason}")]
    Tls {
        /// As configured.
        address: String,
        /// What is wrong with them.
        reason: String,
    },
}

/// Starts servers.
#[derive(Debug)]
pub struct Server;

/// A running server.
pub struct Running {
    core: Core,
    addresses: Vec<SocketAddr>,
    certificates: Vec<Arc<TlsFromFiles>>,
    store: Store,
    engines: Arc<Engines>,
    allows_scripts: bool,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// How often metrics are folded.
const FOLD: Duration = Duration::from_secs(5);
/// What a timeout of zero stands for.
const NO_TIMEOUT: Ttl = Ttl::from_secs(24 * 3600);
const DEFAULT_LEASE: Ttl = Ttl::from_secs(768 * 3600);

impl Server {
    /// From here on the memory of this process is closed to others of its user, and no core is
    /// dumped.
    ///
    /// Opens the store, binds all listeners and serves. The server is sealed; a listener that can't
    /// be bound, or a store that can't be opened, stops the start before anything is served.
    pub async fn start(options: Options) -> Result<Running, StartError> {
        keep_memory_private();
        let config = &options.config;
        let store = Store::open(&config.storage)?;
        let files = descriptors::raise();
        let mut bound = Vec::new();
        let mut certificates = Vec::new();
        for listener in &config.listeners {
            let tls = match &listener.tls {
                None => None,
                Some(files) => {
                    let source = TlsFromFiles::load(files.clone()).map_err(|reason| {
                        StartError::Tls { address: listener.address.clone(), reason }
                    })?;
                    let source = Arc::new(source);
                    certificates.push(source.clone());
                    Some(source as Arc<dyn TlsSource>)
                }
            };
            let limits = limits(listener, files, config.listeners.len());
            bound.push(bind(listener, tls, limits).await?);
        }
        let engines = Arc::new(Engines::new(&options));
        let parts = Parts {
            physical: store.measured(),
            plugins: engines.clone(),
            clock: options.clock.clone(),
            entropy: options.entropy.clone(),
            exporter: options.exporter.clone(),
        };
        let core = Core::new(parts, settings(&options));
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let mut addresses = Vec::new();
        for listener in bound {
            addresses.extend(listener.address());
            tasks.spawn(listener.serve(core.clone(), stop.clone()));
        }
        let (exporter, folding, clock) = (options.exporter, stop.clone(), options.clock);
        tasks.spawn(async move {
            loop {
                tokio::select! {
                    () = clock.sleep(FOLD) => exporter.fold(),
                    () = folding.cancelled() => return,
                }
            }
        });
        tasks.close();
        let allows_scripts = options.config.plugin.allow_scripts;
        Ok(Running { core, addresses, certificates, store, engines, allows_scripts, stop, tasks })
    }
}

impl Running {
    /// The core, for what has no HTTP form.
    pub fn core(&self) -> &Core {
        &self.core
    }

    /// Where it listens, in the order of the configuration.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Whether plug-ins may be something else than ELF.
    pub(crate) fn allows_scripts(&self) -> bool {
        self.allows_scripts
    }

    /// Reads certificates again; one that can't be used is reported and the old one stays.
    pub fn reload_certificates(&self) {
        for source in &self.certificates {
            if let Err(error) = source.reload() {
                tracing::error!(error, "a certificate could not be reloaded; the old one stays");
            }
        }
    }

    /// Takes no more connections, lets requests being answered finish, seals, and closes the store.
    pub async fn stop(self) {
        self.stop.cancel();
        self.tasks.wait().await;
        if let Err(error) = self.core.seal().await {
            tracing::warn!(%error, "the server could not be sealed in order");
        }
        self.engines.close().await;
        self.store.close().await;
    }
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

/// The keys are in it. Plug-ins run as the same user: without this they could read it (ptrace(2),
/// `/proc/<pid>/mem`), unless the machine forbids that anyway. What is world-readable in `/proc`
/// stays so. A program that is started begins with memory of its own, open as usual.
fn keep_memory_private() {
    use rustix::process::{DumpableBehavior, set_dumpable_behavior};
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        tracing::warn!(%error, "other processes of this user may read the server's memory");
    }
}

async fn bind(
    config: &ListenerConfig,
    tls: Option<Arc<dyn TlsSource>>,
    limits: Limits,
) -> Result<Listener, StartError> {
    let failed = |reason| StartError::Listen { address: config.address.clone(), reason };
    let socket = TcpListener::bind(&config.address).await.map_err(failed)?;
    Ok(Listener::new(socket, tls, limits))
}

fn limits(config: &ListenerConfig, files: usize, listeners: usize) -> Limits {
    // As long as that is as good as for ever, and every clock can count it.
    let bound = |ttl: Ttl| ttl.or(NO_TIMEOUT).min(NO_TIMEOUT).as_duration();
    let usual = Limits::default();
    Limits {
        max_request_bytes: config.max_request_size,
        bodies: Bodies::new(config.max_request_bytes_in_flight, config.max_request_size),
        max_connections: descriptors::connections(files, listeners, config.max_connections),
        timeouts: Timeouts {
            header: bound(config.http_read_header_timeout),
            body: bound(config.http_read_timeout),
            write: bound(config.http_write_timeout),
            idle: bound(config.http_idle_timeout),
            ..usual.timeouts
        },
        ..usual
    }
}

fn settings(options: &Options) -> Settings {
    let config = &options.config;
    let max = config.max_lease_ttl.or(DEFAULT_LEASE);
    let longest = config.listeners.iter().map(|listener| listener.max_request_duration).max();
    let usual = Settings::default();
    Settings {
        lifetimes: Lifetimes { default: config.default_lease_ttl.or(DEFAULT_LEASE).min(max), max },
        version: options.version.clone(),
        build_date: options.build_date.clone(),
        storage_type: config.storage.name().to_owned(),
        cluster_name: (!config.cluster_name.is_empty()).then(|| config.cluster_name.clone()),
        request_timeout: longest.map_or(usual.request_timeout, Ttl::as_duration),
        ..usual
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use rustix::process::{DumpableBehavior, dumpable_behavior};

    use super::*;

    /// Figures are read by others, and read of children, all the same.
    #[test]
    fn the_memory_is_closed_and_what_is_public_is_not() {
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
            // Without root's rights to read everything.
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
}
