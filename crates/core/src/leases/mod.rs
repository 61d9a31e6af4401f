//! Issuing, renewing and revoking leases: the part that involves engines and tokens. Storage and
//! scheduling are in `strongroom-lease`.
//!
//! - this file: [`LeaseService`], and the revocation of leases by prefix
//! - [`issue`]: registering an engine's credential as a lease, before the response is sent
//! - [`renew`]: renewing a lease through its engine
//! - [`revoker`]: revokes leases for the expiration manager
//! - [`token_revoker`]: revokes a token with its descendants

pub mod issue;
pub mod renew;
pub mod revoker;
pub mod token_revoker;

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use strongroom_barrier::{Barrier, Batch};
use strongroom_engine::MountLifetimes;
use strongroom_lease::{ExpirationManager, LeaseStore};
use strongroom_mounts::MountRegistry;
use strongroom_telemetry::{gauge_value, names};
use strongroom_token::TokenStore;
use strongroom_types::{Clock, LeaseId, Timestamp, chain};

use self::revoker::LeaseRevoker;
use crate::detached::DetachedTasks;
use crate::error::Error;

/// Issues, renews and revokes leases.
#[derive(Debug)]
pub struct LeaseService {
    pub(crate) barrier: Barrier,
    /// The stored leases and their indexes.
    pub store: LeaseStore,
    /// The tokens that own leases.
    pub(crate) tokens: TokenStore,
    /// Revokes leases when they expire.
    pub expiration: ExpirationManager,
    /// Calls engines to revoke and renew credentials.
    pub revoker: Arc<LeaseRevoker>,
    pub(crate) mounts: MountRegistry,
    /// The lifetimes of mounts that set none of their own.
    pub(crate) lifetimes: MountLifetimes,
    pub(crate) detached: DetachedTasks,
}

/// The interval at which leases are counted for the metrics.
const LEASE_COUNT_INTERVAL: Duration = Duration::from_secs(600);
const LEASE_PAGE: usize = 256;
const REVOCATION_CONCURRENCY: usize = 16;

impl LeaseService {
    /// The source of time, shared with the barrier.
    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        self.barrier.clock()
    }

    /// Commits a batch that adds or changes a lease, and notifies the expiration manager that one
    /// is due at `due`. Runs to completion even when the caller is dropped.
    pub async fn commit_and_notify(
        &self,
        batch: Batch,
        due: Timestamp,
    ) -> Result<(), strongroom_barrier::Error> {
        let (barrier, expiration) = (self.barrier.clone(), self.expiration.clone());
        let work = async move {
            barrier.commit(batch).await?;
            expiration.notify_due(due);
            Ok(())
        };
        self.detached.run_or(work, || strongroom_barrier::Error::Interrupted).await
    }

    /// Revokes all leases under a prefix, and stops at the first that cannot be revoked.
    pub(crate) async fn revoke_prefix(&self, prefix: &str) -> Result<(), Error> {
        loop {
            let ids = self.store.ids_by_prefix(prefix, LEASE_PAGE).await?;
            if ids.is_empty() {
                return Ok(());
            }
            self.expiration.mark_all_for_revocation(&ids).await?;
            let attempts = futures_util::stream::iter(ids).map(|id| async move {
                self.expiration.revoke(&id).await?.map_err(|error| {
                    let text = format!("failed to revoke {:?}: {error}", id.as_str());
                    Error::internal(text).caused_by(error)
                })
            });
            let mut ended = attempts.buffer_unordered(REVOCATION_CONCURRENCY);
            while let Some(outcome) = ended.next().await {
                outcome?;
            }
        }
    }

    /// Removes all leases under a prefix, even those whose engine fails to revoke them.
    pub async fn revoke_force_prefix(&self, prefix: &str) -> Result<(), Error> {
        loop {
            let ids = self.store.ids_by_prefix(prefix, LEASE_PAGE).await?;
            if ids.is_empty() {
                return Ok(());
            }
            for id in &ids {
                if let Err(error) = self.expiration.revoke_force(id).await? {
                    tracing::warn!(lease = %id, error = %chain(&error), "a lease was removed by force; its credential may still be valid");
                }
            }
        }
    }

    /// Revokes the lease of a credential that the client does not receive.
    pub(crate) async fn revoke_issued(&self, id: &LeaseId) -> Result<(), strongroom_lease::Error> {
        // The mark is durable: if the first attempt fails, the expiration manager retries.
        self.expiration.mark_all_for_revocation(std::slice::from_ref(id)).await?;
        self.expiration.revoke(id).await?.ok();
        Ok(())
    }

    /// Counts leases periodically for the metrics. The lease store keeps no running count, because
    /// every write would have to update it.
    pub(crate) async fn report_lease_counts(&self) {
        const PAGE: usize = 1000;
        loop {
            if let Ok(total) = self.count_leases(PAGE).await {
                metrics::gauge!(names::LEASE_COUNT).set(gauge_value(total));
            }
            if let Ok(ids) = self.store.irrevocable_ids(PAGE).await {
                metrics::gauge!(names::LEASES_IRREVOCABLE).set(gauge_value(ids.len()));
            }
            self.clock().sleep(LEASE_COUNT_INTERVAL).await;
        }
    }

    async fn count_leases(&self, page_size: usize) -> Result<usize, strongroom_lease::Error> {
        let mut total = 0;
        let mut pages = self.store.id_pages("").with_page_size(page_size);
        while let Some(ids) = pages.next_page().await? {
            total += ids.len();
            tokio::task::yield_now().await;
        }
        Ok(total)
    }
}
