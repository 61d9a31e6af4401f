//! Registers an engine's credential as a lease before the response is sent.
//!
//! One batch writes the lease and deletes the engine's intent record, on condition that the intent
//! still exists and the token is not being revoked. If the batch doesn't apply, the credential is
//! revoked and the client gets an error, so no client receives a credential without a lease.

use std::sync::Arc;

use serde_json::value::RawValue;
use strongroom_barrier::Batch;
use strongroom_engine::{LeaseContext, LeasedResponse};
use strongroom_engine::{LifetimeLimits, intent::INTENT_FOLDER};
use strongroom_lease::{Lease, LeaseKind, NewLease, RevokeError};
use strongroom_mounts::ActiveMount;
use strongroom_mounts::handle::InFlight;
use strongroom_telemetry::names;
use strongroom_token::{StoredToken, TokenKey};
use strongroom_types::{RawObject, Timestamp, Ttl, chain};

use super::LeaseService;
use super::revoker::{CredentialRef, ENGINE_CALL_TIMEOUT, random_lease_id};
use crate::error::Error;

/// The result of registering a credential: the stored lease, and warnings for the client.
#[derive(Debug)]
pub struct IssuedLease {
    /// The lease as stored; its id and TTL go into the response.
    pub lease: Lease,
    /// Warnings for the response, such as that the lifetime was capped by the mount's maximum.
    pub warnings: Vec<String>,
}

impl LeaseService {
    /// Registers a credential that an engine issued at `path`, which includes the mount.
    ///
    /// Cancel safety: the credential gets its lease or is revoked, even if this future is dropped.
    pub async fn create(
        self: &Arc<Self>,
        mounted: &Arc<ActiveMount>,
        path: &str,
        token: &StoredToken,
        leased: &LeasedResponse,
        in_flight: InFlight,
    ) -> Result<IssuedLease, Error> {
        let (leases, mounted, path) = (self.clone(), mounted.clone(), path.to_owned());
        let (token, leased) = (token.clone(), leased.clone());
        self.detached
            .run(async move {
                // Removing or moving the mount waits for this lease and then revokes it.
                let _in_flight = in_flight;
                let relative_path = path.strip_prefix(mounted.info.path.as_str()).unwrap_or(&path);
                match leases.write_lease(&mounted, &path, relative_path, &token, &leased).await {
                    Ok(issued) => {
                        metrics::counter!(names::LEASES_CREATED).increment(1);
                        leases.expiration.notify_due(issued.lease.expires);
                        Ok(issued)
                    }
                    Err(failure) => {
                        leases.revoke_unleased(&mounted, relative_path, &leased).await;
                        Err(failure)
                    }
                }
            })
            .await
    }

    /// Revokes a credential issued on an unauthenticated path: no token could own its lease.
    ///
    /// Cancel safety: the credential is revoked even if this future is dropped.
    pub(crate) async fn revoke_unowned(
        self: &Arc<Self>,
        mounted: &Arc<ActiveMount>,
        relative_path: &str,
        leased: LeasedResponse,
        in_flight: InFlight,
    ) -> Result<(), Error> {
        let (leases, mounted, relative_path) =
            (self.clone(), mounted.clone(), relative_path.to_owned());
        let mount = &mounted.info.path;
        tracing::error!(
            mount,
            "an unauthenticated path issued a credential, which is being revoked"
        );
        self.detached
            .run(async move {
                let _in_flight = in_flight;
                leases.revoke_unleased(&mounted, &relative_path, &leased).await;
                Ok(())
            })
            .await
    }

    async fn write_lease(
        &self,
        mounted: &ActiveMount,
        path: &str,
        relative_path: &str,
        token: &StoredToken,
        leased: &LeasedResponse,
    ) -> Result<IssuedLease, Error> {
        let now = self.clock().now();
        let mount = mounted.entry.effective_lifetimes(self.lifetimes);
        let limits = LifetimeLimits { max: leased.max_ttl, ..LifetimeLimits::of_mount(mount) };
        let granted = limits.grant(Ttl::ZERO, leased.ttl, now, now);
        let mut granted = granted.ok_or_else(|| Error::internal("the maximum TTL is zero"))?;
        let (owner, not_after) = lease_owner(token);
        if let Some(end) = not_after {
            granted = granted.ending_by(end, now).ok_or_else(Error::invalid_token)?;
        }
        let id = random_lease_id(path, &**self.barrier.entropy())
            .ok_or_else(|| Error::internal("no lease id can be formed from the path"))?;
        let mut batch = Batch::new();
        let lease = self.store.create_until(
            &mut batch,
            NewLease {
                id,
                kind: LeaseKind::Credential {
                    mount: mounted.entry.uuid.to_string(),
                    path: relative_path.to_owned(),
                    internal: raw_value(&leased.internal),
                    data: leased.keep_data.then(|| raw_value(&leased.data.object)),
                    seal_wrap: leased.seal_wrap,
                },
                token: owner.as_ref().map(|owner| owner.as_str().to_owned()),
                issued: now,
                ttl: granted.ttl,
                max_ttl: leased.max_ttl,
                renewable: leased.renewable,
            },
            not_after,
        );
        if let Some(owner) = &owner {
            self.tokens.require_not_revoking(&mut batch, owner);
        }
        if let Some(intent) = &leased.intent {
            let storage = self.barrier.view(&mounted.entry.storage_prefix());
            let key = format!("{INTENT_FOLDER}{intent}");
            storage.require_exists(&mut batch, &key);
            storage.delete(&mut batch, &key);
        }
        match self.barrier.commit(batch).await {
            Ok(_) => Ok(IssuedLease { lease, warnings: granted.warnings }),
            Err(error)
                if token.token.is_batch()
                    && owner
                        .as_ref()
                        .is_some_and(|owner| self.tokens.is_gone_or_revoking(owner, &error)) =>
            {
                Err(Error::invalid_token())
            }
            Err(error) => Err(self.explain_commit_failure(&error, &token.key)),
        }
    }

    fn explain_commit_failure(&self, error: &strongroom_barrier::Error, token: &TokenKey) -> Error {
        if self.tokens.is_gone_or_revoking(token, error) {
            let message = "Secret cannot be returned; token had one use left, so leased credentials \
                         were immediately revoked.";
            return Error::with_message(strongroom_types::ErrorKind::Denied, message);
        }
        if error.is_precondition() {
            return Error::internal(
                "issuing took too long and the credential was revoked; try again",
            );
        }
        error.clone().into()
    }

    /// Revokes a credential that gets no lease. If the revocation fails, an engine with intents
    /// retries from its intent; for others a lease that is due at once is written, so that the
    /// expiration manager retries.
    async fn revoke_unleased(
        &self,
        mounted: &ActiveMount,
        relative_path: &str,
        leased: &LeasedResponse,
    ) {
        let now = self.clock().now();
        let data = leased.keep_data.then(|| raw_value(&leased.data.object));
        let credential = CredentialRef {
            mount: mounted.entry.uuid.as_str(),
            path: relative_path,
            data: data.as_deref(),
            lease: LeaseContext {
                internal: leased.internal.clone(),
                issued: now,
                ttl: leased.ttl,
                max_ttl: leased.max_ttl,
                renewable: leased.renewable,
                increment: Ttl::ZERO,
            },
        };
        let revoked = tokio::select! {
            revoked = self.revoker.revoke_credential(credential) => revoked,
            () = self.clock().sleep(ENGINE_CALL_TIMEOUT) => {
                Err(RevokeError::Transient("the engine did not answer in time".to_owned()))
            }
        };
        let Err(error) = revoked else { return };
        let mount = &mounted.info.path;
        if leased.intent.is_some() {
            tracing::warn!(mount, error = %chain(&error), "failed to revoke a credential without a lease; its intent will be retried");
            return;
        }
        let path = format!("{mount}{relative_path}");
        let Some(id) = random_lease_id(&path, &**self.barrier.entropy()) else { return };
        let mut batch = Batch::new();
        let kind = LeaseKind::Credential {
            mount: mounted.entry.uuid.to_string(),
            path: relative_path.to_owned(),
            internal: raw_value(&leased.internal),
            data,
            seal_wrap: leased.seal_wrap,
        };
        let lease = NewLease {
            id,
            kind,
            token: None,
            issued: now,
            ttl: Ttl::ZERO,
            max_ttl: Ttl::ZERO,
            renewable: false,
        };
        self.store.create(&mut batch, lease);
        match self.barrier.commit(batch).await {
            Ok(_) => self.expiration.notify_due(now),
            Err(unwritten) => {
                tracing::error!(mount, error = %chain(&error), unwritten = %chain(&unwritten), "a credential could be neither leased nor revoked");
            }
        }
    }
}

/// The token that owns a lease, and the latest time at which it ends. A batch token can't be
/// revoked, so its leases belong to its parent and end no later than it expires.
fn lease_owner(token: &StoredToken) -> (Option<TokenKey>, Option<Timestamp>) {
    if token.token.is_batch() {
        (token.token.parent.clone(), token.token.expires)
    } else {
        (Some(token.key.clone()), None)
    }
}

fn raw_value(object: &RawObject) -> Box<RawValue> {
    // A `RawObject` always contains valid JSON.
    serde_json::from_slice(object.as_bytes()).unwrap_or_else(|_| RawValue::NULL.to_owned())
}
