//! The requests that a [`TestHost`] sends to the engine.

use std::time::Duration;

use strongroom_engine::{
    CallerInfo, EngineRequest, EntityGroup, EntityInfo, LeaseContext, Operation,
};
use strongroom_types::{Fields, Namespace, RequestId, Ttl};

use super::host::{TestHost, lock_mutex};
use super::{TestCaller, TestLease};

/// How long the client of a request waits for the response.
const REQUEST_LIMIT: Duration = Duration::from_secs(90);

impl TestHost {
    /// Sets who sends the requests from now on.
    pub fn set_caller(&self, caller: TestCaller) {
        *lock_mutex(&self.0.caller) = caller;
    }

    /// Adds an entity and the groups it belongs to, or replaces those of the same id. Engines see
    /// them through [`Context::system`](crate::Context::system).
    pub fn add_entity(&self, entity: EntityInfo, groups: Vec<EntityGroup>) {
        self.0.system.put_entity(entity, groups);
    }

    /// Takes the data that the engine wrapped with [`Context::wrap_data`](crate::Context::wrap_data)
    /// under this token, as its holder does. `None` if there is none, it was taken already, or it has
    /// expired.
    pub fn unwrap_data(&self, token: &str) -> Option<Fields> {
        self.0.system.take_wrapped(token)
    }

    pub(super) fn new_request(
        &self,
        operation: Operation,
        path: &str,
        fields: Fields,
    ) -> EngineRequest {
        let id = match RequestId::parse(&self.0.entropy.uuid()) {
            Ok(id) => id,
            Err(error) => panic!("a UUID makes a request id: {error}"),
        };
        let TestCaller { info, connection, headers } = lock_mutex(&self.0.caller).clone();
        EngineRequest {
            id,
            operation,
            path: path.to_owned(),
            fields,
            raw_body: None,
            mount: self.0.mount.clone(),
            caller: info,
            connection,
            headers,
            wrap_ttl: None,
            lease: None,
            auth: None,
            namespace: Namespace::Root,
            deadline: self.now().plus(REQUEST_LIMIT),
        }
    }

    /// The request with which a server renews or revokes a lease.
    pub(super) fn lease_request(
        &self,
        operation: Operation,
        lease: &TestLease,
        increment: Ttl,
    ) -> EngineRequest {
        let context: LeaseContext = lease.to_context(increment);
        let request = self.new_request(operation, &lease.path, lease.request_fields());
        EngineRequest {
            lease: Some(context),
            caller: CallerInfo::default(),
            connection: None,
            headers: std::collections::BTreeMap::new(),
            ..request
        }
    }
}
