//! Looking up, renewing and revoking leases.
//!
//! <https://developer.hashicorp.com/vault/api-docs/system/leases>

use std::time::Duration;

use serde::Serialize;
use strongroom_types::Ttl;

use crate::client::Client;
use crate::error::Error;
use crate::response::SecretResponse;

/// Which leases to revoke: a single one, or all below a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RevokeTarget<'a> {
    /// The lease with this id.
    Lease(&'a str),
    /// All leases whose ids begin with this path.
    Prefix(&'a str),
    /// All leases below this path, dropped even if the engine fails to revoke the credentials.
    Force(&'a str),
}

impl Client {
    /// Looks up when a lease was issued, last renewed and expires.
    ///
    /// # Errors
    ///
    /// As for [`Client::read`].
    pub async fn look_up_lease(&self, lease_id: &str) -> Result<SecretResponse, Error> {
        #[derive(Serialize)]
        struct LeaseLookupBody<'a> {
            lease_id: &'a str,
        }
        self.put_for_response("sys/leases/lookup", &LeaseLookupBody { lease_id }).await
    }

    /// Renews a lease for `increment` from now, rounded up to seconds; zero for its usual lifetime.
    ///
    /// # Errors
    ///
    /// As for [`Client::read`].
    pub async fn renew_lease(
        &self,
        lease_id: &str,
        increment: Duration,
    ) -> Result<SecretResponse, Error> {
        #[derive(Serialize)]
        struct LeaseRenewBody<'a> {
            lease_id: &'a str,
            increment: u64,
        }
        let increment = Ttl::rounded_up(increment).as_secs();
        self.put_for_response("sys/leases/renew", &LeaseRenewBody { lease_id, increment }).await
    }

    /// Revokes leases. With `wait`, returns once they are revoked; without, once that is queued.
    ///
    /// # Errors
    ///
    /// As for [`Client::read`].
    pub async fn revoke_leases(&self, what: RevokeTarget<'_>, wait: bool) -> Result<(), Error> {
        #[derive(Serialize)]
        struct RevokeBody {
            sync: bool,
        }
        let path = match what {
            RevokeTarget::Lease(id) => format!("sys/leases/revoke/{id}"),
            RevokeTarget::Prefix(prefix) => format!("sys/leases/revoke-prefix/{prefix}"),
            RevokeTarget::Force(prefix) => format!("sys/leases/revoke-force/{prefix}"),
        };
        self.put_json(&path, &RevokeBody { sync: wait }).await.map(drop)
    }
}
