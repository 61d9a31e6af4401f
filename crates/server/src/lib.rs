//! The composition root: the only crate that depends on core, HTTP, plug-in host, engines and
//! stores, and connects them.
//!
//! - [`Server::start`]: from a configuration to a running server; [`RunningServer`] is its handle
//! - [`store`]: the physical store, with metrics
//! - [`plugins`]: built-in engines and plug-in processes, behind the core's launcher trait
//! - `idle_maintenance`: returns memory to the system once the store is idle
//! - [`tls`]: certificates from files, which can be reloaded while the server runs
//! - [`socket`]: socket files of listeners
//! - [`dev`]: what `-dev` does after the start; [`dev_tls`]: certificates for it
//!
//! Futures that leave this crate are boxed: a future's code is generated in the crate that polls
//! it, and the command line, which polls these, is optimised for size. This crate is optimised for
//! speed.

mod any_client_certificate;
pub mod dev;
pub mod dev_tls;
mod idle_maintenance;
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
    Config, DEFAULT_LEASE_TTL, HeaderConfig, ListenerConfig, ListenerEndpoint, StatusMatcher,
};
use strongroom_core::logins::lockout::LockoutSettings;
use strongroom_core::{AdmissionLimits, Core, CoreDependencies, Settings};
use strongroom_engine::MountLifetimes;
use strongroom_http::{
    BodyMemoryPool, ConnectionTimeouts, CustomHeader, ForwardedForRules, HttpLimits, Listener,
    ListenerSocket, MetricsAccess, ResponseRules, StatusSelector, TlsSource, descriptors,
    max_request_memory,
};
use strongroom_telemetry::MetricsExporter;
use strongroom_types::clock::{BoxFuture, with_timeout};
use strongroom_types::fields::JsonLimits;
use strongroom_types::{Clock, Entropy, Ttl, chain};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::plugins::EngineLauncher;
use crate::store::ServerStore;
use crate::tls::TlsFromFiles;

/// What [`Server::start`] needs: configuration, version, clock, random numbers and metrics.
#[derive(Clone)]
pub struct Options {
    /// The validated configuration, from files or from `-dev`.
    pub config: Config,
    /// The API version that the server reports, as clients parse it.
    pub version: String,
    /// The date of this build, as status responses report it; empty if unknown.
    pub build_date: String,
    /// The clock for leases, timeouts and timestamps. Tests replace it.
    pub clock: Arc<dyn Clock>,
    /// The source of random numbers for keys, tokens and ids.
    pub entropy: Arc<dyn Entropy>,
    /// The exporter that renders metrics for `sys/metrics` and metrics listeners.
    pub exporter: MetricsExporter,
}

/// Why a server doesn't start. The message is for the operator.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The store can't be opened.
    #[error("the storage can't be opened: {0}")]
    Storage(#[from] strongroom_storage::Error),
    /// A listener can't listen on its address.
    #[error("can't listen on {address}: {reason}")]
    Listen {
        /// The address, as configured.
        address: String,
        /// The operating system's error.
        reason: std::io::Error,
    },
    /// A listener's certificate can't be used.
    #[error("the TLS files of the listener on {address} can't be used: {reason}")]
    Tls {
        /// The address of the listener, as configured.
        address: String,
        /// What is wrong with the certificate or its settings.
        reason: String,
    },
    /// The plug-in settings, such as the trust file, can't be used.
    #[error("plug-ins can't be run: {0}")]
    Plugins(String),
}

/// Starts servers in this process; has no state of its own. [`Server::start`] takes the
/// configuration and returns a [`RunningServer`].
#[derive(Debug)]
pub struct Server;

/// A running server. [`RunningServer::stop`] ends it in an orderly way.
pub struct RunningServer {
    core: Core,
    addresses: Vec<ListenAddress>,
    certificates: Vec<Arc<TlsFromFiles>>,
    sockets: Vec<socket::SocketFileGuard>,
    store: ServerStore,
    engines: Arc<EngineLauncher>,
    allows_scripts: bool,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// The address that a listener is bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// IP address and port; a configured port 0 shows as the port that was assigned.
    Tcp(SocketAddr),
    /// The path of a Unix socket.
    Unix(PathBuf),
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}

/// How often recorded measurements are aggregated. Until then each takes 8 bytes, and under load
/// there are a few hundred thousand a second.
const METRICS_FOLD_INTERVAL: Duration = Duration::from_secs(1);
/// How long requests, the seal and engines may take at shutdown; the store has a limit of its own.
/// Together they stay below the 30 s after which service managers kill a process.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(24);
const STORE_CLOSE_TIMEOUT: Duration = Duration::from_secs(4);
/// The part of [`SHUTDOWN_TIMEOUT`] for listeners and other tasks, so that sealing begins even if
/// one of them hangs.
const TASKS_TIMEOUT: Duration = Duration::from_secs(12);
/// The timeout that stands for a configured zero, "no timeout".
const NO_TIMEOUT: Ttl = Ttl::from_secs(24 * 3600);

impl Server {
    /// Opens the store, binds all listeners and serves requests. The server is sealed at first. If
    /// the store can't be opened or a listener can't be bound, the start fails before any request
    /// is served.
    ///
    /// It also protects the memory of this process: other processes of its user can't read it any
    /// more, and no core is dumped.
    pub fn start(options: Options) -> BoxFuture<'static, Result<RunningServer, StartError>> {
        Box::pin(Self::start_now(options))
    }

    async fn start_now(options: Options) -> Result<RunningServer, StartError> {
        keep_memory_private();
        let store = ServerStore::open(&options.config.storage)?;
        Self::start_with_store(store, options).await
    }

    async fn start_with_store(
        store: ServerStore,
        options: Options,
    ) -> Result<RunningServer, StartError> {
        let config = &options.config;
        let files = descriptors::raise_file_limit();
        let mut bound = Vec::new();
        let (mut addresses, mut certificates, mut sockets) = (Vec::new(), Vec::new(), Vec::new());
        for listener in &config.listeners {
            let tls = load_tls(listener)?;
            certificates.extend(tls.clone());
            let (socket, address) = bind_listener(&listener.endpoint, &mut sockets).await?;
            addresses.push(address);
            let tls = tls.map(|source| source as Arc<dyn TlsSource>);
            let limits = listener_limits(listener, files, config.listeners.len());
            let listening = Listener::new(socket, tls, forwarding_settings(listener), limits);
            let listening = listening.with_metrics_access(metrics_access(listener));
            bound.push(listening.with_response_rules(response_settings(listener)));
        }
        let engines = EngineLauncher::new(&options);
        let engines = Arc::new(engines.map_err(|error| StartError::Plugins(error.details()))?);
        let parts = CoreDependencies {
            physical: store.instrumented(),
            plugin_launcher: engines.clone(),
            clock: options.clock.clone(),
            entropy: options.entropy.clone(),
            exporter: options.exporter.clone(),
        };
        let core = Core::new(parts, strongroom_system::BUILT_INS, core_settings(&options));
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        for listener in bound {
            tasks.spawn(listener.serve(core.clone(), stop.clone()));
        }
        let (exporter, folding, clock) = (options.exporter, stop.clone(), options.clock.clone());
        tasks.spawn(async move {
            loop {
                tokio::select! {
                    () = clock.sleep(METRICS_FOLD_INTERVAL) => exporter.run_upkeep(clock.now()),
                    () = folding.cancelled() => return,
                }
            }
        });
        tasks.spawn(idle_maintenance::run_maintenance(
            store.clone(),
            options.clock.clone(),
            stop.clone(),
        ));
        tasks.close();
        let allows_scripts = options.config.plugin.allow_scripts;
        Ok(RunningServer {
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

impl RunningServer {
    /// The core, for operations that have no HTTP endpoint.
    pub fn core(&self) -> &Core {
        &self.core
    }

    /// The addresses of the listeners, in the order of the configuration.
    pub fn addresses(&self) -> &[ListenAddress] {
        &self.addresses
    }

    /// Whether plug-ins may be scripts and not only ELF binaries.
    pub(crate) fn allows_scripts(&self) -> bool {
        self.allows_scripts
    }

    /// Reloads certificates for new connections. If one can't be used, its listener keeps the old
    /// one and the log names the file. Returns whether all could be used.
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

    /// Stops the server: accepts no more connections, lets running requests finish, seals, and
    /// closes the store. A step that exceeds its timeout is abandoned, so that the process always
    /// ends. Returns whether every step finished in time.
    pub fn stop(self) -> BoxFuture<'static, bool> {
        Box::pin(self.stop_now())
    }

    async fn stop_now(self) -> bool {
        self.stop.cancel();
        drop(self.sockets);
        let in_order = async {
            if with_timeout(&*self.clock, TASKS_TIMEOUT, self.tasks.wait()).await.is_none() {
                tracing::warn!("some tasks did not end in time; the server is sealed without them");
            }
            if let Err(error) = self.core.shut_down().await {
                tracing::warn!(error = %chain(&error), "the server could not be sealed in order");
            }
            self.engines.close().await;
        };
        let ended = with_timeout(&*self.clock, SHUTDOWN_TIMEOUT, in_order).await;
        // Close the store in any case: this also writes what is in memory only. Acknowledged writes
        // are already on disk.
        let closed = with_timeout(&*self.clock, STORE_CLOSE_TIMEOUT, self.store.close()).await;
        if ended.is_none() || closed.is_none() {
            let what = if ended.is_none() { "requests or engines" } else { "the store" };
            tracing::error!("{what} did not end in time and are cut off by the end of the server");
        }
        ended.is_some() && closed.is_some()
    }
}

impl fmt::Debug for RunningServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunningServer").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

/// Makes this process's memory private, since it holds the keys. Plug-ins run as the same user and
/// could otherwise read it (ptrace(2), `/proc/<pid>/mem`), unless the machine forbids that anyway.
/// World-readable files in `/proc` stay readable. Programs that are started are not affected: they
/// have their own memory with the usual permissions.
fn keep_memory_private() {
    use rustix::process::{DumpableBehavior, set_dumpable_behavior};
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        tracing::warn!(error = %chain(&error), "other processes of this user may read the server's memory");
    }
}

fn load_tls(config: &ListenerConfig) -> Result<Option<Arc<TlsFromFiles>>, StartError> {
    let load = |files| TlsFromFiles::load(files).map(Arc::new);
    config.tls.clone().map(load).transpose().map_err(|reason| {
        let address = config.endpoint.to_string();
        StartError::Tls { address, reason }
    })
}

async fn bind_listener(
    endpoint: &ListenerEndpoint,
    sockets: &mut Vec<socket::SocketFileGuard>,
) -> Result<(ListenerSocket, ListenAddress), StartError> {
    let failed = |reason| StartError::Listen { address: endpoint.to_string(), reason };
    match endpoint {
        ListenerEndpoint::Tcp(address) => {
            let socket = match address.strip_prefix(':') {
                // As in Go: listen on all addresses of the machine, IPv6 and IPv4 if it has both.
                Some(port) => match TcpListener::bind(format!("[::]:{port}")).await {
                    Ok(socket) => Ok(socket),
                    Err(_) => TcpListener::bind(format!("0.0.0.0:{port}")).await,
                },
                None => TcpListener::bind(address).await,
            };
            let socket = socket.map_err(failed)?;
            let address = socket.local_addr().map_err(failed)?;
            Ok((socket.into(), ListenAddress::Tcp(address)))
        }
        ListenerEndpoint::Unix(file) => {
            let (socket, bound) = socket::bind_socket_file(file).map_err(failed)?;
            sockets.push(bound);
            Ok((socket.into(), ListenAddress::Unix(file.path.clone())))
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

fn response_settings(listener: &ListenerConfig) -> ResponseRules {
    let header = |header: &HeaderConfig| {
        let of = match header.statuses {
            StatusMatcher::All => StatusSelector::All,
            StatusMatcher::Class(class) => StatusSelector::Class(class),
            StatusMatcher::Status(only) => StatusSelector::Exact(only),
        };
        // Names and values were validated with the configuration, so none is dropped here.
        let (name, value) = (header.name.parse().ok()?, header.value.parse().ok()?);
        Some(CustomHeader { statuses: of, name, value })
    };
    ResponseRules {
        headers: listener.headers.iter().filter_map(header).collect(),
        redact_addresses: listener.redact.addresses,
        redact_cluster_name: listener.redact.cluster_name,
        redact_version: listener.redact.version,
    }
}

fn forwarding_settings(config: &ListenerConfig) -> Option<ForwardedForRules> {
    let config = config.forwarding.clone()?;
    Some(ForwardedForRules {
        authorized: config.authorized,
        hop_skips: config.hop_skips,
        reject_not_authorized: config.reject_not_authorized,
        reject_not_present: config.reject_not_present,
    })
}

/// Zero means no limit; it becomes 24 h so that deadlines never overflow.
fn to_timeout(ttl: Ttl) -> Duration {
    ttl.nonzero_or(NO_TIMEOUT).min(NO_TIMEOUT).as_duration()
}

fn listener_limits(config: &ListenerConfig, files: usize, listeners: usize) -> HttpLimits {
    let usual = HttpLimits::default();
    HttpLimits {
        max_request_bytes: config.max_request_size,
        max_unauthenticated_bytes: config.max_unauthenticated_request_size,
        max_unauthenticated_fields: config.max_unauthenticated_request_fields,
        json: JsonLimits {
            depth: config.max_json_depth,
            strings: config.max_request_json_strings,
            ..usual.json
        },
        body_memory: BodyMemoryPool::new(
            config.max_request_bytes_in_flight,
            max_request_memory(config.max_request_size, config.max_request_json_strings),
            max_request_memory(
                config.max_unauthenticated_request_size.min(config.max_request_size),
                config.max_unauthenticated_request_fields.min(config.max_request_json_strings),
            ),
        ),
        max_connections: descriptors::max_connections(files, listeners, config.max_connections),
        timeouts: ConnectionTimeouts {
            header: to_timeout(config.http_read_header_timeout),
            body: to_timeout(config.http_read_timeout),
            write: to_timeout(config.http_write_timeout),
            idle: to_timeout(config.http_idle_timeout),
            ..usual.timeouts
        },
        ..usual
    }
}

/// Converts a limit to the core's type.
fn to_u64(configured: usize) -> u64 {
    u64::try_from(configured).unwrap_or(u64::MAX)
}

fn core_settings(options: &Options) -> Settings {
    let config = &options.config;
    let max = config.max_lease_ttl.nonzero_or(DEFAULT_LEASE_TTL);
    let longest =
        config.listeners.iter().map(|listener| to_timeout(listener.max_request_duration)).max();
    let usual = Settings::default();
    Settings {
        lifetimes: MountLifetimes {
            // The configuration is validated: only the built-in default can exceed the maximum
            // here.
            default: config.default_lease_ttl.nonzero_or(DEFAULT_LEASE_TTL).min(max),
            max,
        },
        version: options.version.clone(),
        build_date: options.build_date.clone(),
        storage_type: config.storage.storage_type().to_owned(),
        cluster_name: (!config.cluster_name.is_empty()).then(|| config.cluster_name.clone()),
        admission: AdmissionLimits {
            requests: config.requests.all,
            per_mount: config.requests.per_mount,
            unauthenticated: config.requests.unauthenticated,
            unauthenticated_per_mount: config.requests.unauthenticated_per_mount,
        },
        cache_bytes: to_u64(config.caches.entries),
        token_cache_bytes: to_u64(config.caches.tokens),
        document_cache_bytes: to_u64(config.caches.documents_per_mount),
        request_timeout: longest.unwrap_or(usual.request_timeout),
        user_lockout: LockoutSettings { by_type: config.user_lockout.policies() },
        ..usual
    }
}

#[cfg(test)]
mod tests;
