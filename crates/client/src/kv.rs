//! The key-value engine: finds the mount behind a path and its version. Secrets are read and
//! written at the engine's API paths, like those of any other engine.
//!
//! <https://developer.hashicorp.com/vault/api-docs/secret/kv>

use std::collections::BTreeMap;

use crate::client::Client;
use crate::error::Error;

/// The key-value mount that serves a path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KvMount {
    /// The mount path, with a slash at its end. Empty if the server doesn't report it.
    pub path: String,
    /// Whether it is version 2 of the engine, which keeps versions of each key.
    pub is_versioned: bool,
}

impl Client {
    /// Looks up the mount that serves a path; the token needs some access below that mount. The
    /// look-up is sent even in a dry run, and its response is never wrapped.
    ///
    /// # Errors
    ///
    /// As for [`Client::read`], and [`Error::InvalidResponse`] for an unknown engine version.
    pub async fn kv_mount(&self, path: &str) -> Result<KvMount, Error> {
        let client = self.without_wrapping().without_dry_run();
        let path = format!("sys/internal/ui/mounts/{}", path.trim_matches('/'));
        // Very old servers have neither this endpoint nor version 2 of the engine.
        let Some(answer) = client.read(&path, &[]).await? else { return Ok(KvMount::default()) };
        let options: Option<BTreeMap<String, String>> = answer.data_field("options");
        let version = options.and_then(|mut options| options.remove("version"));
        let is_versioned = match version.as_deref() {
            None | Some("" | "1") => false,
            Some("2") => true,
            Some(_) => {
                return Err(Error::InvalidResponse("the engine's version is neither 1 nor 2"));
            }
        };
        Ok(KvMount { path: answer.data_field("path").unwrap_or_default(), is_versioned })
    }
}
