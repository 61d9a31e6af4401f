//! [`RemoteEngine`]: the host's view of an engine in another process.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use strongroom_engine::{
    Engine, EngineDescription, EngineError, EngineRequest, EngineResponse, Existence, FoldedPaths,
    MountContext, MountKind, MountLifetimes, StatusKind,
};
use strongroom_plugin_protocol::broker::{HostBroker, OfferError, OfferedServices};
use strongroom_plugin_protocol::generated::logical;
use strongroom_plugin_protocol::generated::logical::plugin_version_client::PluginVersionClient;
use strongroom_plugin_protocol::generated::pb;
use strongroom_plugin_protocol::generated::pb::backend_client::BackendClient;
use strongroom_plugin_protocol::metadata::{ForInstance, NoInstanceId};
use strongroom_plugin_protocol::transport::{AnySize, Channel, GrpcServices};
use strongroom_types::{Clock, Timestamp};
use tonic::metadata::MetadataMap;
use tonic::{Code, Request as Call, Status};

use crate::call_errors::{call_error, peer_error_text};
use crate::convert::{error_from_wire, reply_from_wire, request_to_wire, special_from_wire};
use crate::{EXCLUSIVE_METADATA, FOLDED_PATHS_METADATA, LIFETIMES_METADATA};

/// An engine instance in another process; implements [`Engine`] by calls over the plug-in protocol.
pub struct RemoteEngine {
    backend: BackendClient<ForInstance<Channel>>,
    description: EngineDescription,
    clock: Arc<dyn Clock>,
    mount: Option<MountContext>,
    offered: std::sync::Mutex<Option<OfferedServices>>,
}

/// What [`RemoteEngine::set_up`] needs to create an instance in a running plug-in process.
#[derive(Debug)]
pub struct InstanceSetup<'a> {
    /// The connection to the plug-in process.
    pub channel: &'a Channel,
    /// The broker through which the host offers services to the process.
    pub broker: &'a HostBroker,
    /// The services offered to this instance: its storage and its system view.
    pub services: GrpcServices,
    /// The instance's id among the instances of the process.
    pub instance: String,
    /// The mount; `None` if the instance is only queried for its metadata.
    pub mount: Option<MountContext>,
    /// The clock for the deadlines of calls.
    pub clock: Arc<dyn Clock>,
    /// The time limit of each step of the set-up.
    pub limit: Duration,
}

/// Why an instance could not be set up. The message is for the operator.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InstanceSetupError {
    /// The host's services could not be offered through the broker.
    #[error(transparent)]
    Offer(#[from] OfferError),
    /// The instance id isn't valid as a header value.
    #[error(transparent)]
    Instance(#[from] NoInstanceId),
    /// The plug-in rejected the set-up call; the text is its message.
    #[error("the plug-in refused to be set up: {0}")]
    Refused(String),
    /// A call of the set-up failed.
    #[error("the plug-in failed while it was set up: {call}: {reason}")]
    Call {
        /// The name of the failed call.
        call: &'static str,
        /// The error of the transport or of the plug-in.
        reason: String,
    },
    /// The plug-in is neither a secrets engine nor an auth method.
    #[error("the plug-in is of an unknown type ({0})")]
    Type(u32),
    /// The plug-in declares a special path in a form that hosts reject.
    #[error("the plug-in declares an invalid special path: {0:?}")]
    SpecialPath(String),
}

/// The type number of a user error. It counts as such only in the response to an existence check.
const USER_ERROR: u32 = 1;

/// The time limit of the clean-up call.
const CLEANUP_TIMEOUT: Duration = Duration::from_secs(2);

impl RemoteEngine {
    /// Sets up an instance in the plug-in process, and queries its type, version and special paths.
    ///
    /// # Errors
    ///
    /// [`InstanceSetupError`] if a call fails or the plug-in declares something invalid. If the
    /// plug-in had already created the instance, the clean-up call is sent.
    pub async fn set_up(setting: InstanceSetup<'_>) -> Result<Self, InstanceSetupError> {
        let offered = setting.broker.offer(setting.services).await?;
        let channel = ForInstance::new(setting.channel.clone(), &setting.instance)?;
        let mut backend = BackendClient::new(channel.clone()).any_size();
        let limit = setting.limit;
        let (config, uuid) = match &setting.mount {
            Some(mount) => (mount.config.clone(), mount.uuid.clone()),
            None => Default::default(),
        };
        let args = pb::SetupArgs { broker_id: offered.service_id(), config, backend_uuid: uuid };
        let reply = backend
            .setup(call_with_timeout(args, limit))
            .await
            .map_err(|s| setup_call_error("Setup", &s))?;
        let refusal = reply.into_inner().err;
        if !refusal.is_empty() {
            return Err(InstanceSetupError::Refused(refusal));
        }
        let description = match Box::pin(query_description(&mut backend, channel, limit)).await {
            Ok(description) => description,
            Err(error) => {
                // The process may have other instances and go on without this one.
                let _ = backend.cleanup(call_with_timeout(pb::Empty {}, CLEANUP_TIMEOUT)).await;
                return Err(error);
            }
        };
        Ok(Self {
            backend,
            description,
            clock: setting.clock,
            mount: setting.mount,
            offered: std::sync::Mutex::new(Some(offered)),
        })
    }

    /// Like [`Engine::handle`], for a request that the caller may have to send again.
    ///
    /// # Errors
    ///
    /// The engine's own error, or [`EngineError::Unavailable`] if the process can't be reached.
    pub async fn handle_borrowed(
        &self,
        request: &EngineRequest,
    ) -> Result<EngineResponse, EngineError> {
        let message = Some(Box::new(request_to_wire(request)));
        let args = pb::HandleRequestArgs { storage_id: 0, request: message };
        let call = self.call_with_lifetimes(args, request.deadline).await;
        let reply = self.backend.clone().handle_request(call).await;
        let reply = reply.map_err(|status| call_error(&status))?.into_inner();
        reply_from_wire(reply.response.map(|response| *response), reply.err)
    }

    /// A call with a deadline and, for engines of this SDK, the mount's lifetimes.
    async fn call_with_lifetimes<T>(&self, message: T, deadline: Timestamp) -> Call<T> {
        let mut call = call_with_timeout(message, deadline.since(self.clock.now()));
        if let Some(mount) = &self.mount
            && let Ok(MountLifetimes { default, max }) = mount.system.lifetimes().await
            && let Ok(value) = format!("{},{}", default.as_secs(), max.as_secs()).parse()
        {
            call.metadata_mut().insert(LIFETIMES_METADATA, value);
        }
        call
    }

    fn background_deadline(&self) -> Timestamp {
        const BACKGROUND_TIMEOUT: Duration = Duration::from_secs(60);
        self.clock.now().plus(BACKGROUND_TIMEOUT)
    }
}

async fn query_description(
    backend: &mut BackendClient<ForInstance<Channel>>,
    channel: ForInstance<Channel>,
    limit: Duration,
) -> Result<EngineDescription, InstanceSetupError> {
    let kind = backend
        .r#type(call_with_timeout(pb::Empty {}, limit))
        .await
        .map_err(|s| setup_call_error("Type", &s))?;
    let exclusive = kind.metadata().contains_key(EXCLUSIVE_METADATA);
    let kind = match kind.into_inner().r#type {
        1 => MountKind::Secret,
        2 => MountKind::Auth,
        other => return Err(InstanceSetupError::Type(other)),
    };
    let special = backend
        .special_paths(call_with_timeout(pb::Empty {}, limit))
        .await
        .map_err(|s| setup_call_error("SpecialPaths", &s))?;
    let folded = folded_paths(special.metadata())?;
    let special = special.into_inner().paths.map(special_from_wire).unwrap_or_default();
    let listed = special.root.iter().chain(&special.unauthenticated).chain(&special.binary);
    for path in listed {
        if !is_valid_special_path(path) {
            return Err(InstanceSetupError::SpecialPath(path.clone()));
        }
    }
    let mut versions = PluginVersionClient::new(channel).any_size();
    let version = match versions.version(call_with_timeout(logical::Empty {}, limit)).await {
        Ok(reply) => reply.into_inner().plugin_version,
        // The plug-in's SDK predates the version call.
        Err(status) if status.code() == Code::Unimplemented => String::new(),
        Err(status) => return Err(setup_call_error("Version", &status)),
    };
    Ok(EngineDescription {
        kind,
        version,
        special_paths: special,
        wants_token_hash: true,
        folded_paths: folded,
        exclusive,
    })
}

/// Which paths an engine of this SDK declares case-insensitive. A missing or unreadable declaration
/// counts as unknown, which is the stricter choice.
fn folded_paths(metadata: &MetadataMap) -> Result<FoldedPaths, InstanceSetupError> {
    let Some(lines) = metadata.get_bin(FOLDED_PATHS_METADATA).and_then(|it| it.to_bytes().ok())
    else {
        return Ok(FoldedPaths::Unknown);
    };
    let Ok(lines) = std::str::from_utf8(&lines) else { return Ok(FoldedPaths::Unknown) };
    let patterns: Vec<String> = lines.lines().map(str::to_owned).collect();
    match patterns.iter().find(|pattern| !is_valid_special_path(pattern)) {
        Some(path) => Err(InstanceSetupError::SpecialPath(path.clone())),
        None => Ok(FoldedPaths::Declared(patterns)),
    }
}

/// Allows at most one `*`, at the end and not after `+`; and `+` only as a whole segment.
fn is_valid_special_path(path: &str) -> bool {
    let body = path.strip_suffix('*').unwrap_or(path);
    let segments_fit = body.split('/').all(|segment| segment == "+" || !segment.contains('+'));
    !body.contains('*') && !path.ends_with("+*") && segments_fit
}

fn call_with_timeout<T>(message: T, limit: Duration) -> Call<T> {
    let mut call = Call::new(message);
    call.set_timeout(limit);
    call
}

fn setup_call_error(call: &'static str, status: &Status) -> InstanceSetupError {
    InstanceSetupError::Call { call, reason: peer_error_text(status) }
}

#[async_trait]
impl Engine for RemoteEngine {
    fn description(&self) -> &EngineDescription {
        &self.description
    }

    async fn initialize(&self) -> Result<(), EngineError> {
        let call =
            self.call_with_lifetimes(pb::InitializeArgs {}, self.background_deadline()).await;
        match self.backend.clone().initialize(call).await {
            Ok(reply) => reply.into_inner().err.map_or(Ok(()), |error| Err(error_from_wire(error))),
            Err(status) if status.code() == Code::Unimplemented => Ok(()),
            Err(status) => Err(call_error(&status)),
        }
    }

    async fn exists(&self, request: &EngineRequest) -> Result<Existence, EngineError> {
        let deadline = request.deadline;
        let message = Some(Box::new(request_to_wire(request)));
        let args = pb::HandleExistenceCheckArgs { storage_id: 0, request: message };
        let call = self.call_with_lifetimes(args, deadline).await;
        let reply = self.backend.clone().handle_existence_check(call).await;
        let reply = reply.map_err(|status| call_error(&status))?.into_inner();
        match (reply.err, reply.check_found, reply.exists) {
            // The existence check is the first call to detect fields that can't be parsed.
            (Some(error), _, _) if error.err_type == USER_ERROR => {
                Err(EngineError::User { message: error.err_msg, data: None })
            }
            (Some(error), _, _) => Err(error_from_wire(error)),
            (None, false, _) => Ok(Existence::NoCheck),
            (None, true, true) => Ok(Existence::Exists),
            (None, true, false) => Ok(Existence::Absent),
        }
    }

    async fn handle(&self, request: EngineRequest) -> Result<EngineResponse, EngineError> {
        self.handle_borrowed(&request).await
    }

    async fn invalidate(&self, key: &str) {
        const INVALIDATE_TIMEOUT: Duration = Duration::from_secs(1);
        let call =
            call_with_timeout(pb::InvalidateKeyArgs { key: key.to_owned() }, INVALIDATE_TIMEOUT);
        if let Err(status) = self.backend.clone().invalidate_key(call).await {
            tracing::debug!(code = ?status.code(), "an invalidation was not delivered");
        }
    }

    async fn periodic(&self) -> Result<(), EngineError> {
        let request = pb::Request { operation: "rollback".to_owned(), ..pb::Request::blank() };
        let request = Some(Box::new(request));
        let call = self
            .call_with_lifetimes(
                pb::HandleRequestArgs { storage_id: 0, request },
                self.background_deadline(),
            )
            .await;
        let reply = self.backend.clone().handle_request(call).await;
        let reply = reply.map_err(|status| call_error(&status))?.into_inner();
        match reply.err.map(error_from_wire) {
            // The engine has no periodic work, or may not do it here.
            None
            | Some(EngineError::Status(StatusKind::UnsupportedOperation | StatusKind::ReadOnly)) => {
                Ok(())
            }
            Some(error) => Err(error),
        }
    }

    async fn close(&self) {
        // The instance counts as closed whatever the outcome.
        let _ =
            self.backend.clone().cleanup(call_with_timeout(pb::Empty {}, CLEANUP_TIMEOUT)).await;
        let offered = self.offered.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        if let Some(offered) = offered {
            offered.close(CLEANUP_TIMEOUT).await;
        }
    }
}

impl fmt::Debug for RemoteEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteEngine")
            .field("version", &self.description.version)
            .finish_non_exhaustive()
    }
}
