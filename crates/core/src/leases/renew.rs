//! Extending a lease: the engine first, then one batch.

use std::sync::Arc;

use strongroom_barrier::Batch;
use strongroom_lease::{Found, Kind, Lease};
use strongroom_sdk::engine::{Operation, Response};
use strongroom_telemetry::{Stopwatch, names};
use strongroom_types::{LeaseId, Ttl};

use super::ending::{ENGINE_CALL, GivenBack, context_of};
use super::lifetimes::{Bounds, at_renewal, until};
use crate::error::Error;
use crate::unsealed::Unsealed;

/// A renewed lease, and what the client is told.
#[derive(Debug)]
pub struct Renewed {
    /// The lease.
    pub lease: Lease,
    /// Warnings about its lifetime.
    pub warnings: Vec<String>,
}

/// What the engine says to a renewal.
struct Terms {
    ttl: Ttl,
    max_ttl: Ttl,
    internal: Option<strongroom_types::RawObject>,
}

impl Unsealed {
    /// Renews a lease by `increment`, or by its usual lifetime if that is zero.
    ///
    /// Cancel safety: once the engine was asked, what it answers is written down.
    pub(crate) async fn renew_lease(
        self: &Arc<Self>,
        id: &LeaseId,
        increment: Ttl,
    ) -> Result<Renewed, Error> {
        let watch = Stopwatch::start();
        let found = self.stores.leases.get(id).await?;
        let alive = found.filter(|found| found.lease.is_alive(self.clock().now()));
        let found = alive.ok_or_else(|| Error::invalid("lease not found"))?;
        if matches!(found.lease.kind, Kind::Token { .. }) {
            return Err(Error::invalid("tokens cannot be renewed through this endpoint"));
        }
        if !found.lease.renewable {
            return Err(Error::invalid("lease is not renewable"));
        }
        let open = self.clone();
        let renewal = async move { open.renew_with_engine(&found, increment).await };
        let renewed = self.to_the_end(renewal).await?;
        metrics::histogram!(names::LEASE_RENEW).record(watch.elapsed_ms());
        Ok(renewed)
    }

    async fn renew_with_engine(
        self: &Arc<Self>,
        found: &Found,
        increment: Ttl,
    ) -> Result<Renewed, Error> {
        let lease = &*found.lease;
        let Kind::Credential { mount, path, internal, data } = &lease.kind else {
            return Err(Error::invalid("lease is not renewable"));
        };
        let gone = || Error::invalid("the mount of this lease is gone");
        let mounted = self.mounts.table().by_uuid(mount).cloned().ok_or_else(gone)?;
        let bounds = mounted.entry.lifetimes(self.server.lifetimes);
        let past = || Error::invalid("past the max TTL, cannot renew");
        // Before the engine is asked: what has no life left is not extended outside.
        let known = Bounds { max: lease.max_ttl, ..Bounds::of(bounds) };
        let now = self.clock().now();
        let left = at_renewal(increment, lease.ttl, lease.issued, now, known).ok_or_else(past)?;
        if let Some(end) = lease.not_after {
            until(left, end, now).ok_or_else(past)?;
        }
        let engine = mounted.engine().ok_or_else(gone)?;
        let mut context = context_of(lease, internal);
        context.increment = increment;
        let given_back = GivenBack { mount, path, data: data.as_deref(), lease: context };
        let request = self.ending.request(&mounted, Operation::Renew, given_back);
        let visit = engine.enter().await?;
        let answer = tokio::select! {
            answer = visit.engine.handle(request) => answer?,
            () = self.clock().sleep(ENGINE_CALL) => {
                return Err(Error::internal("the engine did not answer in time"));
            }
        };
        let terms = match answer {
            Response::Leased(leased) => {
                Terms { ttl: leased.ttl, max_ttl: leased.max_ttl, internal: Some(leased.internal) }
            }
            _ => Terms { ttl: lease.ttl, max_ttl: lease.max_ttl, internal: None },
        };
        let limits = Bounds { max: terms.max_ttl, ..Bounds::of(bounds) };
        let now = self.clock().now();
        let mut granted =
            at_renewal(increment, terms.ttl, lease.issued, now, limits).ok_or_else(past)?;
        if let Some(end) = lease.not_after {
            granted = until(granted, end, now).ok_or_else(past)?;
        }
        let mut renewed = lease.renewed(now, granted.ttl);
        renewed.max_ttl = terms.max_ttl;
        if let (Some(new), Kind::Credential { internal, .. }) = (terms.internal, &mut renewed.kind)
            && let Ok(raw) = serde_json::from_slice(new.as_bytes())
        {
            *internal = raw;
        }
        let mut batch = Batch::new();
        self.stores.leases.replace(&mut batch, found, &renewed);
        match self.commit_due(batch, renewed.expires).await {
            Ok(()) => {}
            Err(error) if error.is_precondition() => {
                return Err(Error::invalid("lease not found"));
            }
            Err(error) => return Err(error.into()),
        }
        Ok(Renewed { lease: renewed, warnings: granted.warnings })
    }
}
