//! Leases of the engine under test: renewing and revoking them as a server does.

use strongroom_engine::{EngineResponse, LeasedResponse, MountLifetimes, Operation};
use strongroom_types::{ErrorKind, Ttl};

use super::TestHost;
use crate::testing::{TestError, TestLease};

impl TestHost {
    /// The leases that have not been revoked.
    pub fn leases(&self) -> Vec<TestLease> {
        self.lock_leases().values().cloned().collect()
    }

    /// Renews a lease by `increment`, or by its usual lifetime if that is zero.
    ///
    /// # Errors
    ///
    /// The engine's error, or a lease that can't be renewed, as a client would receive it.
    pub async fn renew(&self, id: &str, increment: Ttl) -> Result<TestLease, TestError> {
        let refused = |text: &str| TestError::new(ErrorKind::Invalid, text);
        let lease =
            self.lock_leases().get(id).cloned().ok_or_else(|| refused("lease not found"))?;
        if !lease.renewable {
            return Err(refused("lease is not renewable"));
        }
        let past = || refused("past the max TTL, cannot renew");
        let (mount, now) = (self.0.system.current_lifetimes(), self.now());
        lease.after_renewal(increment, lease.ttl, mount, now).ok_or_else(past)?;
        let answer =
            self.call_engine(self.lease_request(Operation::Renew, &lease, increment)).await?;
        let (usual, lease) = match answer {
            EngineResponse::Leased(leased) => {
                let LeasedResponse { ttl, max_ttl, internal, seal_wrap, data, .. } = leased;
                let renewal_warnings = data.warnings;
                (ttl, TestLease { max_ttl, internal, seal_wrap, renewal_warnings, ..lease })
            }
            _ => (lease.ttl, lease),
        };
        let renewed = lease.after_renewal(increment, usual, mount, self.now()).ok_or_else(past)?;
        self.lock_leases().insert(id.to_owned(), renewed.clone());
        Ok(renewed)
    }

    /// Revokes a lease; does nothing if it no longer exists.
    ///
    /// # Errors
    ///
    /// The engine's error; the lease then remains.
    pub async fn revoke(&self, id: &str) -> Result<(), TestError> {
        let Some(lease) = self.lock_leases().get(id).cloned() else { return Ok(()) };
        self.revoke_credential(&lease).await?;
        self.lock_leases().remove(id);
        Ok(())
    }

    /// Calls the engine to revoke a lease's credential but keeps the lease, as if the server had
    /// died before it recorded the revocation.
    ///
    /// # Errors
    ///
    /// The engine's error.
    pub async fn revoke_credential(&self, lease: &TestLease) -> Result<(), TestError> {
        match self.call_engine(self.lease_request(Operation::Revoke, lease, Ttl::ZERO)).await? {
            EngineResponse::Nothing | EngineResponse::Data(_) => Ok(()),
            other => panic!("a revocation was answered with {other:?}"),
        }
    }

    /// Calls the engine to renew a lease's credential but leaves the lease unchanged, for a time at
    /// which a server would no longer send the renewal.
    ///
    /// # Errors
    ///
    /// The engine's error.
    pub async fn renew_credential(&self, lease: &TestLease) -> Result<(), TestError> {
        self.call_engine(self.lease_request(Operation::Renew, lease, Ttl::ZERO)).await?;
        Ok(())
    }

    /// Sets the mount's default and maximum lease lifetime. Both are 32 days at first.
    pub fn tune(&self, default: Ttl, max: Ttl) {
        self.0.system.set_lifetimes(MountLifetimes { default, max });
    }
}
