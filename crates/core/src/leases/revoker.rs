//! [`LeaseRevoker`]: revokes leases for the expiration manager. Credentials are revoked by the
//! engine that issued them; for a token's lease, the revocation of the token is queued.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use serde_json::value::RawValue;
use strongroom_engine::{
    CallerInfo, EngineError, EngineRequest, EngineResponse, LeaseContext, Operation, StatusKind,
};
use strongroom_lease::{Lease, LeaseKind, RevokeError, Revoker};
use strongroom_mounts::{ActiveMount, MountTable};
use strongroom_telemetry::{Stopwatch, names};
use strongroom_token::{RevocationMark, TokenKey};
use strongroom_types::{Clock, Entropy, Fields, LeaseId, Namespace, RawObject, RequestId, chain};

use super::token_revoker::WeakTokenRevoker;
use crate::error::sanitise_message;

/// Implements [`Revoker`] for the expiration manager, and builds the requests by which the core has
/// engines renew or revoke credentials.
pub struct LeaseRevoker {
    table: Arc<ArcSwap<MountTable>>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    /// Set once, right after construction: the token revoker needs the expiration manager, which
    /// needs this. Weak, because the cycle would otherwise never be freed.
    pub(crate) token_revoker: OnceLock<WeakTokenRevoker>,
}

/// How long an engine may take to revoke or renew one credential, or an auth method to renew a
/// login.
pub(crate) const ENGINE_CALL_TIMEOUT: Duration = Duration::from_secs(60);

impl LeaseRevoker {
    /// Creates a revoker that uses the mount table current at each call. `token_revoker` must be
    /// set before token leases can be revoked; until then that fails as transient.
    pub fn new(
        table: Arc<ArcSwap<MountTable>>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self { table, clock, entropy, token_revoker: OnceLock::new() }
    }

    /// Calls the engine that issued a credential to revoke it.
    pub(crate) async fn revoke_credential(
        &self,
        credential: CredentialRef<'_>,
    ) -> Result<(), RevokeError> {
        let transient = |text: String| RevokeError::Transient(sanitise_message(&text));
        let mounted = self.table.load().find_by_uuid(credential.mount).cloned();
        let Some(mounted) = mounted else {
            return Err(RevokeError::Permanent("the mount of this lease is gone".to_owned()));
        };
        let Some(engine) = mounted.engine_handle() else {
            return Err(RevokeError::Permanent("the mount of this lease has no engine".to_owned()));
        };
        let instance =
            engine.acquire_for_revocation().await.map_err(|error| transient(error.to_string()))?;
        let request = self.engine_request(&mounted, Operation::Revoke, credential);
        let watch = Stopwatch::start();
        let response = instance.engine.handle(request).await;
        let mount = mounted.entry.mount_type.clone();
        metrics::histogram!(names::LEASE_REVOKE, "type" => mount.clone())
            .record(watch.elapsed_ms());
        let failed = match response {
            Ok(EngineResponse::Nothing | EngineResponse::Data(_)) => return Ok(()),
            Ok(_) => transient("the engine sent an unexpected response to a revocation".to_owned()),
            Err(EngineError::Status(StatusKind::Unrecoverable)) => {
                RevokeError::Permanent(StatusKind::Unrecoverable.as_str().to_owned())
            }
            Err(error) => {
                if std::error::Error::source(&error).is_some() {
                    tracing::warn!(error = %chain(&error), "an engine could not revoke a credential");
                }
                transient(error.to_string())
            }
        };
        metrics::counter!(names::LEASE_REVOKE_FAILED, "type" => mount).increment(1);
        Err(failed)
    }

    /// Builds the request by which the core has an engine renew or revoke a credential.
    pub(crate) fn engine_request(
        &self,
        mounted: &ActiveMount,
        operation: Operation,
        credential: CredentialRef<'_>,
    ) -> EngineRequest {
        let fields = credential.data.map_or_else(Fields::new, |data| {
            Fields::from_trusted(data.get().as_bytes()).unwrap_or_default()
        });
        EngineRequest {
            id: random_request_id(&*self.entropy),
            operation,
            path: credential.path.to_owned(),
            fields,
            raw_body: None,
            mount: mounted.info.clone(),
            caller: CallerInfo::default(),
            connection: None,
            headers: std::collections::BTreeMap::new(),
            wrap_ttl: None,
            lease: Some(credential.lease),
            auth: None,
            namespace: Namespace::Root,
            deadline: self.clock.now().plus(ENGINE_CALL_TIMEOUT),
        }
    }
}

/// What identifies a credential to its engine.
pub(crate) struct CredentialRef<'a> {
    /// The UUID of the engine's mount.
    pub(crate) mount: &'a str,
    /// The path below the mount at which the credential was issued.
    pub(crate) path: &'a str,
    /// The data sent to the client, if the engine requested that it be kept.
    pub(crate) data: Option<&'a RawValue>,
    /// The engine's internal data and the times of the lease.
    pub(crate) lease: LeaseContext,
}

/// The part of a lease that is passed to its engine; `increment` is zero.
pub(crate) fn lease_context(lease: &Lease, internal: &RawValue) -> LeaseContext {
    LeaseContext {
        internal: RawObject::from_own_json(internal.get().as_bytes().to_vec()),
        issued: lease.issued,
        ttl: lease.ttl,
        max_ttl: lease.max_ttl,
        renewable: lease.renewable,
        increment: strongroom_types::Ttl::ZERO,
    }
}

#[async_trait]
impl Revoker for LeaseRevoker {
    async fn revoke(&self, lease: &Lease) -> Result<(), RevokeError> {
        match &lease.kind {
            LeaseKind::Credential { mount, path, internal, data, .. } => {
                let lease = lease_context(lease, internal);
                let credential = CredentialRef { mount, path, data: data.as_deref(), lease };
                self.revoke_credential(credential).await
            }
            LeaseKind::Token { key, .. } => {
                let missing =
                    || RevokeError::Transient("the server is starting or sealed".to_owned());
                let token_revoker = self
                    .token_revoker
                    .get()
                    .and_then(WeakTokenRevoker::upgrade)
                    .ok_or_else(missing)?;
                let Some(key) = TokenKey::from_stored(key) else {
                    return Err(RevokeError::Permanent("the lease names no token".to_owned()));
                };
                // Once marked, the token is refused, and the revocation is resumed after a restart.
                let marked = token_revoker.begin_revocation(&key, RevocationMark::Tree).await;
                marked.map(|_| ()).map_err(|error| RevokeError::Transient(error.to_string()))
            }
        }
    }
}

pub(crate) fn random_request_id(entropy: &dyn Entropy) -> RequestId {
    RequestId::random(entropy)
}

/// A lease id for a credential issued at `path`: the path, a slash and a random suffix.
pub(crate) fn random_lease_id(path: &str, entropy: &dyn Entropy) -> Option<LeaseId> {
    const SUFFIX_CHARS: usize = 24;
    LeaseId::parse(&format!("{}/{}", path.trim_end_matches('/'), entropy.base62(SUFFIX_CHARS))).ok()
}

impl std::fmt::Debug for LeaseRevoker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LeaseRevoker")
    }
}
