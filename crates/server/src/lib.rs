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
use strongroom_http::{Limits, Listener, TlsSource};
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
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// How often metrics are folded.
const FOLD: Duration = Duration::from_secs(5);
const DEFAULT_LEASE: Ttl = Ttl::from_secs(768 * 3600);

impl Server {
    /// Opens the store, binds all listeners and serves. The server is sealed; a listener that can't
    /// be bound, or a store that can't be opened, stops the start before anything is served.
    pub async fn start(options: Options) -> Result<Running, StartError> {
        let config = &options.config;
        let store = Store::open(&config.storage)?;
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
            bound.push(bind(listener, tls).await?);
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
                    () = clock.sleep_until(clock.now().plus(FOLD)) => exporter.fold(),
                    () = folding.cancelled() => return,
                }
            }
        });
        tasks.close();
        Ok(Running { core, addresses, certificates, store, engines, stop, tasks })
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

async fn bind(
    config: &ListenerConfig,
    tls: Option<Arc<dyn TlsSource>>,
) -> Result<Listener, StartError> {
    let failed = |reason| StartError::Listen { address: config.address.clone(), reason };
    let socket = TcpListener::bind(&config.address).await.map_err(failed)?;
    let limits = Limits {
        max_request_bytes: config.max_request_size,
        header_timeout: config.http_idle_timeout.max(config.http_read_header_timeout).as_duration(),
        body_timeout: config.http_read_timeout.as_duration(),
        ..Limits::default()
    };
    Ok(Listener::new(socket, tls, limits))
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
