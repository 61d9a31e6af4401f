//! The physical store, with metrics.

use std::sync::Arc;
use strongroom_types::chain;

use async_trait::async_trait;
use metrics::Histogram;
use strongroom_config::StorageConfig;
use strongroom_storage::embedded::{self, EmbeddedStorage};
use strongroom_storage::memory::MemoryStorage;
use strongroom_storage::{Error, Physical, PhysicalBatch, PhysicalEntry, Version};
use strongroom_telemetry::{Stopwatch, names};

/// The kinds of stores a server can use.
#[derive(Clone, Debug)]
pub(crate) enum ServerStore {
    Memory(Arc<MemoryStorage>),
    Embedded(Arc<EmbeddedStorage>),
    /// A store passed in by a test.
    #[cfg(test)]
    Given(Arc<dyn Physical>),
}

impl ServerStore {
    pub(crate) fn open(config: &StorageConfig) -> Result<Self, Error> {
        match config {
            StorageConfig::Inmem => Ok(Self::Memory(Arc::new(MemoryStorage::new()))),
            StorageConfig::Embedded { path, configured_type: named, cache_bytes } => {
                if named != "embedded" {
                    let folder = path.display();
                    tracing::info!("storage {named:?} is the embedded store in {folder}");
                }
                let mut options = embedded::EmbeddedOptions::default();
                if *cache_bytes > 0 {
                    options.cache_bytes = *cache_bytes;
                }
                Ok(Self::Embedded(Arc::new(EmbeddedStorage::open(path, options)?)))
            }
        }
    }

    /// The store wrapped so that its operations are measured, as the core uses it.
    pub(crate) fn instrumented(&self) -> Arc<dyn Physical> {
        match self {
            Self::Memory(store) => Arc::new(InstrumentedStorage::new(store.clone())),
            Self::Embedded(store) => Arc::new(InstrumentedStorage::new(store.clone())),
            #[cfg(test)]
            Self::Given(store) => store.clone(),
        }
    }

    /// The number of batch commits and file reads since the store was opened.
    pub(crate) fn operations(&self) -> u64 {
        match self {
            Self::Memory(_) => 0,
            #[cfg(test)]
            Self::Given(_) => 0,
            Self::Embedded(store) => {
                let stats = store.stats();
                stats.commits.saturating_add(stats.reads_from_tree)
            }
        }
    }

    /// Moves the store's log into its tree if it holds at least this many bytes.
    pub(crate) async fn checkpoint(&self, at_least: u64) {
        if let Self::Embedded(store) = self
            && let Err(error) = store.start_checkpoint(at_least).await
        {
            tracing::debug!(error = %chain(&error), "the log could not be carried over early");
        }
    }

    pub(crate) async fn close(&self) {
        if let Self::Embedded(store) = self {
            store.close().await;
        }
    }
}

/// A wrapper that measures how long each operation takes.
#[derive(Debug)]
struct InstrumentedStorage<P> {
    store: Arc<P>,
    /// Looked up once, because a look-up takes longer than recording a value.
    get: Histogram,
    scan: Histogram,
    commit: Histogram,
}

impl<P> InstrumentedStorage<P> {
    fn new(store: Arc<P>) -> Self {
        Self {
            store,
            get: metrics::histogram!(names::STORAGE_GET),
            scan: metrics::histogram!(names::STORAGE_SCAN),
            commit: metrics::histogram!(names::STORAGE_COMMIT),
        }
    }
}

#[async_trait]
impl<P: Physical> Physical for InstrumentedStorage<P> {
    async fn get(&self, key: &str) -> Result<Option<PhysicalEntry>, Error> {
        let watch = Stopwatch::start();
        let outcome = self.store.get(key).await;
        self.get.record(watch.elapsed_ms());
        count_error("get", outcome)
    }

    async fn scan(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, Error> {
        let watch = Stopwatch::start();
        let outcome = self.store.scan(prefix, after, limit).await;
        self.scan.record(watch.elapsed_ms());
        count_error("scan", outcome)
    }

    async fn commit(&self, batch: PhysicalBatch) -> Result<Version, Error> {
        let watch = Stopwatch::start();
        let outcome = self.store.commit(batch).await;
        self.commit.record(watch.elapsed_ms());
        count_error("commit", outcome)
    }
}

/// Counts an error, except for a failed precondition, which is a normal outcome.
fn count_error<T>(operation: &'static str, outcome: Result<T, Error>) -> Result<T, Error> {
    if let Err(error) = &outcome
        && !matches!(error, Error::Precondition { .. })
    {
        metrics::counter!(names::STORAGE_ERRORS, "operation" => operation).increment(1);
    }
    outcome
}
