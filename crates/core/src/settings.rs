//! [`Settings`] and [`CoreDependencies`]: the parameters of [`crate::Core::new`].

use std::sync::Arc;
use std::time::Duration;

use strongroom_engine::MountLifetimes;
use strongroom_engine::mount_config;
use strongroom_lease::ExpirationOptions;
use strongroom_mounts::plugins::PluginLauncher;
use strongroom_storage::Physical;
use strongroom_telemetry::MetricsExporter;
use strongroom_token::TokenStore;
use strongroom_types::{Clock, Entropy, Ttl};

use crate::admission::AdmissionLimits;
use crate::logins::lockout::LockoutSettings;

/// The settings of a core, taken from the configuration file by the server; every default is safe.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Default and maximum lease lifetime of mounts that set none of their own; 32 days each by
    /// default.
    pub lifetimes: MountLifetimes,
    /// The version that `sys/seal-status` and `sys/health` report, without a leading `v`.
    pub version: String,
    /// The build date that `sys/seal-status` reports; empty if unknown.
    pub build_date: String,
    /// The `storage_type` that `sys/seal-status` reports, for example `inmem`.
    pub storage_type: String,
    /// The cluster's name, stored at initialisation; `None` generates `vault-cluster-<hex>`.
    pub cluster_name: Option<String>,
    /// Size of the barrier's cache of decrypted entries, in bytes; 8 MiB by default.
    pub cache_bytes: u64,
    /// Size of the token store's cache, in bytes.
    pub token_cache_bytes: u64,
    /// Size of the document cache of each mount whose engine is written with the SDK, in bytes.
    pub document_cache_bytes: u64,
    /// The deadline of a request; one that exceeds it is cancelled. 90 seconds by default.
    pub request_timeout: Duration,
    /// Limits on concurrent requests; requests above them are refused.
    pub admission: AdmissionLimits,
    /// Concurrency, timeouts and retries of the expiration manager.
    pub expiration: ExpirationOptions,
    /// The interval between an engine's periodic calls; 60 seconds by default.
    pub periodic_interval: Duration,
    /// When users of auth methods are locked; by default after 5 failed logins, for 15 minutes.
    pub user_lockout: LockoutSettings,
}

impl Default for Settings {
    fn default() -> Self {
        const THIRTY_TWO_DAYS: Ttl = Ttl::from_secs(768 * 3600);
        Self {
            lifetimes: MountLifetimes { default: THIRTY_TWO_DAYS, max: THIRTY_TWO_DAYS },
            version: "0.0.0".to_owned(),
            build_date: String::new(),
            storage_type: "inmem".to_owned(),
            cluster_name: None,
            cache_bytes: 8 << 20,
            token_cache_bytes: TokenStore::CACHE_BYTES,
            document_cache_bytes: mount_config::DEFAULT_CACHED_BYTES,
            request_timeout: Duration::from_secs(90),
            admission: AdmissionLimits::default(),
            expiration: ExpirationOptions::default(),
            periodic_interval: Duration::from_secs(60),
            user_lockout: LockoutSettings::default(),
        }
    }
}

/// The dependencies of a core, chosen by the server and replaced by fakes in tests.
#[derive(Clone)]
pub struct CoreDependencies {
    /// The physical storage backend, below the barrier's encryption.
    pub physical: Arc<dyn Physical>,
    /// Opens linked-in engines and starts plug-in processes, for the mounts of this server.
    pub plugin_launcher: Arc<dyn PluginLauncher>,
    /// The source of time; all deadlines and expirations use it.
    pub clock: Arc<dyn Clock>,
    /// The source of random bytes for keys, tokens and ids.
    pub entropy: Arc<dyn Entropy>,
    /// Renders the process's metrics when a client reads `sys/metrics`.
    pub exporter: MetricsExporter,
}

impl std::fmt::Debug for CoreDependencies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CoreDependencies").field("physical", &self.physical).finish_non_exhaustive()
    }
}
