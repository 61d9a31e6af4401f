//! The physical store, measured.

use std::sync::Arc;

use async_trait::async_trait;
use strongroom_config::StorageConfig;
use strongroom_storage::embedded::{self, Embedded};
use strongroom_storage::memory::Memory;
use strongroom_storage::{Batch, Entry, Error, Physical, Version};
use strongroom_telemetry::{Stopwatch, names};

/// The store of a server.
#[derive(Clone, Debug)]
pub(crate) enum Store {
    Memory(Arc<Memory>),
    Embedded(Arc<Embedded>),
    /// One that a test wants.
    #[cfg(test)]
    Given(Arc<dyn Physical>),
}

impl Store {
    pub(crate) fn open(config: &StorageConfig) -> Result<Self, Error> {
        match config {
            StorageConfig::Inmem => Ok(Self::Memory(Arc::new(Memory::new()))),
            StorageConfig::Embedded { path, named, cache_bytes } => {
                if named != "embedded" {
                    let folder = path.display();
                    tracing::info!("storage {named:?} is the embedded store in {folder}");
                }
                let mut options = embedded::Options::default();
                if *cache_bytes > 0 {
                    options.cache_bytes = *cache_bytes;
                }
                Ok(Self::Embedded(Arc::new(Embedded::open(path, options)?)))
            }
        }
    }

    /// The store as the core gets it.
    pub(crate) fn measured(&self) -> Arc<dyn Physical> {
        match self {
            Self::Memory(store) => Arc::new(Measured(store.clone())),
            Self::Embedded(store) => Arc::new(Measured(store.clone())),
            #[cfg(test)]
            Self::Given(store) => store.clone(),
        }
    }

    pub(crate) async fn close(&self) {
        if let Self::Embedded(store) = self {
            store.close().await;
        }
    }
}

/// Times what passes through.
#[derive(Debug)]
struct Measured<P>(Arc<P>);

#[async_trait]
impl<P: Physical> Physical for Measured<P> {
    async fn get(&self, key: &str) -> Result<Option<Entry>, Error> {
        let watch = Stopwatch::start();
        let outcome = self.0.get(key).await;
        metrics::histogram!(names::STORAGE_GET).record(watch.elapsed_ms());
        counted("get", outcome)
    }

    async fn scan(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, Error> {
        let watch = Stopwatch::start();
        let outcome = self.0.scan(prefix, after, limit).await;
        metrics::histogram!(names::STORAGE_SCAN).record(watch.elapsed_ms());
        counted("scan", outcome)
    }

    async fn commit(&self, batch: Batch) -> Result<Version, Error> {
        let watch = Stopwatch::start();
        let outcome = self.0.commit(batch).await;
        metrics::histogram!(names::STORAGE_COMMIT).record(watch.elapsed_ms());
        counted("commit", outcome)
    }
}

/// A precondition that doesn't hold is an answer, not an error.
fn counted<T>(operation: &'static str, outcome: Result<T, Error>) -> Result<T, Error> {
    if let Err(error) = &outcome
        && !matches!(error, Error::Precondition { .. })
    {
        metrics::counter!(names::STORAGE_ERRORS, "operation" => operation).increment(1);
    }
    outcome
}
