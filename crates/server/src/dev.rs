//! What `-dev` does after the start: initialises and unseals the server, and mounts the key-value
//! engine. Nothing of it outlives the process.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use strongroom_barrier::SealConfig;
use strongroom_core::{CoreRequest, Error, RequestHead, Verb};
use strongroom_types::clock::BoxFuture;
use strongroom_types::{Fields, Secret};

use crate::RunningServer;

/// The keys of a development server, to be shown to its user.
pub struct DevKeys {
    /// The only key share, which unseals the server.
    pub unseal_key: Secret<Vec<u8>>,
    /// The root token: the configured one, or a random one.
    pub root_token: Secret<String>,
    /// The names of the plug-ins that were registered, sorted.
    pub plugins: Vec<String>,
}

/// Which version of the key-value engine to mount at `secret/`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DevKvVersion {
    /// Version 2, which keeps versions of each key.
    #[default]
    Version2,
    /// Version 1, without versions.
    Version1,
    /// Nothing is mounted at `secret/`.
    None,
}

/// Initialises and unseals a fresh server, mounts KV at `secret/`, and registers every program in
/// `plugin_dir` under its own name, as a secrets engine or an auth method. A file that is not a program is skipped with a log message; a
/// program that can't be registered is an error.
pub fn set_up<'a>(
    running: &'a RunningServer,
    root_token: Option<Secret<String>>,
    kv: DevKvVersion,
    plugin_dir: Option<&'a Path>,
) -> BoxFuture<'a, Result<DevKeys, Error>> {
    Box::pin(set_up_now(running, root_token, kv, plugin_dir))
}

async fn set_up_now(
    running: &RunningServer,
    root_token: Option<Secret<String>>,
    kv: DevKvVersion,
    plugin_dir: Option<&Path>,
) -> Result<DevKeys, Error> {
    let core = running.core();
    let config = SealConfig { shares: 1, threshold: 1 };
    let made = core.initialise(config, root_token).await?;
    let share = made.shares.into_iter().next();
    let unseal_key = share.ok_or_else(|| Error::internal("there is no key share"))?;
    core.unseal(Secret::new(unseal_key.expose_secret().clone())).await?;
    let root = &made.root_token;
    let version = match kv {
        DevKvVersion::Version2 => Some("2"),
        DevKvVersion::Version1 => Some("1"),
        DevKvVersion::None => None,
    };
    if let Some(version) = version {
        let mut mount = Fields::new();
        mount.set("type", &"kv");
        mount.set("description", &"key/value secret storage");
        mount.set("options", &std::collections::BTreeMap::from([("version", version)]));
        write_as_root(running, root, "sys/mounts/secret", mount).await?;
    }
    let mut plugins = Vec::new();
    if let Some(folder) = plugin_dir {
        for (name, sha256) in list_programs(folder, running.allows_scripts())? {
            register_plugin(running, root, &name, &sha256).await.map_err(|error| {
                let text = format!("the plug-in {name:?} can't be registered: {error}");
                Error::with_message(error.kind(), text)
            })?;
            plugins.push(name);
        }
    }
    Ok(DevKeys { unseal_key, root_token: made.root_token, plugins })
}

/// Registers a program as the kind of plug-in that it is. A program that is neither has the error of
/// a secrets engine.
async fn register_plugin(
    running: &RunningServer,
    root: &Secret<String>,
    name: &str,
    sha256: &str,
) -> Result<(), Error> {
    let register = async |kind: &str| {
        let mut plugin = Fields::new();
        plugin.set("command", &name);
        plugin.set("sha256", &sha256);
        let path = format!("sys/plugins/catalog/{kind}/{name}");
        write_as_root(running, root, &path, plugin).await
    };
    let Err(error) = register("secret").await else { return Ok(()) };
    register("auth").await.map_err(|_| error)
}

async fn write_as_root(
    running: &RunningServer,
    token: &Secret<String>,
    path: &str,
    fields: Fields,
) -> Result<(), Error> {
    let request = CoreRequest {
        span: running.core().begin_request(),
        verb: Verb::Write,
        path: path.to_owned(),
        fields,
        raw_body: None,
        token: Some(Secret::from_text(token.expose_secret())),
        headers: strongroom_core::RequestHeaders::default(),
        connection: None,
    };
    let head = RequestHead { path: &request.path, token: request.token.as_ref(), address: None };
    let permit = running.core().admit(head).await?;
    running.core().handle(permit, request).await.map(|_| ())
}

/// The programs of a folder and their SHA-256, by name.
fn list_programs(folder: &Path, allow_scripts: bool) -> Result<Vec<(String, String)>, Error> {
    let unreadable =
        |error: io::Error| Error::invalid(format!("the plug-in folder can't be read: {error}"));
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if !path.is_file() {
            continue;
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let unreadable =
            |error| Error::invalid(format!("the file {name:?} can't be read: {error}"));
        let Some(bytes) = read_program(&path, allow_scripts).map_err(unreadable)? else {
            tracing::warn!(name, "no executable program: it is not registered as a plug-in");
            continue;
        };
        let digest = strongroom_crypto::digest::sha256(&bytes);
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        found.push((name, hex));
    }
    found.sort();
    Ok(found)
}

const EXECUTABLE_BITS: u32 = 0o111;
const ELF_MAGIC: &[u8] = b"\x7fELF";
const SCRIPT_MAGIC: &[u8] = b"#!";

/// The content of an executable file; `None` if the file can't be run.
fn read_program(path: &Path, allow_scripts: bool) -> io::Result<Option<Vec<u8>>> {
    let mut file = File::open(path)?;
    if file.metadata()?.permissions().mode() & EXECUTABLE_BITS == 0 {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let runs = bytes.starts_with(ELF_MAGIC) || (allow_scripts && bytes.starts_with(SCRIPT_MAGIC));
    Ok(runs.then_some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_executables_are_listed() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, content: &[u8], mode| {
            let path = folder.path().join(name);
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        };
        put("engine", b"\x7fELF and more", 0o755);
        put("copied", b"\x7fELF and more", 0o644);
        put("README", b"about these", 0o644);
        put("executable-notes", b"about these", 0o755);
        put("script", b"#!/bin/sh\n", 0o755);
        fs::create_dir(folder.path().join("folder")).unwrap();
        let names = |allow_scripts| -> Vec<String> {
            let all = list_programs(folder.path(), allow_scripts).unwrap();
            all.into_iter().map(|(name, _)| name).collect()
        };
        assert_eq!(names(false), ["engine"]);
        assert_eq!(names(true), ["engine", "script"]);
    }
}
