//! Leases.
//!
//! <https://developer.hashicorp.com/vault/api-docs/system/leases>

use std::time::Duration;

use serde::Serialize;
use strongroom_types::Ttl;

use crate::answer::SecretAnswer;
use crate::client::Client;
use crate::error::Error;

/// What to revoke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revoke<'a> {
    /// One lease.
    Lease(&'a str),
    /// All leases below a path.
    Prefix(&'a str),
    /// All leases below a path, even if the engine can't revoke what they are for.
    Force(&'a str),
}

impl Client {
    /// A lease's times.
    pub async fn look_up_lease(&self, lease_id: &str) -> Result<SecretAnswer, Error> {
        #[derive(Serialize)]
        struct Body<'a> {
            lease_id: &'a str,
        }
        self.put_for_answer("sys/leases/lookup", &Body { lease_id }).await
    }

    /// Renews a lease, from now; zero for its usual time.
    pub async fn renew_lease(
        &self,
        lease_id: &str,
        increment: Duration,
    ) -> Result<SecretAnswer, Error> {
        #[derive(Serialize)]
        struct Body<'a> {
            lease_id: &'a str,
            increment: u64,
        }
        let increment = Ttl::rounded_up(increment).as_secs();
        self.put_for_answer("sys/leases/renew", &Body { lease_id, increment }).await
    }

    /// Revokes leases: waits until it is done, or has it queued.
    pub async fn revoke(&self, what: Revoke<'_>, wait: bool) -> Result<(), Error> {
        #[derive(Serialize)]
        struct Body {
            sync: bool,
        }
        let path = match what {
            Revoke::Lease(id) => format!("sys/leases/revoke/{id}"),
            Revoke::Prefix(prefix) => format!("sys/leases/revoke-prefix/{prefix}"),
            Revoke::Force(prefix) => format!("sys/leases/revoke-force/{prefix}"),
        };
        self.put(&path, &Body { sync: wait }).await.map(drop)
    }
}
