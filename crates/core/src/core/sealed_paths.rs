//! [`SealedPaths`]: the paths that are served whether the server is sealed or not.

use strongroom_types::clock::BoxFuture;

use super::Core;
use crate::error::Error;
use crate::request::CoreResponse;
use crate::stages::AdmittedRequest;

/// Serves the paths that need no unsealed server, such as `sys/seal-status`. None of them requires
/// a token.
pub trait SealedPaths: Send + Sync {
    /// Whether `path`, below `/v1/`, is one of them. The path may not have been checked yet.
    fn serves(&self, path: &str) -> bool;

    /// Handles a request to one of the paths. `HELP` requests are not among them: the backend of
    /// `sys/` answers these.
    ///
    /// # Cancel safety
    ///
    /// Initialising, unsealing and sealing complete even if the future is dropped.
    fn handle<'a>(
        &'a self,
        core: &'a Core,
        request: AdmittedRequest,
    ) -> BoxFuture<'a, Result<CoreResponse, Error>>;
}
