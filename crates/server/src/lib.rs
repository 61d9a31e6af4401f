//! The composition root: it alone sees core, HTTP, plug-in host, engines and stores, and wires them.
//!
//! - [`Server::start`]: from a configuration to a running server; [`Running`] is its handle
//! - [`store`]: the physical store, measured
//! - [`plugins`]: linked-in engines and plug-in processes, as the core wants them
//! - `idle`: gives memory back once the store has little to do
//! - [`tls`]: certificates from files, which can change while the server runs
//! - [`socket`]: socket files of listeners
//! - [`dev`]: what `-dev` does after the start; [`dev_tls`]: certificates for it
//!
//! Futures that leave this crate are boxed: the code of a future is made where it is polled, and the
//! command line, which polls these, is built to be small. The server is built to be fast.

pub mod dev;
pub mod dev_tls;
mod idle;
pub mod plugins;
#[cfg(test)]
mod restored_catalog_tests;
mod socket;
mod store;
mod tls;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use strongroom_config::{
    Answers, Config, DEFAULT_LEASE_TTL, Endpoint, HeaderConfig, ListenerConfig,
};
use strongroom_core::{AdmissionLimits, Core, Parts, Settings};
use strongroom_http::{
    Bodies, CustomHeader, Forwarding, Limits, Listener, MetricsAccess, Outgoing, Socket, Statuses,
    Timeouts, TlsSource, descriptors, heaviest,
};
use strongroom_sdk::engine::Lifetimes;
use strongroom_telemetry::Exporter;
use strongroom_types::clock::{BoxFuture, within};
use strongroom_types::fields::JsonLimits;
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
    /// What says which plug-ins may run.
    #[error("plug-ins can't be run: {0}")]
    Plugins(String),
}

/// Starts servers.
#[derive(Debug)]
pub struct Server;

/// A running server.
pub struct Running {
    core: Core,
    addresses: Vec<Address>,
    certificates: Vec<Arc<TlsFromFiles>>,
    sockets: Vec<socket::Bound>,
    store: Store,
    engines: Arc<Engines>,
    allows_scripts: bool,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// Where a listener listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// With the port it got.
    Tcp(SocketAddr),
    /// A socket file.
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}

/// How often metrics are folded. Until then each measurement takes 8 bytes, of which there are a few
/// hundred thousand a second under load.
const FOLD: Duration = Duration::from_secs(1);
/// How long requests, the seal and engines may take at the end, and how long the store beside that.
/// Together less than the 30 s after which service managers kill.
const STOPPING: Duration = Duration::from_secs(24);
const CLOSING_THE_STORE: Duration = Duration::from_secs(4);
/// How much of that listeners and other tasks may take, so that the seal begins whatever hangs.
const ENDING_TASKS: Duration = Duration::from_secs(12);
/// What a timeout of zero stands for.
const NO_TIMEOUT: Ttl = Ttl::from_secs(24 * 3600);

impl Server {
    /// From here on the memory of this process is closed to others of its user, and no core is
    /// dumped.
    ///
    /// Opens the store, binds all listeners and serves. The server is sealed; a listener that can't
    /// be bound, or a store that can't be opened, stops the start before anything is served.
    pub fn start(options: Options) -> BoxFuture<'static, Result<Running, StartError>> {
        Box::pin(Self::start_now(options))
    }

    async fn start_now(options: Options) -> Result<Running, StartError> {
        keep_memory_private();
        let store = Store::open(&options.config.storage)?;
        Self::start_over(store, options).await
    }

    async fn start_over(store: Store, options: Options) -> Result<Running, StartError> {
        let config = &options.config;
        let files = descriptors::raise();
        let mut bound = Vec::new();
        let (mut addresses, mut certificates, mut sockets) = (Vec::new(), Vec::new(), Vec::new());
        for listener in &config.listeners {
            let tls = tls_of(listener)?;
            certificates.extend(tls.clone());
            let (socket, address) = bind(&listener.endpoint, &mut sockets).await?;
            addresses.push(address);
            let tls = tls.map(|source| source as Arc<dyn TlsSource>);
            let limits = limits(listener, files, config.listeners.len());
            let listening = Listener::new(socket, tls, forwarding(listener), limits);
            let listening = listening.with_metrics_access(metrics_access(listener));
            bound.push(listening.with_outgoing(outgoing(listener)));
        }
        let engines = Engines::new(&options);
        let engines = Arc::new(engines.map_err(|error| StartError::Plugins(error.details()))?);
        let parts = Parts {
            physical: store.measured(),
            plugins: engines.clone(),
            clock: options.clock.clone(),
            entropy: options.entropy.clone(),
            exporter: options.exporter.clone(),
        };
        let core = Core::new(parts, settings(&options));
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        for listener in bound {
            tasks.spawn(listener.serve(core.clone(), stop.clone()));
        }
        let (exporter, folding, clock) = (options.exporter, stop.clone(), options.clock.clone());
        tasks.spawn(async move {
            loop {
                tokio::select! {
                    () = clock.sleep(FOLD) => exporter.fold(clock.now()),
                    () = folding.cancelled() => return,
                }
            }
        });
        tasks.spawn(idle::run(store.clone(), options.clock.clone(), stop.clone()));
        tasks.close();
        let allows_scripts = options.config.plugin.allow_scripts;
        Ok(Running {
            core,
            addresses,
            certificates,
            sockets,
            store,
            engines,
            allows_scripts,
            clock: options.clock,
            stop,
            tasks,
        })
    }
}

impl Running {
    /// The core, for what has no HTTP form.
    pub fn core(&self) -> &Core {
        &self.core
    }

    /// Where it listens, in the order of the configuration.
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// Whether plug-ins may be something else than ELF.
    pub(crate) fn allows_scripts(&self) -> bool {
        self.allows_scripts
    }

    /// Reads certificates again, for connections that are made from now on. Of one that can't be
    /// used the old one stays, and the log says which file is wrong. Says whether all could be used.
    pub fn reload_certificates(&self) -> bool {
        let mut all = true;
        for source in &self.certificates {
            if let Err(error) = source.reload() {
                tracing::error!(error, "a certificate could not be reloaded; the old one stays");
                all = false;
            }
        }
        all
    }

    /// Takes no more connections, lets requests being answered finish, seals, and closes the store.
    /// What doesn't end in time is given up, so that the process ends whatever hangs. Whether
    /// everything ended in order.
    pub fn stop(self) -> BoxFuture<'static, bool> {
        Box::pin(self.stop_now())
    }

    async fn stop_now(self) -> bool {
        self.stop.cancel();
        drop(self.sockets);
        let in_order = async {
            if within(&*self.clock, ENDING_TASKS, self.tasks.wait()).await.is_none() {
                tracing::warn!("some tasks did not end in time; the server is sealed without them");
            }
            if let Err(error) = self.core.shut_down().await {
                tracing::warn!(%error, "the server could not be sealed in order");
            }
            self.engines.close().await;
        };
        let ended = within(&*self.clock, STOPPING, in_order).await;
        // Begun in any case: what was acknowledged is on disk, and what is in memory gets there.
        let closed = within(&*self.clock, CLOSING_THE_STORE, self.store.close()).await;
        if ended.is_none() || closed.is_none() {
            let what = if ended.is_none() { "requests or engines" } else { "the store" };
            tracing::error!("{what} did not end in time and are cut off by the end of the server");
        }
        ended.is_some() && closed.is_some()
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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

fn tls_of(config: &ListenerConfig) -> Result<Option<Arc<TlsFromFiles>>, StartError> {
    let load = |files| TlsFromFiles::load(files).map(Arc::new);
    config.tls.clone().map(load).transpose().map_err(|reason| {
        let address = config.endpoint.to_string();
        StartError::Tls { address, reason }
    })
}

async fn bind(
    endpoint: &Endpoint,
    sockets: &mut Vec<socket::Bound>,
) -> Result<(Socket, Address), StartError> {
    let failed = |reason| StartError::Listen { address: endpoint.to_string(), reason };
    match endpoint {
        Endpoint::Tcp(address) => {
            let socket = match address.strip_prefix(':') {
                // As in Go: on all addresses of the machine, in both families if it has both.
                Some(port) => match TcpListener::bind(format!("[::]:{port}")).await {
                    Ok(socket) => Ok(socket),
                    Err(_) => TcpListener::bind(format!("0.0.0.0:{port}")).await,
                },
                None => TcpListener::bind(address).await,
            };
            let socket = socket.map_err(failed)?;
            let address = socket.local_addr().map_err(failed)?;
            Ok((socket.into(), Address::Tcp(address)))
        }
        Endpoint::Unix(file) => {
            let (socket, bound) = socket::open(file).map_err(failed)?;
            sockets.push(bound);
            Ok((socket.into(), Address::Unix(file.path.clone())))
        }
    }
}

fn metrics_access(listener: &ListenerConfig) -> MetricsAccess {
    let metrics = &listener.metrics;
    MetricsAccess {
        unauthenticated: metrics.unauthenticated_access,
        disallowed: metrics.disallow_metrics,
        exclusive: metrics.metrics_only,
        path: metrics.metrics_path.clone(),
    }
}

fn outgoing(listener: &ListenerConfig) -> Outgoing {
    let header = |header: &HeaderConfig| {
        let of = match header.of {
            Answers::All => Statuses::All,
            Answers::Class(class) => Statuses::Class(class),
            Answers::Status(only) => Statuses::Only(only),
        };
        // The configuration is checked, so that none is left out.
        let (name, value) = (header.name.parse().ok()?, header.value.parse().ok()?);
        Some(CustomHeader { of, name, value })
    };
    Outgoing {
        headers: listener.headers.iter().filter_map(header).collect(),
        redact_addresses: listener.redact.addresses,
        redact_cluster_name: listener.redact.cluster_name,
        redact_version: listener.redact.version,
    }
}

fn forwarding(config: &ListenerConfig) -> Option<Forwarding> {
    let config = config.forwarding.clone()?;
    Some(Forwarding {
        authorized: config.authorized,
        hop_skips: config.hop_skips,
        reject_not_authorized: config.reject_not_authorized,
        reject_not_present: config.reject_not_present,
    })
}

/// What is set to zero gets as long as is as good as for ever, and every clock can count it.
fn bound(ttl: Ttl) -> Duration {
    ttl.or(NO_TIMEOUT).min(NO_TIMEOUT).as_duration()
}

fn limits(config: &ListenerConfig, files: usize, listeners: usize) -> Limits {
    let usual = Limits::default();
    Limits {
        max_request_bytes: config.max_request_size,
        max_unauthenticated_bytes: config.max_unauthenticated_request_size,
        max_unauthenticated_fields: config.max_unauthenticated_request_fields,
        json: JsonLimits {
            depth: config.max_json_depth,
            strings: config.max_request_json_strings,
            ..usual.json
        },
        bodies: Bodies::new(
            config.max_request_bytes_in_flight,
            heaviest(config.max_request_size, config.max_request_json_strings),
            heaviest(
                config.max_unauthenticated_request_size.min(config.max_request_size),
                config.max_unauthenticated_request_fields.min(config.max_request_json_strings),
            ),
        ),
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

/// As the core counts them.
fn bytes(configured: usize) -> u64 {
    u64::try_from(configured).unwrap_or(u64::MAX)
}

fn settings(options: &Options) -> Settings {
    let config = &options.config;
    let max = config.max_lease_ttl.or(DEFAULT_LEASE_TTL);
    let longest =
        config.listeners.iter().map(|listener| bound(listener.max_request_duration)).max();
    let usual = Settings::default();
    Settings {
        lifetimes: Lifetimes {
            // Only a default that nobody set is above the maximum: the configuration is checked.
            default: config.default_lease_ttl.or(DEFAULT_LEASE_TTL).min(max),
            max,
        },
        version: options.version.clone(),
        build_date: options.build_date.clone(),
        storage_type: config.storage.name().to_owned(),
        cluster_name: (!config.cluster_name.is_empty()).then(|| config.cluster_name.clone()),
        admission: AdmissionLimits {
            requests: config.requests.all,
            per_mount: config.requests.per_mount,
            unauthenticated: config.requests.unauthenticated,
            unauthenticated_per_mount: config.requests.unauthenticated_per_mount,
        },
        cache_bytes: bytes(config.caches.entries),
        token_cache_bytes: bytes(config.caches.tokens),
        document_cache_bytes: bytes(config.caches.documents_per_mount),
        request_timeout: longest.unwrap_or(usual.request_timeout),
        ..usual
    }
}

#[cfg(test)]
mod tests;
