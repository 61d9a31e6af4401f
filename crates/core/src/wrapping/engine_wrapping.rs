//! Wrapping that an engine asks for: of its response, or of other data.

use async_trait::async_trait;
use strongroom_barrier::Batch;
use strongroom_engine::{EngineResponse, MountInfo, SystemError, WrappingToken};
use strongroom_mounts::data_wrapping::DataWrapper;
use strongroom_types::{RawObject, Ttl, chain};

use super::wrapped_response::WrappedResponse;
use super::{NewWrapping, WrapRequest, WrappingService};
use crate::error::Error;
use crate::request::{ResponseEnvelope, WrapInfo};
use crate::stages::AuthorizedRequest;
use crate::unsealed::UnsealedCore;

/// The path that the reference server records for data that an engine wraps.
const WRAP_PATH: &str = "sys/wrapping/wrap";

impl WrapRequest {
    /// The request of an engine to wrap its own response; `None` if it makes none. Its lifetime is
    /// limited by the mount's maximum and the server's.
    pub(crate) fn from_engine(
        core: &UnsealedCore,
        request: &AuthorizedRequest,
        response: &EngineResponse,
    ) -> Option<Self> {
        let data = match response {
            EngineResponse::Data(data) | EngineResponse::NotFound(data) => data,
            EngineResponse::Leased(leased) => &leased.data,
            EngineResponse::Auth(auth) => &auth.data,
            EngineResponse::Nothing | EngineResponse::Raw(_) | EngineResponse::Redirect(_) => {
                return None;
            }
        };
        let requested = data.wrap_ttl?;
        let mounted = request.routed.mounted.as_ref();
        let of_mount = mounted.map_or(core.settings.lifetimes, |mounted| {
            mounted.entry.effective_lifetimes(core.settings.lifetimes)
        });
        let ttl = core.wrapping.cap_wrap_ttl(requested.min(of_mount.max));
        Some(Self::new(ttl, None, &request.routed, request.caller.as_ref()))
    }

    /// Of the client's and the engine's request the one with the shorter lifetime.
    pub(crate) fn shorter(of_client: Option<Self>, of_engine: Option<Self>) -> Option<Self> {
        match (of_client, of_engine) {
            (Some(of_client), Some(of_engine)) if of_engine.ttl < of_client.ttl => Some(of_engine),
            (of_client, of_engine) => of_client.or(of_engine),
        }
    }
}

#[async_trait]
impl DataWrapper for WrappingService {
    async fn wrap_data(
        &self,
        mount: &MountInfo,
        data: RawObject,
        ttl: Ttl,
    ) -> Result<WrappingToken, SystemError> {
        let stored_response = WrappedResponse::from_envelope(ResponseEnvelope {
            data: Some(data),
            mount_type: mount.mount_type.clone(),
            ..ResponseEnvelope::default()
        });
        let new = NewWrapping {
            ttl,
            // The token's lease is below it, and is revoked when the mount is disabled.
            token_path: &mount.path,
            creation_path: WRAP_PATH,
            display_name: "",
        };
        let mut batch = Batch::new();
        let created = new
            .add_to_batch(self, &mut batch, &stored_response)
            .map_err(|error| refused(&error))?;
        let leases = self.tokens.leases.clone();
        let expires = created.expires_at();
        let commit = async move {
            leases.commit_and_notify(batch, expires).await.map_err(Error::from)?;
            Ok(created.into_wrap_info())
        };
        let WrapInfo { token, accessor, ttl, creation_time, creation_path, .. } =
            self.tokens.leases.detached.run(commit).await.map_err(|error| refused(&error))?;
        let accessor = accessor.to_string();
        Ok(WrappingToken { token, accessor, ttl, creation_time, creation_path })
    }
}

/// The error for the engine. Only what is meant for clients is passed on.
fn refused(error: &Error) -> SystemError {
    if let Some(text) = error.client_message() {
        return SystemError(text.to_owned());
    }
    tracing::error!(error = %chain(error), "data that an engine gave could not be wrapped");
    SystemError("the data could not be wrapped".to_owned())
}
