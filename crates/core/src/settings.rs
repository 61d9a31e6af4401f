//! What a core is made with.

use std::sync::Arc;
use std::time::Duration;

use strongroom_lease::ExpirationOptions;
use strongroom_sdk::document;
use strongroom_sdk::engine::MountLifetimes;
use strongroom_storage::Physical;
use strongroom_telemetry::MetricsExporter;
use strongroom_token::TokenStore;
use strongroom_types::{Clock, Entropy, Ttl};

use crate::admission::AdmissionLimits;
use crate::plugins::PluginLauncher;

/// Settings with safe defaults.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Lifetimes of leases where a mount has none of its own.
    pub lifetimes: MountLifetimes,
    /// The server's version, as clients parse it.
    pub version: String,
    /// When this build was made; empty if unknown.
    pub build_date: String,
    /// The store's name in status answers.
    pub storage_type: String,
    /// The cluster's name; none for a generated one.
    pub cluster_name: Option<String>,
    /// Bytes of decrypted entries kept in memory.
    pub cache_bytes: u64,
    /// Bytes of tokens kept in memory.
    pub token_cache_bytes: u64,
    /// Bytes of documents kept in memory for a mount whose engine is made with the SDK.
    pub document_cache_bytes: u64,
    /// How long one request may take.
    pub request_timeout: Duration,
    /// Requests worked on at the same time; more are refused.
    pub admission: AdmissionLimits,
    /// Bounds of the lease keeper.
    pub expiration: ExpirationOptions,
    /// How often engines get their periodic call.
    pub periodic_interval: Duration,
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
            document_cache_bytes: document::DEFAULT_CACHED_BYTES,
            request_timeout: Duration::from_secs(90),
            admission: AdmissionLimits::default(),
            expiration: ExpirationOptions::default(),
            periodic_interval: Duration::from_secs(60),
        }
    }
}

/// The things a core is given.
#[derive(Clone)]
pub struct CoreDependencies {
    /// The store.
    pub physical: Arc<dyn Physical>,
    /// Who starts plug-ins.
    pub plugin_launcher: Arc<dyn PluginLauncher>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub entropy: Arc<dyn Entropy>,
    /// Where metrics are rendered.
    pub exporter: MetricsExporter,
}

impl std::fmt::Debug for CoreDependencies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CoreDependencies").field("physical", &self.physical).finish_non_exhaustive()
    }
}
