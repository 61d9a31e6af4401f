//! Work that goes on when the request it is for is dropped. A request is dropped when it takes too
//! long, and may stop at any of its waits: what must not be left half done is done here.

use std::future::Future;
use std::sync::Arc;

use strongroom_barrier::Batch;
use strongroom_types::Timestamp;

use crate::error::Error;
use crate::unsealed::UnsealedCore;

impl UnsealedCore {
    /// Does some work to its end. Sealing waits for it as for a request with a valid token, also when
    /// its request has gone or has no token: by then something was done outside, or is used up.
    pub(crate) async fn run_detached<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        let work = self.awaited_by_seal.spawn(work);
        work.await.unwrap_or_else(|_| Err(Error::internal("the work ended without an answer")))
    }

    /// Applies a batch that adds or moves a lease, and tells the keeper when it is due.
    pub(crate) async fn commit_and_notify(
        self: &Arc<Self>,
        batch: Batch,
        due: Timestamp,
    ) -> Result<(), strongroom_barrier::Error> {
        let open = self.clone();
        let work = self.awaited_by_seal.spawn(async move {
            open.barrier.commit(batch).await?;
            open.expiration.notify_due(due);
            Ok(())
        });
        work.await.unwrap_or(Err(strongroom_barrier::Error::Interrupted))
    }
}
