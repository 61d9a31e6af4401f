//! Leases.
//!
//! <https://developer.hashicorp.com/vault/api-docs/system/leases>

use std::time::Duration;

use serde::Serialize;
use strongroom_types::Ttl;

use crate::client::Client;
use crate::error::Error;
use crate::response::SecretResponse;

/// What to revoke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RevokeTarget<'a> {
    /// One lease.
    Lease(&'a str),
    /// All leases below a path.
    Prefix(&'a str),
    /// All leases below a path, even if the engine can't revoke what they are for.
    Force(&'a str),
}

impl Client {
    /// A lease's times.
    pub async fn look_up_lease(&self, lease_id: &str) -> Result<SecretResponse, Error> {
        #[derive(Serialize)]
        struct LeaseLookupBody<'a> {
            lease_id: &'a str,
        }
        self.put_for_response("sys/leases/lookup", &LeaseLookupBody { lease_id }).await
    }

    /// Renews a lease, from now; zero for its usual time.
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

    /// Revokes leases: waits until it is done, or has it queued.
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
