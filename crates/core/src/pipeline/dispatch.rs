//! Passes an authorized request to the backend of its mount.

use std::sync::Arc;

use strongroom_types::ErrorKind;

use crate::error::Error;
use crate::stages::AuthorizedRequest;
use crate::unsealed::UnsealedCore;
use crate::unsealed::backend::BackendResponse;

pub(crate) async fn dispatch(
    core: &Arc<UnsealedCore>,
    authorized: &mut AuthorizedRequest,
) -> Result<BackendResponse, Error> {
    let routed = &authorized.routed;
    let Some(mounted) = &routed.mounted else {
        let path = routed.request.path.as_str();
        let text = format!("no handler for route {path:?}. route entry not found.");
        return Err(Error::with_message(ErrorKind::NotFound, text));
    };
    let backend = core.backends.backend_of(mounted).ok_or_else(Error::unsupported_path)?;
    backend.handle(core, authorized).await
}
