//! What `-dev` does after the start: initialises, unseals, and mounts a place for secrets. Nothing
//! of it outlives the process.

use std::path::Path;

use strongroom_barrier::SealConfig;
use strongroom_core::{Error, Request, Verb};
use strongroom_types::{Fields, Secret};

use crate::Running;

/// What a developer needs to know.
pub struct DevKeys {
    /// The one key share.
    pub unseal_key: Secret<Vec<u8>>,
    /// The root token.
    pub root_token: Secret<String>,
}

/// Initialises and unseals a fresh server, mounts KV at `secret/`, and registers every file of
/// `plugin_dir` under its own name.
pub async fn set_up(
    running: &Running,
    root_token: Option<Secret<String>>,
    plugin_dir: Option<&Path>,
) -> Result<DevKeys, Error> {
    let core = running.core();
    let config = SealConfig { shares: 1, threshold: 1 };
    let made = core.initialise(config, root_token).await?;
    let share = made.shares.into_iter().next();
    let unseal_key = share.ok_or_else(|| Error::internal("there is no key share"))?;
    core.unseal(Secret::new(unseal_key.expose_secret().clone())).await?;
    let root = &made.root_token;
    let mut kv = Fields::new();
    kv.set("type", &"kv");
    write(running, root, "sys/mounts/secret", kv).await?;
    if let Some(folder) = plugin_dir {
        for (name, sha256) in digests(folder)? {
            let mut plugin = Fields::new();
            plugin.set("command", &name);
            plugin.set("sha256", &sha256);
            write(running, root, &format!("sys/plugins/catalog/secret/{name}"), plugin).await?;
        }
    }
    Ok(DevKeys { unseal_key, root_token: made.root_token })
}

async fn write(
    running: &Running,
    token: &Secret<String>,
    path: &str,
    fields: Fields,
) -> Result<(), Error> {
    let request = Request {
        verb: Verb::Write,
        path: path.to_owned(),
        fields,
        token: Some(Secret::from_text(token.expose_secret())),
        headers: std::collections::BTreeMap::new(),
        connection: None,
    };
    running.core().handle(request).await.map(|_| ())
}

/// The files of a folder with their SHA-256, by name.
fn digests(folder: &Path) -> Result<Vec<(String, String)>, Error> {
    let unreadable = |error: std::io::Error| {
        Error::invalid(format!("the plug-in folder can't be read: {error}"))
    };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        if !entry.path().is_file() {
            continue;
        }
        let bytes = std::fs::read(entry.path()).map_err(unreadable)?;
        let digest = strongroom_crypto::digest::sha256(&bytes);
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        found.push((entry.file_name().to_string_lossy().into_owned(), hex));
    }
    found.sort();
    Ok(found)
}
