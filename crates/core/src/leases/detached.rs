//! Work that continues when its request is dropped. A request is dropped when it times out, at any
//! of its await points; operations that must not be left half done run here.

use std::future::Future;
use std::sync::Arc;

use strongroom_barrier::Batch;
use strongroom_types::Timestamp;

use crate::error::Error;
use crate::unsealed::UnsealedCore;

impl UnsealedCore {
    /// Runs `work` to completion in a task of its own. Sealing waits for it as for a request with a
    /// valid token, even if its request is gone or had no token: by then a credential may exist
    /// outside, or a use of a token may have been consumed.
    pub(crate) async fn run_detached<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        let work = self.awaited_by_seal.spawn(work);
        work.await.unwrap_or_else(|_| Err(Error::internal("the task ended without a result")))
    }

    /// Commits a batch that adds or changes a lease, and notifies the expiration manager that one
    /// is due at `due`. Runs to completion even when the caller is dropped.
    pub(crate) async fn commit_and_notify(
        self: &Arc<Self>,
        batch: Batch,
        due: Timestamp,
    ) -> Result<(), strongroom_barrier::Error> {
        let core = self.clone();
        let work = self.awaited_by_seal.spawn(async move {
            core.barrier.commit(batch).await?;
            core.expiration.notify_due(due);
            Ok(())
        });
        work.await.unwrap_or(Err(strongroom_barrier::Error::Interrupted))
    }
}
