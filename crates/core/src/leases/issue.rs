//! An engine's credential becomes a lease, before the answer leaves.
//!
//! One batch writes the lease and deletes the intent it replaces, on condition that the intent is
//! still there and that the token is not being revoked. If the batch doesn't apply, the credential
//! is revoked and the client gets an error: nothing leaves that has no lease.

use std::sync::Arc;

use serde_json::value::RawValue;
use strongroom_barrier::Batch;
use strongroom_lease::{Kind, Lease, NewLease, RevokeError};
use strongroom_sdk::engine::{LeaseContext, Leased};
use strongroom_sdk::intent::INTENT_FOLDER;
use strongroom_telemetry::names;
use strongroom_token::{Found, TokenKey};
use strongroom_types::{RawObject, Timestamp, Ttl};

use super::ending::{ENGINE_CALL, GivenBack, lease_id};
use super::lifetimes::{Bounds, at_issue, until};
use crate::error::Error;
use crate::mounts::Mounted;
use crate::mounts::handle::Visit;
use crate::unsealed::Unsealed;

/// A lease that was written, and what the client is told.
#[derive(Debug)]
pub struct Issued {
    /// The lease.
    pub lease: Lease,
    /// Warnings about its lifetime.
    pub warnings: Vec<String>,
}

impl Unsealed {
    /// Registers a credential that an engine issued at `path` (whole, with the mount).
    ///
    /// Cancel safety: the credential gets its lease or is taken back, also when this is dropped.
    pub(crate) async fn register(
        self: &Arc<Self>,
        mounted: &Arc<Mounted>,
        path: &str,
        token: &Found,
        leased: &Leased,
        inside: Visit,
    ) -> Result<Issued, Error> {
        let (open, mounted, path) = (self.clone(), mounted.clone(), path.to_owned());
        let (token, leased) = (token.clone(), leased.clone());
        self.to_the_end(async move {
            // A mount that goes or moves waits for this lease, and ends it.
            let _inside = inside;
            let below = path.strip_prefix(mounted.info.path.as_str()).unwrap_or(&path);
            match open.write_lease(&mounted, &path, below, &token, &leased).await {
                Ok(issued) => {
                    metrics::counter!(names::LEASES_CREATED).increment(1);
                    open.keeper.expect(issued.lease.expires);
                    Ok(issued)
                }
                Err(failure) => {
                    open.take_back(&mounted, below, &leased).await;
                    Err(failure)
                }
            }
        })
        .await
    }

    /// Takes back a credential that can have no lease: nobody asked for it who could own one.
    ///
    /// Cancel safety: it is taken back also when this is dropped.
    pub(crate) async fn refuse_lease(
        self: &Arc<Self>,
        mounted: &Arc<Mounted>,
        below: &str,
        leased: Leased,
        inside: Visit,
    ) -> Result<(), Error> {
        let (open, mounted, below) = (self.clone(), mounted.clone(), below.to_owned());
        let mount = &mounted.info.path;
        tracing::error!(
            mount,
            "a path that needs no token issues credentials; they are taken back"
        );
        self.to_the_end(async move {
            let _inside = inside;
            open.take_back(&mounted, &below, &leased).await;
            Ok(())
        })
        .await
    }

    async fn write_lease(
        &self,
        mounted: &Mounted,
        path: &str,
        below: &str,
        token: &Found,
        leased: &Leased,
    ) -> Result<Issued, Error> {
        let now = self.clock().now();
        let mount = mounted.entry.lifetimes(self.server.lifetimes);
        let bounds = Bounds { max: leased.max_ttl, ..Bounds::of(mount) };
        let mut granted = at_issue(leased.ttl, bounds);
        let (owner, not_after) = owner(token);
        if let Some(end) = not_after {
            granted = until(granted, end, now).ok_or_else(Error::no_token)?;
        }
        let id = lease_id(path, &**self.barrier.entropy())
            .ok_or_else(|| Error::internal("the path makes no lease id"))?;
        let mut batch = Batch::new();
        let lease = self.stores.leases.add_until(
            &mut batch,
            NewLease {
                id,
                kind: Kind::Credential {
                    mount: mounted.entry.uuid.to_string(),
                    path: below.to_owned(),
                    internal: raw(&leased.internal),
                    data: leased.keep_data.then(|| raw(&leased.data.object)),
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
            self.stores.tokens.require_alive(&mut batch, owner);
        }
        if let Some(intent) = &leased.intent {
            let storage = self.barrier.view(&mounted.entry.storage_prefix());
            let key = format!("{INTENT_FOLDER}{intent}");
            storage.require_exists(&mut batch, &key);
            storage.delete(&mut batch, &key);
        }
        match self.barrier.commit(batch).await {
            Ok(_) => Ok(Issued { lease, warnings: granted.warnings }),
            Err(error)
                if token.token.is_batch()
                    && owner
                        .as_ref()
                        .is_some_and(|owner| self.stores.tokens.is_dead(owner, &error)) =>
            {
                Err(Error::no_token())
            }
            Err(error) => Err(self.why_not(&error, &token.key)),
        }
    }

    fn why_not(&self, error: &strongroom_barrier::Error, token: &TokenKey) -> Error {
        if self.stores.tokens.is_dead(token, error) {
            let spent = "Secret cannot be returned; token had one use left, so leased credentials \
                         were immediately revoked.";
            return Error::plain(strongroom_types::ErrorKind::Denied, spent);
        }
        if error.is_precondition() {
            return Error::internal(
                "issuing took too long and the credential was taken back; try again",
            );
        }
        error.clone().into()
    }

    /// Revokes a credential that gets no lease. An engine of ours keeps its intent until that has
    /// worked; another one gets a lease that is due at once, so that the keeper goes on trying.
    async fn take_back(&self, mounted: &Mounted, below: &str, leased: &Leased) {
        let now = self.clock().now();
        let data = leased.keep_data.then(|| raw(&leased.data.object));
        let given_back = GivenBack {
            mount: mounted.entry.uuid.as_str(),
            path: below,
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
            revoked = self.ending.revoke_credential(given_back) => revoked,
            () = self.clock().sleep(ENGINE_CALL) => {
                Err(RevokeError::Later("the engine did not answer in time".to_owned()))
            }
        };
        let Err(error) = revoked else { return };
        let mount = &mounted.info.path;
        if leased.intent.is_some() {
            tracing::warn!(mount, %error, "a credential without lease is left to its intent");
            return;
        }
        let path = format!("{mount}{below}");
        let Some(id) = lease_id(&path, &**self.barrier.entropy()) else { return };
        let mut batch = Batch::new();
        let kind = Kind::Credential {
            mount: mounted.entry.uuid.to_string(),
            path: below.to_owned(),
            internal: raw(&leased.internal),
            data,
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
        self.stores.leases.add(&mut batch, lease);
        match self.barrier.commit(batch).await {
            Ok(_) => self.keeper.expect(now),
            Err(unwritten) => {
                tracing::error!(mount, %error, %unwritten, "a credential could be neither leased nor revoked");
            }
        }
    }
}

/// With which token a lease ends, and when at the latest. A batch token can't be revoked: what is
/// issued to it ends with the token it was made with, and with its time.
fn owner(token: &Found) -> (Option<TokenKey>, Option<Timestamp>) {
    if token.token.is_batch() {
        (token.token.parent.clone(), token.token.expires)
    } else {
        (Some(token.key.clone()), None)
    }
}

fn raw(object: &RawObject) -> Box<RawValue> {
    // An object that came through `RawObject` is JSON.
    serde_json::from_slice(object.as_bytes()).unwrap_or_else(|_| RawValue::NULL.to_owned())
}
