//! The key that a command works on: a mount, and a path within it.

use clap::Args;
use strongroom_client::kv::KvMount;
use strongroom_client::{Client, Error};

use super::super::paths::clean_path;
use crate::error::{CliError, CliResult, lacks_token};

/// Where the engine is mounted.
#[derive(Args, Default)]
pub(super) struct MountFlag {
    /// Mount path of the engine; the argument is then the key's path within it. Without this flag
    /// the argument contains both
    #[arg(long, value_name = "PATH")]
    mount: Option<String>,
}

impl MountFlag {
    pub(super) fn is_given(&self) -> bool {
        self.mount.as_ref().is_some_and(|mount| !mount.is_empty())
    }
}

/// A key within a mount.
pub(super) struct KvTarget {
    mount: KvMount,
    name: String,
}

impl KvTarget {
    /// Looks up the mount on the server.
    pub(super) async fn resolve(
        client: &Client,
        flag: &MountFlag,
        argument: &str,
    ) -> CliResult<Self> {
        let argument = clean_path(argument);
        let given = flag.mount.as_ref().filter(|mount| !mount.is_empty());
        let asked = given.map_or_else(|| argument.clone(), |mount| clean_path(mount));
        let mount =
            client.kv_mount(&asked).await.map_err(|error| mount_lookup_error(&asked, error))?;
        let name = match given {
            Some(_) => argument,
            None => relative_path(&argument, &mount.path),
        };
        // Old servers don't report the mount path.
        let path = if mount.path.is_empty() && given.is_some() { asked } else { mount.path };
        Ok(Self { mount: KvMount { path, ..mount }, name })
    }

    /// Whether the mount is version 2 of the engine.
    pub(super) fn is_versioned(&self) -> bool {
        self.mount.is_versioned
    }

    /// The API path of the key. Version 2 has it below `folder`, such as `data`.
    pub(super) fn api_path(&self, folder: &str) -> String {
        let folder = if self.mount.is_versioned { folder } else { "" };
        let parts = [self.mount.path.trim_matches('/'), folder, &self.name];
        let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        parts.join("/")
    }

    /// Returns the error `failure` unless the mount is version 2 of the engine.
    pub(super) fn require_versioned(self, failure: CliError) -> CliResult<Self> {
        if self.mount.is_versioned { Ok(self) } else { Err(failure) }
    }
}

/// The error if the mount can't be looked up. It doesn't show the path of the look-up, which the
/// user never typed.
fn mount_lookup_error(asked: &str, error: Error) -> CliError {
    let doing = format!("Error finding the engine at {asked}");
    if error.status() != Some(403) {
        return CliError::from_api(&doing)(error);
    }
    let why = if lacks_token(&error) {
        "no token was sent. Log in with \"strongroom login\", or set VAULT_TOKEN"
    } else {
        "the token that was sent is unknown or expired, or no policy of it has a rule for this path"
    };
    CliError::remote(format!("{doing}: permission denied (403): {why}"))
}

/// The part of a path that is below a mount.
fn relative_path(path: &str, mount: &str) -> String {
    let mount = mount.trim_matches('/');
    match path.strip_prefix(mount) {
        Some(rest) if rest.is_empty() || rest.starts_with('/') || mount.is_empty() => {
            rest.trim_matches('/').to_owned()
        }
        _ => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kv_target(mount: &str, is_versioned: bool, argument: &str) -> KvTarget {
        let mount = KvMount { path: mount.to_owned(), is_versioned };
        KvTarget { name: relative_path(argument, &mount.path), mount }
    }

    #[test]
    fn api_folder_follows_the_mount() {
        for (mount, argument, expected) in [
            ("secret/", "secret/foo", "secret/data/foo"),
            ("secret/", "secret", "secret/data"),
            ("team/kv/", "team/kv/a/b", "team/kv/data/a/b"),
            ("secret/", "secret/data/foo", "secret/data/data/foo"),
        ] {
            assert_eq!(kv_target(mount, true, argument).api_path("data"), expected);
        }
        assert_eq!(kv_target("kv/", false, "kv/a").api_path("data"), "kv/a");
        assert_eq!(kv_target("", false, "kv/a").api_path("data"), "kv/a");
    }
}
