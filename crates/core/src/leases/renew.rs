//! Renews leases: calls the engine, then updates the lease in one batch.

use std::sync::Arc;

use strongroom_barrier::Batch;
use strongroom_engine::{EngineResponse, LifetimeLimits, Operation};
use strongroom_lease::{Lease, LeaseKind, StoredLease};
use strongroom_telemetry::{Stopwatch, names};
use strongroom_types::{LeaseId, Timestamp, Ttl};

use super::LeaseService;
use super::revoker::{CredentialRef, ENGINE_CALL_TIMEOUT, lease_context};
use crate::error::Error;

/// The result of a renewal: the updated lease, and warnings for the client.
#[derive(Debug)]
pub struct RenewedLease {
    /// The lease as stored after the renewal, with its new TTL.
    pub lease: Lease,
    /// Warnings for the response, such as that the increment was capped by the maximum TTL.
    pub warnings: Vec<String>,
}

/// The terms of a renewal: those the engine returned, else the lease's current ones.
struct RenewalTerms {
    ttl: Ttl,
    max_ttl: Ttl,
    internal: Option<RenewedInternalData>,
    warnings: Vec<String>,
}

/// What the engine stores with the lease from now on.
struct RenewedInternalData {
    object: strongroom_types::RawObject,
    seal_wrap: bool,
}

impl LeaseService {
    /// Renews a lease for `increment` from now; if that is zero, for the TTL that the engine
    /// returns, else for its current TTL. Fails for the leases of tokens, which are renewed through
    /// `auth/token/renew`.
    ///
    /// Cancel safety: once the engine was called, its response is recorded even if this future is
    /// dropped.
    pub async fn renew(
        self: &Arc<Self>,
        id: &LeaseId,
        increment: Ttl,
    ) -> Result<RenewedLease, Error> {
        let watch = Stopwatch::start();
        let found = self.store.get(id).await?;
        let alive = found.filter(|found| found.lease.is_alive(self.clock().now()));
        let found = alive.ok_or_else(|| Error::invalid("lease not found"))?;
        if matches!(found.lease.kind, LeaseKind::Token { .. }) {
            return Err(Error::invalid("tokens cannot be renewed through this endpoint"));
        }
        if !found.lease.renewable {
            return Err(Error::invalid("lease is not renewable"));
        }
        let leases = self.clone();
        let renewal = async move { leases.renew_with_engine(&found, increment).await };
        let renewed = self.detached.run(renewal).await?;
        metrics::histogram!(names::LEASE_RENEW).record(watch.elapsed_ms());
        Ok(renewed)
    }

    async fn renew_with_engine(
        self: &Arc<Self>,
        found: &StoredLease,
        increment: Ttl,
    ) -> Result<RenewedLease, Error> {
        let lease = &*found.lease;
        let LeaseKind::Credential { mount, path, internal, data, .. } = &lease.kind else {
            return Err(Error::invalid("lease is not renewable"));
        };
        let gone = || Error::invalid("the mount of this lease is gone");
        let mounted = self.mounts.table().find_by_uuid(mount).cloned().ok_or_else(gone)?;
        let lifetimes = mounted.entry.effective_lifetimes(self.lifetimes);
        let past = || Error::invalid("past the max TTL, cannot renew");
        // Check before calling the engine, so that it doesn't extend a credential whose lease can't
        // be renewed.
        let grant = |max: Ttl, usual: Ttl, now: Timestamp| {
            let limits = LifetimeLimits { max, ..LifetimeLimits::of_mount(lifetimes) };
            let granted = limits.grant(increment, usual, lease.issued, now)?;
            match lease.not_after {
                Some(end) => granted.ending_by(end, now),
                None => Some(granted),
            }
        };
        grant(lease.max_ttl, lease.ttl, self.clock().now()).ok_or_else(past)?;
        let engine = mounted.engine_handle().ok_or_else(gone)?;
        let mut context = lease_context(lease, internal);
        context.increment = increment;
        let credential = CredentialRef { mount, path, data: data.as_deref(), lease: context };
        let request = self.revoker.engine_request(&mounted, Operation::Renew, credential);
        let in_flight = engine.acquire().await?;
        let response = tokio::select! {
            response = in_flight.engine.handle(request) => response?,
            () = self.clock().sleep(ENGINE_CALL_TIMEOUT) => {
                return Err(Error::internal("the engine did not answer in time"));
            }
        };
        let terms = match response {
            EngineResponse::Leased(leased) => RenewalTerms {
                ttl: leased.ttl,
                max_ttl: leased.max_ttl,
                internal: Some(RenewedInternalData {
                    object: leased.internal,
                    seal_wrap: leased.seal_wrap,
                }),
                warnings: leased.data.warnings,
            },
            _ => RenewalTerms {
                ttl: lease.ttl,
                max_ttl: lease.max_ttl,
                internal: None,
                warnings: Vec::new(),
            },
        };
        let now = self.clock().now();
        let granted = grant(terms.max_ttl, terms.ttl, now).ok_or_else(past)?;
        let mut renewed = lease.after_renewal(now, granted.ttl, granted.expires);
        renewed.max_ttl = terms.max_ttl;
        if let (Some(new), LeaseKind::Credential { internal, seal_wrap, .. }) =
            (terms.internal, &mut renewed.kind)
            && let Ok(raw) = serde_json::from_slice(new.object.as_bytes())
        {
            *internal = raw;
            *seal_wrap = new.seal_wrap;
        }
        let mut batch = Batch::new();
        self.store.update(&mut batch, found, &renewed);
        match self.commit_and_notify(batch, renewed.expires).await {
            Ok(()) => {}
            Err(error) if error.is_precondition() => {
                return Err(Error::invalid("lease not found"));
            }
            Err(error) => return Err(error.into()),
        }
        let mut warnings = terms.warnings;
        warnings.extend(granted.warnings);
        Ok(RenewedLease { lease: renewed, warnings })
    }
}
