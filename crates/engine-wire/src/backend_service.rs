//! The plug-in's side of the protocol: a gRPC service over the instances of one engine factory.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::ClientConfig;
use strongroom_engine::mount_config::HOST_CONFIG_KEY;
use strongroom_engine::{
    Engine, EngineError, EngineFactory, EngineResponse, Existence, FoldedPaths, MountContext,
    MountKind, catch_panic,
};
use strongroom_plugin_protocol::broker::PluginBroker;
use strongroom_plugin_protocol::generated::multiplexing as mux;
use strongroom_plugin_protocol::generated::multiplexing::plugin_multiplexing_server::PluginMultiplexing;
use strongroom_plugin_protocol::generated::{logical, pb};
use strongroom_plugin_protocol::metadata::{NO_INSTANCE, instance_id};
use strongroom_plugin_protocol::transport::{Channel, TransportSecurity};
use strongroom_types::{Clock, Entropy, Timestamp, chain};
use tonic::metadata::MetadataValue;
use tonic::{Request as Call, Response as Reply, Status, async_trait};

use crate::convert::{
    HostCall, error_to_wire, request_from_wire, response_to_wire, special_to_wire,
};
use crate::remote_host::{RemoteStorage, RemoteSystem};
use crate::{EXCLUSIVE_METADATA, FOLDED_PATHS_METADATA, LIFETIMES_METADATA};

/// All instances of one factory in this process. Cheap to clone.
#[derive(Clone)]
pub struct BackendService(Arc<BackendServiceInner>);

struct BackendServiceInner {
    factory: Arc<dyn EngineFactory>,
    broker: PluginBroker,
    security: TransportSecurity<ClientConfig>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    instances: RwLock<HashMap<String, Arc<ServedInstance>>>,
}

struct ServedInstance {
    engine: Arc<dyn Engine>,
    system: Arc<RemoteSystem>,
    /// Kept for the lifetime of the instance: the connection closes when its last clone is dropped.
    _host: Channel,
}

/// The maximum number of instances in one process; no host has so many mounts of one engine.
const MAX_INSTANCES: usize = 10_000;
/// The time limit of a request that has no deadline.
const NO_DEADLINE: Duration = Duration::from_secs(3600);

impl BackendService {
    /// No instances yet; a host creates them through the service. `security` is what the plug-in
    /// uses to connect to the host's services.
    pub fn new(
        factory: Arc<dyn EngineFactory>,
        broker: PluginBroker,
        security: impl Into<TransportSecurity<ClientConfig>>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        let (security, instances) = (security.into(), RwLock::default());
        Self(Arc::new(BackendServiceInner { factory, broker, security, clock, entropy, instances }))
    }

    /// The broker through which the host announces its services.
    pub fn broker(&self) -> &PluginBroker {
        &self.0.broker
    }

    /// Closes all instances, because the process ends.
    pub async fn close(&self) {
        let all: Vec<_> = {
            let mut instances = self.write_instances();
            instances.drain().map(|(_, instance)| instance).collect()
        };
        let closing = all.iter().map(|instance| instance.engine.close());
        futures_util::future::join_all(closing).await;
    }

    fn read_instances(
        &self,
    ) -> std::sync::RwLockReadGuard<'_, HashMap<String, Arc<ServedInstance>>> {
        self.0.instances.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_instances(
        &self,
    ) -> std::sync::RwLockWriteGuard<'_, HashMap<String, Arc<ServedInstance>>> {
        self.0.instances.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn instance_for_call<T>(&self, call: &Call<T>) -> Result<Arc<ServedInstance>, Status> {
        let id = instance_id(call.metadata())?;
        let found = self.read_instances().get(id).cloned();
        let found = found.ok_or_else(|| Status::unknown(NO_INSTANCE))?;
        if let Some(text) =
            call.metadata().get(LIFETIMES_METADATA).and_then(|value| value.to_str().ok())
        {
            found.system.set_announced_lifetimes(text);
        }
        Ok(found)
    }

    fn call_deadline<T>(&self, call: &Call<T>) -> Timestamp {
        let header = call.metadata().get("grpc-timeout").and_then(|value| value.to_str().ok());
        let left = header.and_then(parse_grpc_timeout).unwrap_or(NO_DEADLINE);
        self.0.clock.now().plus(left)
    }

    async fn open_instance(&self, id: String, args: pb::SetupArgs) -> Result<(), String> {
        let dialled = self.0.broker.dial(args.broker_id, self.0.security.clone()).await;
        let host = dialled.map_err(|error| {
            tracing::error!(error = %chain(&error), "the host's services can't be dialled");
            "the host's services can't be dialled".to_owned()
        })?;
        let is_ours = args.config.get(HOST_CONFIG_KEY).is_some_and(|value| value == "1");
        let system = Arc::new(RemoteSystem::new(&host));
        let mount = MountContext {
            uuid: args.backend_uuid,
            config: args.config,
            storage: Arc::new(RemoteStorage::new(&host, is_ours)),
            system: system.clone(),
            clock: self.0.clock.clone(),
            entropy: self.0.entropy.clone(),
        };
        let opened = catch_panic(self.0.factory.open(mount)).await;
        let engine = opened.map_err(|error| error.to_string())?;
        if let Some(path) = engine.description().special_paths.binary.first() {
            let refusal = format!(
                "the path {path:?} takes raw request bodies, which the plug-in protocol can't carry: \
                 link the engine into the server"
            );
            engine.close().await;
            return Err(refusal);
        }
        let instance = Arc::new(ServedInstance { engine, system, _host: host });
        let before = self.write_instances().insert(id, instance);
        if let Some(before) = before {
            before.engine.close().await;
        }
        Ok(())
    }
}

/// Parses the number and the unit of a `grpc-timeout` header.
fn parse_grpc_timeout(header: &str) -> Option<Duration> {
    let (digits, unit) = header.split_at_checked(header.len().checked_sub(1)?)?;
    let value: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(value.saturating_mul(3600)),
        "M" => Duration::from_secs(value.saturating_mul(60)),
        "S" => Duration::from_secs(value),
        "m" => Duration::from_millis(value),
        "u" => Duration::from_micros(value),
        "n" => Duration::from_nanos(value),
        _ => return None,
    })
}

/// Logs the cause of an internal error, because the wire transmits only its message.
fn log_cause(error: &EngineError) {
    if let EngineError::Internal { source: Some(_), .. } = error {
        tracing::error!(error = %chain(error), "a call failed");
    }
}

fn handle_request_reply(outcome: Result<EngineResponse, EngineError>) -> pb::HandleRequestReply {
    let (response, err) = match outcome {
        Ok(response) => (response_to_wire(response), None),
        Err(error) => {
            log_cause(&error);
            error_to_wire(error)
        }
    };
    pb::HandleRequestReply { response: response.map(Box::new), err, wal_index: None }
}

#[async_trait]
impl pb::backend_server::Backend for BackendService {
    async fn setup(&self, call: Call<pb::SetupArgs>) -> Result<Reply<pb::SetupReply>, Status> {
        let id = instance_id(call.metadata())?.to_owned();
        let args = call.into_inner();
        let full = self.read_instances().len() >= MAX_INSTANCES;
        let outcome = match full {
            true => Err("too many instances in one process".to_owned()),
            false => self.open_instance(id, args).await,
        };
        Ok(Reply::new(pb::SetupReply { err: outcome.err().unwrap_or_default() }))
    }

    async fn initialize(
        &self,
        call: Call<pb::InitializeArgs>,
    ) -> Result<Reply<pb::InitializeReply>, Status> {
        let instance = self.instance_for_call(&call)?;
        let err = match catch_panic(instance.engine.initialize()).await {
            Ok(()) => None,
            // This call has no response message that could carry a user error.
            Err(error) => {
                log_cause(&error);
                error_to_wire(EngineError::internal(error.to_string())).1
            }
        };
        Ok(Reply::new(pb::InitializeReply { err }))
    }

    async fn r#type(&self, call: Call<pb::Empty>) -> Result<Reply<pb::TypeReply>, Status> {
        let instance = self.instance_for_call(&call)?;
        let description = instance.engine.description();
        let r#type = match description.kind {
            MountKind::Secret => 1,
            MountKind::Auth => 2,
        };
        let mut reply = Reply::new(pb::TypeReply { r#type });
        if description.exclusive {
            reply.metadata_mut().insert(EXCLUSIVE_METADATA, MetadataValue::from_static("1"));
        }
        Ok(reply)
    }

    async fn special_paths(
        &self,
        call: Call<pb::Empty>,
    ) -> Result<Reply<pb::SpecialPathsReply>, Status> {
        let instance = self.instance_for_call(&call)?;
        let description = instance.engine.description();
        let special = special_to_wire(description.special_paths.clone());
        let mut reply = Reply::new(pb::SpecialPathsReply { paths: Some(special) });
        if let FoldedPaths::Declared(patterns) = &description.folded_paths {
            let lines = MetadataValue::from_bytes(patterns.join("\n").as_bytes());
            reply.metadata_mut().insert_bin(FOLDED_PATHS_METADATA, lines);
        }
        Ok(reply)
    }

    async fn handle_existence_check(
        &self,
        call: Call<pb::HandleExistenceCheckArgs>,
    ) -> Result<Reply<pb::HandleExistenceCheckReply>, Status> {
        let (instance, deadline) = (self.instance_for_call(&call)?, self.call_deadline(&call));
        let message = call.into_inner().request.ok_or_else(no_request)?;
        let outcome = match request_from_wire(*message, deadline) {
            Ok(HostCall::Request(request)) => catch_panic(instance.engine.exists(&request)).await,
            Ok(HostCall::Rollback) => Ok(Existence::NoCheck),
            Err(error) => Err(error),
        };
        let reply = match outcome {
            Ok(existence) => pb::HandleExistenceCheckReply {
                check_found: existence != Existence::NoCheck,
                exists: existence == Existence::Exists,
                err: None,
            },
            Err(EngineError::User { message, .. }) => pb::HandleExistenceCheckReply {
                err: Some(strongroom_plugin_protocol::values::WireError::User(message).to_wire()),
                ..Default::default()
            },
            Err(error) => {
                log_cause(&error);
                pb::HandleExistenceCheckReply { err: error_to_wire(error).1, ..Default::default() }
            }
        };
        Ok(Reply::new(reply))
    }

    async fn handle_request(
        &self,
        call: Call<pb::HandleRequestArgs>,
    ) -> Result<Reply<pb::HandleRequestReply>, Status> {
        let (instance, deadline) = (self.instance_for_call(&call)?, self.call_deadline(&call));
        let message = call.into_inner().request.ok_or_else(no_request)?;
        let outcome = match request_from_wire(*message, deadline) {
            Ok(HostCall::Request(request)) => catch_panic(instance.engine.handle(*request)).await,
            Ok(HostCall::Rollback) => {
                catch_panic(instance.engine.periodic()).await.map(|()| EngineResponse::Nothing)
            }
            Err(error) => Err(error),
        };
        Ok(Reply::new(handle_request_reply(outcome)))
    }

    async fn invalidate_key(
        &self,
        call: Call<pb::InvalidateKeyArgs>,
    ) -> Result<Reply<pb::Empty>, Status> {
        let instance = self.instance_for_call(&call)?;
        instance.engine.invalidate(&call.into_inner().key).await;
        Ok(Reply::new(pb::Empty {}))
    }

    async fn cleanup(&self, call: Call<pb::Empty>) -> Result<Reply<pb::Empty>, Status> {
        let id = instance_id(call.metadata())?.to_owned();
        let gone = self.write_instances().remove(&id);
        let gone = gone.ok_or_else(|| Status::unknown(NO_INSTANCE))?;
        gone.engine.close().await;
        Ok(Reply::new(pb::Empty {}))
    }
}

fn no_request() -> Status {
    Status::invalid_argument("the call has no request")
}

#[async_trait]
impl logical::plugin_version_server::PluginVersion for BackendService {
    async fn version(
        &self,
        _: Call<logical::Empty>,
    ) -> Result<Reply<logical::VersionReply>, Status> {
        let plugin_version = self.0.factory.version();
        Ok(Reply::new(logical::VersionReply { plugin_version }))
    }
}

#[async_trait]
impl PluginMultiplexing for BackendService {
    async fn multiplexing_support(
        &self,
        _: Call<mux::MultiplexingSupportRequest>,
    ) -> Result<Reply<mux::MultiplexingSupportResponse>, Status> {
        Ok(Reply::new(mux::MultiplexingSupportResponse { supported: true }))
    }
}
