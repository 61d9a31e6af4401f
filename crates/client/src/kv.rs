//! The key-value engine: which version of it is behind a path. What is written and read there is
//! written and read at its API paths, as with any other engine.
//!
//! <https://developer.hashicorp.com/vault/api-docs/secret/kv>

use std::collections::BTreeMap;

use crate::client::Client;
use crate::error::Error;

/// The mount behind a path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KvMount {
    /// Where it is mounted, with a slash at its end. Empty if the server can't tell.
    pub path: String,
    /// Whether it keeps versions.
    pub is_versioned: bool,
}

impl Client {
    /// Asks for the mount behind a path that the caller may use in some way. The question is sent
    /// even in a rehearsal, and its answer is never wrapped.
    pub async fn kv_mount(&self, path: &str) -> Result<KvMount, Error> {
        let client = self.without_wrapping().without_dry_run();
        let path = format!("sys/internal/ui/mounts/{}", path.trim_matches('/'));
        // Servers of long ago know neither the question nor versions.
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
