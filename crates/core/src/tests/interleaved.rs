//! A store that lets everybody else go first, at every operation: of requests made at the same time
//! all have read before one writes.

use async_trait::async_trait;
use strongroom_storage::memory::Memory;
use strongroom_storage::{Batch, Entry, Error, Physical, Version};

#[derive(Debug, Default)]
pub(crate) struct Interleaved(Memory);

async fn let_others_go_first() {
    for _ in 0..4 {
        tokio::task::yield_now().await;
    }
}

#[async_trait]
impl Physical for Interleaved {
    async fn get(&self, key: &str) -> Result<Option<Entry>, Error> {
        let found = self.0.get(key).await;
        let_others_go_first().await;
        found
    }

    async fn scan(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, Error> {
        let found = self.0.scan(prefix, after, limit).await;
        let_others_go_first().await;
        found
    }

    async fn commit(&self, batch: Batch) -> Result<Version, Error> {
        let_others_go_first().await;
        self.0.commit(batch).await
    }
}
