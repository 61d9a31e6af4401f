//! The services that a host offers to one engine instance: its mount's storage, and the system
//! view.

use std::sync::Arc;

use strongroom_engine::{
    ClusterInfo, MountLifetimes, Storage, StorageBatch, StorageChange, StorageEntry, StorageError,
    StoragePrecondition, SystemError, SystemView, WrappingToken,
};
use strongroom_plugin_protocol::generated::strongroom::mount_storage_server::{
    MountStorage, MountStorageServer,
};
use strongroom_plugin_protocol::generated::strongroom::{self as own, commit_reply, precondition};
use strongroom_plugin_protocol::generated::{logical, pb};
use strongroom_plugin_protocol::transport::GrpcServices;
use strongroom_plugin_protocol::values::{json, time};
use tonic::{Request, Response, Status, async_trait};

use crate::identity::{entity_to_wire, group_to_wire};
use crate::primitives::{ttl_from_nanos, ttl_to_nanos};

/// Facts about the host that are the same for all its engines.
#[derive(Clone, Debug, Default)]
pub struct HostFacts {
    /// The server's version, which engines can query.
    pub version: String,
}

/// The gRPC services for an instance with a mount: its storage and its system view.
pub fn host_services(
    storage: Arc<dyn Storage>,
    system: Arc<dyn SystemView>,
    facts: HostFacts,
) -> GrpcServices {
    let system = SystemService { system, facts };
    GrpcServices::new()
        .with_service(pb::storage_server::StorageServer::new(StorageService(storage.clone())))
        .with_service(MountStorageServer::new(StorageService(storage)))
        .with_service(pb::system_view_server::SystemViewServer::new(system))
        .with_service(pb::events_server::EventsServer::new(NoEvents))
        .with_service(pb::observations_server::ObservationsServer::new(NoEvents))
}

/// The services for an instance that is only queried for its metadata: all storage and system calls
/// fail, with the reason as the message.
pub fn probe_services(facts: HostFacts) -> GrpcServices {
    host_services(Arc::new(NoMount), Arc::new(NoMount), facts)
}

struct StorageService(Arc<dyn Storage>);

/// The maximum number of names in one response to a list.
const LIST_LIMIT: usize = 1_000_000;

impl StorageService {
    async fn commit_reply_text(&self, batch: StorageBatch) -> Result<String, Status> {
        match self.0.commit(batch).await {
            Ok(()) => Ok(String::new()),
            Err(error) => storage_error_text(&error),
        }
    }

    async fn list_reply(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Response<pb::StorageListReply>, Status> {
        let reply = match self.0.list(prefix, after, limit).await {
            Ok(keys) => pb::StorageListReply { keys, err: String::new() },
            Err(error) => {
                pb::StorageListReply { keys: Vec::new(), err: storage_error_text(&error)? }
            }
        };
        Ok(Response::new(reply))
    }
}

/// The error text in a reply. [`StorageError::Missing`] is reported by failing the call instead.
fn storage_error_text(error: &StorageError) -> Result<String, Status> {
    match error {
        StorageError::Missing => Err(Status::unknown(error.to_string())),
        other => Ok(other.to_string()),
    }
}

/// Rejects a transaction id, since there are no transactions that could have been begun.
fn refuse_transaction(txn: &str) -> Result<(), Status> {
    if txn.is_empty() { Ok(()) } else { Err(Status::invalid_argument("unknown transaction")) }
}

#[async_trait]
impl pb::storage_server::Storage for StorageService {
    async fn list(
        &self,
        request: Request<pb::StorageListArgs>,
    ) -> Result<Response<pb::StorageListReply>, Status> {
        let args = request.into_inner();
        refuse_transaction(&args.txn)?;
        self.list_reply(&args.prefix, None, LIST_LIMIT).await
    }

    async fn list_page(
        &self,
        request: Request<pb::StorageListPageArgs>,
    ) -> Result<Response<pb::StorageListReply>, Status> {
        let args = request.into_inner();
        refuse_transaction(&args.txn)?;
        let after = (!args.after.is_empty()).then_some(args.after.as_str());
        let limit = usize::try_from(args.limit).ok().filter(|limit| *limit > 0);
        let limit = limit.unwrap_or(LIST_LIMIT);
        self.list_reply(&args.prefix, after, limit).await
    }

    async fn get(
        &self,
        request: Request<pb::StorageGetArgs>,
    ) -> Result<Response<pb::StorageGetReply>, Status> {
        let args = request.into_inner();
        refuse_transaction(&args.txn)?;
        let reply = match self.0.get(&args.key).await {
            Ok(stored) => pb::StorageGetReply {
                entry: stored.map(|stored| pb::StorageEntry {
                    key: args.key,
                    value: stored.value,
                    seal_wrap: stored.seal_wrap,
                }),
                err: String::new(),
            },
            Err(error) => pb::StorageGetReply { entry: None, err: storage_error_text(&error)? },
        };
        Ok(Response::new(reply))
    }

    async fn put(
        &self,
        request: Request<pb::StoragePutArgs>,
    ) -> Result<Response<pb::StoragePutReply>, Status> {
        let args = request.into_inner();
        refuse_transaction(&args.txn)?;
        let entry = args.entry.ok_or_else(|| Status::invalid_argument("no entry to store"))?;
        let err = self
            .commit_reply_text(StorageBatch::put(entry.key, entry.value, entry.seal_wrap))
            .await?;
        Ok(Response::new(pb::StoragePutReply { err, wal_index: None }))
    }

    async fn delete(
        &self,
        request: Request<pb::StorageDeleteArgs>,
    ) -> Result<Response<pb::StorageDeleteReply>, Status> {
        let args = request.into_inner();
        refuse_transaction(&args.txn)?;
        let err = self.commit_reply_text(StorageBatch::delete(args.key)).await?;
        Ok(Response::new(pb::StorageDeleteReply { err, wal_index: None }))
    }

    async fn is_transactional(
        &self,
        _: Request<pb::Empty>,
    ) -> Result<Response<pb::StorageIsTransactionalReply>, Status> {
        Ok(Response::new(pb::StorageIsTransactionalReply { transactional: false }))
    }

    async fn begin_read_only_tx(
        &self,
        _: Request<pb::Empty>,
    ) -> Result<Response<pb::StorageBeginTxReply>, Status> {
        Err(Status::unimplemented("Unimplemented: transactions are not supported"))
    }

    async fn begin_tx(
        &self,
        _: Request<pb::Empty>,
    ) -> Result<Response<pb::StorageBeginTxReply>, Status> {
        Err(Status::unimplemented("Unimplemented: transactions are not supported"))
    }

    async fn commit(
        &self,
        _: Request<pb::StorageCommitTxArgs>,
    ) -> Result<Response<pb::StorageCommitTxReply>, Status> {
        Err(Status::unimplemented("Unimplemented: transactions are not supported"))
    }

    async fn rollback(
        &self,
        _: Request<pb::StorageRollbackTxArgs>,
    ) -> Result<Response<pb::StorageRollbackTxReply>, Status> {
        Err(Status::unimplemented("Unimplemented: transactions are not supported"))
    }
}

#[async_trait]
impl MountStorage for StorageService {
    async fn commit(
        &self,
        request: Request<own::CommitRequest>,
    ) -> Result<Response<own::CommitReply>, Status> {
        let outcome = match self.0.commit(batch_from_wire(request.into_inner())?).await {
            Ok(()) => commit_reply::Outcome::Committed(own::Committed { version: 0 }),
            Err(StorageError::Precondition(key)) => {
                commit_reply::Outcome::Failed(own::FailedPrecondition { key })
            }
            Err(error) => commit_reply::Outcome::Err(storage_error_text(&error)?),
        };
        Ok(Response::new(own::CommitReply { outcome: Some(outcome) }))
    }

    async fn get_versioned(
        &self,
        request: Request<own::GetRequest>,
    ) -> Result<Response<own::GetReply>, Status> {
        let reply = match self.0.get(&request.into_inner().key).await {
            Ok(stored) => own::GetReply {
                entry: stored.map(|stored| own::Versioned {
                    value: stored.value,
                    seal_wrap: stored.seal_wrap,
                    version: stored.version,
                }),
                err: String::new(),
            },
            Err(error) => own::GetReply { entry: None, err: storage_error_text(&error)? },
        };
        Ok(Response::new(reply))
    }
}

fn batch_from_wire(request: own::CommitRequest) -> Result<StorageBatch, Status> {
    let mut batch = StorageBatch::default();
    for condition in request.preconditions {
        use precondition::Requirement;
        let key = condition.key;
        batch.preconditions.push(match condition.requirement {
            Some(Requirement::Exists(_)) => StoragePrecondition::Exists(key),
            Some(Requirement::Absent(_)) => StoragePrecondition::Absent(key),
            Some(Requirement::Unchanged(at)) => StoragePrecondition::Unchanged(key, at.version),
            None => return Err(Status::invalid_argument("a precondition without a requirement")),
        });
    }
    let puts = request.puts.into_iter().map(|put| {
        let own::Put { key, value, seal_wrap } = put;
        StorageChange::Put { key, value, seal_wrap }
    });
    let deletes = request.deletes.into_iter().map(|key| StorageChange::Delete { key });
    batch.changes = puts.chain(deletes).collect();
    Ok(batch)
}

struct SystemService {
    system: Arc<dyn SystemView>,
    facts: HostFacts,
}

/// The replication state of a single cluster without replication.
const NOT_REPLICATED: i32 = 4096 + 8192;

fn wrapping_to_wire(wrapping: &WrappingToken) -> pb::ResponseWrapInfo {
    pb::ResponseWrapInfo {
        ttl: ttl_to_nanos(wrapping.ttl),
        // The message's buffer belongs to the transport, and isn't wiped after use.
        token: wrapping.token.expose_secret().clone(),
        accessor: wrapping.accessor.clone(),
        creation_time: Some(time::to_wire(Some(wrapping.creation_time))),
        creation_path: wrapping.creation_path.clone(),
        ..pb::ResponseWrapInfo::blank()
    }
}

fn system_error_status(error: &SystemError) -> Status {
    Status::internal(error.to_string())
}

fn unsupported_status(what: &str) -> Status {
    Status::internal(format!("{what} is not supported by this server"))
}

#[async_trait]
impl pb::system_view_server::SystemView for SystemService {
    async fn default_lease_ttl(
        &self,
        _: Request<pb::Empty>,
    ) -> Result<Response<pb::TtlReply>, Status> {
        let lifetimes =
            self.system.lifetimes().await.map_err(|error| system_error_status(&error))?;
        Ok(Response::new(pb::TtlReply {
            ttl: time::duration_to_wire(lifetimes.default.as_duration()),
        }))
    }

    async fn max_lease_ttl(&self, _: Request<pb::Empty>) -> Result<Response<pb::TtlReply>, Status> {
        let lifetimes =
            self.system.lifetimes().await.map_err(|error| system_error_status(&error))?;
        Ok(Response::new(pb::TtlReply { ttl: time::duration_to_wire(lifetimes.max.as_duration()) }))
    }

    async fn tainted(&self, _: Request<pb::Empty>) -> Result<Response<pb::TaintedReply>, Status> {
        let tainted = self.system.tainted().await.map_err(|error| system_error_status(&error))?;
        Ok(Response::new(pb::TaintedReply { tainted }))
    }

    async fn caching_disabled(
        &self,
        _: Request<pb::Empty>,
    ) -> Result<Response<pb::CachingDisabledReply>, Status> {
        Ok(Response::new(pb::CachingDisabledReply { disabled: false }))
    }

    async fn replication_state(
        &self,
        _: Request<pb::Empty>,
    ) -> Result<Response<pb::ReplicationStateReply>, Status> {
        Ok(Response::new(pb::ReplicationStateReply { state: NOT_REPLICATED }))
    }

    async fn response_wrap_data(
        &self,
        request: Request<pb::ResponseWrapDataArgs>,
    ) -> Result<Response<pb::ResponseWrapDataReply>, Status> {
        // Tokens are opaque: `jwt` is ignored, as by other hosts.
        let pb::ResponseWrapDataArgs { data, ttl, .. } = request.into_inner();
        let reply = match json::from_wire(data) {
            Ok(Some(data)) => match self.system.wrap_data(data, ttl_from_nanos(ttl)).await {
                Ok(wrapping) => pb::ResponseWrapDataReply {
                    wrap_info: Some(wrapping_to_wire(&wrapping)),
                    err: String::new(),
                },
                Err(SystemError(err)) => pb::ResponseWrapDataReply { wrap_info: None, err },
            },
            Ok(None) | Err(_) => {
                return Err(Status::invalid_argument("the data to wrap is not a JSON object"));
            }
        };
        Ok(Response::new(reply))
    }

    async fn mlock_enabled(
        &self,
        _: Request<pb::Empty>,
    ) -> Result<Response<pb::MlockEnabledReply>, Status> {
        Ok(Response::new(pb::MlockEnabledReply { enabled: false }))
    }

    async fn local_mount(
        &self,
        _: Request<pb::Empty>,
    ) -> Result<Response<pb::LocalMountReply>, Status> {
        Ok(Response::new(pb::LocalMountReply { local: false }))
    }

    async fn entity_info(
        &self,
        request: Request<pb::EntityInfoArgs>,
    ) -> Result<Response<pb::EntityInfoReply>, Status> {
        let reply = match self.system.entity(&request.into_inner().entity_id).await {
            Ok(entity) => {
                pb::EntityInfoReply { entity: entity.map(entity_to_wire), err: String::new() }
            }
            Err(SystemError(err)) => pb::EntityInfoReply { entity: None, err },
        };
        Ok(Response::new(reply))
    }

    async fn plugin_env(
        &self,
        _: Request<pb::Empty>,
    ) -> Result<Response<pb::PluginEnvReply>, Status> {
        let environment = logical::PluginEnvironment {
            vault_version: self.facts.version.clone(),
            ..logical::PluginEnvironment::default()
        };
        Ok(Response::new(pb::PluginEnvReply {
            plugin_environment: Some(environment),
            err: String::new(),
        }))
    }

    async fn groups_for_entity(
        &self,
        request: Request<pb::EntityInfoArgs>,
    ) -> Result<Response<pb::GroupsForEntityReply>, Status> {
        let reply = match self.system.entity_groups(&request.into_inner().entity_id).await {
            Ok(groups) => pb::GroupsForEntityReply {
                groups: groups.into_iter().map(group_to_wire).collect(),
                err: String::new(),
            },
            Err(SystemError(err)) => pb::GroupsForEntityReply { groups: Vec::new(), err },
        };
        Ok(Response::new(reply))
    }

    async fn generate_password_from_policy(
        &self,
        request: Request<pb::GeneratePasswordFromPolicyRequest>,
    ) -> Result<Response<pb::GeneratePasswordFromPolicyReply>, Status> {
        let name = request.into_inner().policy_name;
        if name.is_empty() {
            return Err(Status::invalid_argument("no password policy name"));
        }
        let password = self
            .system
            .generate_password(&name)
            .await
            .map_err(|error| system_error_status(&error))?;
        // The message's buffer belongs to the transport, and isn't wiped after use.
        let password = password.expose_secret().clone();
        Ok(Response::new(pb::GeneratePasswordFromPolicyReply { password }))
    }

    async fn cluster_info(
        &self,
        _: Request<pb::Empty>,
    ) -> Result<Response<pb::ClusterInfoReply>, Status> {
        let cluster =
            self.system.cluster_info().await.map_err(|error| system_error_status(&error))?;
        Ok(Response::new(pb::ClusterInfoReply {
            cluster_name: cluster.name,
            cluster_id: cluster.id,
            err: String::new(),
        }))
    }

    async fn generate_identity_token(
        &self,
        _: Request<pb::GenerateIdentityTokenRequest>,
    ) -> Result<Response<pb::GenerateIdentityTokenResponse>, Status> {
        Err(unsupported_status("workload identity"))
    }

    async fn get_rotation_information(
        &self,
        _: Request<pb::RotationInfoRequest>,
    ) -> Result<Response<pb::RotationInfoReply>, Status> {
        Err(unsupported_status("the rotation manager"))
    }

    async fn register_rotation_job(
        &self,
        _: Request<pb::RegisterRotationJobRequest>,
    ) -> Result<Response<pb::RegisterRotationJobResponse>, Status> {
        Err(unsupported_status("the rotation manager"))
    }

    async fn register_rotation_job_with_response(
        &self,
        _: Request<pb::RegisterRotationJobRequest>,
    ) -> Result<Response<pb::RegisterRotationJobWithResponseReply>, Status> {
        Err(unsupported_status("the rotation manager"))
    }

    async fn deregister_rotation_job(
        &self,
        _: Request<pb::DeregisterRotationJobRequest>,
    ) -> Result<Response<pb::Empty>, Status> {
        Err(unsupported_status("the rotation manager"))
    }
}

/// The services of Vault's event bus and observations, which this server doesn't have. Nothing is
/// logged: a plug-in may call them at each of its requests.
struct NoEvents;

#[async_trait]
impl pb::events_server::Events for NoEvents {
    async fn send_event(
        &self,
        _: Request<pb::SendEventRequest>,
    ) -> Result<Response<pb::Empty>, Status> {
        Err(Status::unimplemented("events are not supported by this server"))
    }
}

#[async_trait]
impl pb::observations_server::Observations for NoEvents {
    async fn record_observation(
        &self,
        _: Request<pb::RecordObservationRequest>,
    ) -> Result<Response<pb::Empty>, Status> {
        Err(Status::unimplemented("observations are not supported by this server"))
    }
}

/// The storage and system view of an instance that is only queried for its metadata.
#[derive(Debug)]
struct NoMount;

const NO_SYSTEM: &str = "missing system view implementation: this method should not be called \
                         during plugin Setup, but only during and after Initialize";

fn no_system<T>() -> Result<T, SystemError> {
    Err(SystemError(NO_SYSTEM.to_owned()))
}

#[async_trait]
impl Storage for NoMount {
    async fn get(&self, _: &str) -> Result<Option<StorageEntry>, StorageError> {
        Err(StorageError::Missing)
    }

    async fn list(&self, _: &str, _: Option<&str>, _: usize) -> Result<Vec<String>, StorageError> {
        Err(StorageError::Missing)
    }

    async fn commit(&self, _: StorageBatch) -> Result<(), StorageError> {
        Err(StorageError::Missing)
    }

    fn is_atomic(&self) -> bool {
        false
    }
}

#[async_trait]
impl SystemView for NoMount {
    async fn lifetimes(&self) -> Result<MountLifetimes, SystemError> {
        no_system()
    }

    async fn tainted(&self) -> Result<bool, SystemError> {
        no_system()
    }

    async fn cluster_info(&self) -> Result<ClusterInfo, SystemError> {
        no_system()
    }

    async fn server_version(&self) -> Result<String, SystemError> {
        no_system()
    }
}
