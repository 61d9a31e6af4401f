//! [`TokenService`]: creates service tokens with their leases, for `auth/token/create` and for
//! logins, and revokes them.

use std::sync::Arc;

use serde_json::value::RawValue;
use strongroom_barrier::Batch;
use strongroom_engine::MountLifetimes;
use strongroom_lease::{LeaseKind, NewLease};
use strongroom_telemetry::names;
use strongroom_token::{IssuedToken, NewToken, TokenRoleStore, TokenStore};
use strongroom_types::{LeaseId, MountKind, Timestamp};

use crate::error::Error;
use crate::leases::LeaseService;
use crate::leases::token_revoker::TokenRevoker;

/// Creates service tokens with their leases, and revokes tokens with their children.
#[derive(Debug)]
pub struct TokenService {
    /// The stored tokens, found by id, key or accessor.
    pub store: TokenStore,
    /// The roles of `auth/token/roles/`.
    pub roles: TokenRoleStore,
    /// Revokes tokens together with their children and leases.
    pub revoker: TokenRevoker,
    pub(crate) leases: Arc<LeaseService>,
}

impl TokenService {
    /// The default and maximum lifetime of tokens created through `auth/token/`: those of that
    /// mount, or the server's.
    pub fn lifetimes(&self) -> MountLifetimes {
        let (table, of_server) = (self.leases.mounts.table(), self.leases.lifetimes);
        let mounted = table.get(MountKind::Auth, "token/");
        mounted.map_or(of_server, |mounted| mounted.entry.effective_lifetimes(of_server))
    }

    /// Creates a token and, if it expires, its lease, in one batch.
    pub async fn create(&self, new: NewToken) -> Result<IssuedToken, Error> {
        self.create_for_login(new, None).await
    }

    /// [`TokenService::create`] for the token of a login. `login` is the serialized
    /// [`LoginRecord`](crate::logins::record::LoginRecord), which is passed back to the auth method
    /// when the token is renewed.
    pub(crate) async fn create_for_login(
        &self,
        new: NewToken,
        login: Option<Box<RawValue>>,
    ) -> Result<IssuedToken, Error> {
        let now = self.leases.clock().now();
        let parent = new.parent().cloned();
        if let Some(parent) = &parent {
            self.store.check_depth(parent).await?;
        }
        let mut batch = Batch::new();
        let created = self.store.create(&mut batch, new, now);
        if created.token.expires.is_some() {
            let id = LeaseId::parse(&created.token.lease_id(&created.key));
            let lease = NewLease {
                id: id.map_err(|error| {
                    Error::internal("a token's lease id is invalid").caused_by(error)
                })?,
                kind: LeaseKind::Token { key: created.key.as_str().to_owned(), login },
                token: None,
                issued: now,
                ttl: created.token.creation_ttl,
                max_ttl: created.token.explicit_max_ttl,
                renewable: created.token.renewable,
            };
            self.leases.store.create(&mut batch, lease);
        }
        let due = created.token.expires.unwrap_or(Timestamp::FAR_FUTURE);
        match self.leases.commit_and_notify(batch, due).await {
            Ok(()) => {}
            Err(error) if parent.is_some_and(|p| self.store.is_gone_or_revoking(&p, &error)) => {
                return Err(Error::invalid_token());
            }
            Err(error) if error.is_precondition() => {
                return Err(Error::invalid("cannot create a token with a duplicate ID"));
            }
            Err(error) => return Err(error.into()),
        }
        metrics::counter!(names::TOKEN_CREATED).increment(1);
        Ok(created)
    }
}
