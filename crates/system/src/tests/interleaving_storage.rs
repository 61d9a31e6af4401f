//! A store that yields at every operation, so that concurrent requests have all read before any of
//! them writes.

use async_trait::async_trait;
use strongroom_storage::memory::MemoryStorage;
use strongroom_storage::{Error, Physical, PhysicalBatch, PhysicalEntry, Version};

#[derive(Debug, Default)]
pub(crate) struct InterleavingStorage(MemoryStorage);

async fn yield_to_others() {
    for _ in 0..4 {
        tokio::task::yield_now().await;
    }
}

#[async_trait]
impl Physical for InterleavingStorage {
    async fn get(&self, key: &str) -> Result<Option<PhysicalEntry>, Error> {
        let found = self.0.get(key).await;
        yield_to_others().await;
        found
    }

    async fn scan(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, Error> {
        let found = self.0.scan(prefix, after, limit).await;
        yield_to_others().await;
        found
    }

    async fn commit(&self, batch: PhysicalBatch) -> Result<Version, Error> {
        yield_to_others().await;
        self.0.commit(batch).await
    }
}
