//! Starts servers, each on an empty store whose writes survive a power failure.
#![expect(clippy::disallowed_methods, reason = "a benchmark measures with the machine's clock")]

use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use http::Method;
use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;
use serde_json::{Value, json};

use crate::error::Error;
use crate::figures::median;
use crate::http_client::ServerAccess;
use crate::machine;
use crate::target::{BenchPlugins, BenchTarget, PATIENCE};

/// The kind of a server, which decides its configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ServerKind {
    /// Strongroom with its embedded store.
    Strongroom,
    /// OpenBao or Vault with raft storage in its default configuration, which syncs each write.
    Peer,
}

/// How quickly a server starts on an initialised store. The times are medians.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct StartUp {
    /// From the start of the process to its first response, while sealed.
    pub(crate) answers_ms: f64,
    /// From there, through unsealing, to its first response to `sys/health` as an active server.
    pub(crate) active_ms: f64,
    /// How many times it was started.
    pub(crate) starts: usize,
}

/// A server that this program started; it is terminated on drop.
#[derive(Debug)]
pub(crate) struct LaunchedServer {
    name: String,
    binary: PathBuf,
    folder: PathBuf,
    address: String,
    child: Option<Child>,
    keys: Option<BenchKeys>,
}

struct BenchKeys {
    share: String,
    root_token: String,
}

impl std::fmt::Debug for BenchKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("BenchKeys")
    }
}

impl LaunchedServer {
    /// Starts a server on an empty store below `scratch`, initialises it and unseals it.
    pub(crate) async fn start(
        kind: ServerKind,
        name: &str,
        binary: &Path,
        scratch: &Path,
        plugins: &BenchPlugins,
    ) -> Result<Self, Error> {
        let folder = scratch.join(name);
        let doing = || format!("making {}", folder.display());
        fs::create_dir_all(folder.join("data")).map_err(Error::io(doing()))?;
        fs::create_dir_all(folder.join("plugins")).map_err(Error::io(doing()))?;
        for path in [&folder, &folder.join("plugins")] {
            let private = fs::Permissions::from_mode(0o755);
            fs::set_permissions(path, private).map_err(Error::io(doing()))?;
        }
        for plugin in [&plugins.rust, &plugins.go].into_iter().flatten() {
            let Some(file) = plugin.file_name() else { continue };
            let to = folder.join("plugins").join(file);
            let doing = || format!("copying {}", plugin.display());
            fs::copy(plugin, &to).map_err(Error::io(doing()))?;
            fs::set_permissions(&to, fs::Permissions::from_mode(0o755))
                .map_err(Error::io(doing()))?;
        }
        let (address, cluster) = (free_address()?, free_address()?);
        let text = configuration(kind, &folder, &address, &cluster);
        fs::write(folder.join("server.hcl"), text).map_err(Error::io(doing()))?;
        let mut server = Self {
            name: name.to_owned(),
            binary: binary.to_owned(),
            folder,
            address,
            child: None,
            keys: None,
        };
        server.spawn().await?;
        server.initialise().await?;
        server.unseal().await?;
        Ok(server)
    }

    /// The server as a benchmark target, with its root token.
    pub(crate) fn as_target(&self) -> Result<BenchTarget, Error> {
        let token = self.keys.as_ref().map(|keys| keys.root_token.as_str());
        Ok(BenchTarget {
            name: self.name.clone(),
            root: ServerAccess::new(&self.address, token)?,
            pid: self.child.as_ref().map(Child::id),
        })
    }

    /// Stops and starts the server several times, and measures each start.
    pub(crate) async fn restart(&mut self, starts: usize) -> Result<StartUp, Error> {
        let (mut answers, mut active) = (Vec::new(), Vec::new());
        for _ in 0..starts {
            self.stop().await?;
            let begun = Instant::now();
            self.spawn().await?;
            answers.push(begun.elapsed().as_secs_f64() * 1e3);
            let begun = Instant::now();
            self.unseal().await?;
            active.push(begun.elapsed().as_secs_f64() * 1e3);
        }
        let middle = |figures: &[f64]| median(figures).unwrap_or(0.0);
        Ok(StartUp { answers_ms: middle(&answers), active_ms: middle(&active), starts })
    }

    /// Stops the server and waits until it has exited; fails if a plug-in of it still runs.
    pub(crate) async fn stop(&mut self) -> Result<(), Error> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        let family = machine::process_tree(child.id());
        terminate(&child);
        let ended = async {
            while matches!(child.try_wait(), Ok(None)) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, ended).await.is_err() {
            child.kill().map_err(Error::io("killing a server"))?;
            child.wait().map_err(Error::io("waiting for a server"))?;
        }
        match family.into_iter().filter(|pid| machine::process_info(*pid).is_some()).count() {
            0 => Ok(()),
            left => Err(Error::other(format!("{} left {left} plug-ins behind", self.name))),
        }
    }

    /// Starts the process and waits for its first response.
    async fn spawn(&mut self) -> Result<(), Error> {
        let log = File::options().create(true).append(true).open(self.folder.join("server.log"));
        let log = log.map_err(Error::io("opening the server's log"))?;
        let again = log.try_clone().map_err(Error::io("opening the server's log"))?;
        // The setting of the unit file and the image in deploy/. Go's allocator ignores it.
        let child = Command::new(&self.binary)
            .env("MALLOC_ARENA_MAX", "2")
            .arg("server")
            .arg(format!("-config={}", self.folder.join("server.hcl").display()))
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(again)
            .spawn()
            .map_err(Error::io(format!("starting {}", self.binary.display())))?;
        self.child = Some(child);
        let access = ServerAccess::new(&self.address, None)?;
        let asking = async {
            loop {
                let answer = access.call(Method::GET, "sys/seal-status", None).await;
                if answer.is_ok_and(|(status, _)| status == 200) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(PATIENCE, asking).await.map_err(|_| self.no_answer_error())
    }

    fn no_answer_error(&self) -> Error {
        let log = fs::read_to_string(self.folder.join("server.log")).unwrap_or_default();
        let from = log.len().saturating_sub(2000);
        let end = log.get(from..).unwrap_or_default();
        Error::other(format!("{} does not answer; the end of its log:\n{end}", self.name))
    }

    async fn initialise(&mut self) -> Result<(), Error> {
        let wanted = json!({ "secret_shares": 1, "secret_threshold": 1 });
        let access = ServerAccess::new(&self.address, None)?;
        let made = access.call_successfully(Method::PUT, "sys/init", Some(wanted)).await?;
        let text = |at: &str| made.pointer(at).and_then(Value::as_str).map(str::to_owned);
        let keys = text("/keys_base64/0").zip(text("/root_token"));
        let (share, root_token) = keys.ok_or_else(|| Error::other("sys/init gave no keys"))?;
        self.keys = Some(BenchKeys { share, root_token });
        Ok(())
    }

    async fn unseal(&self) -> Result<(), Error> {
        let share = self.keys.as_ref().map(|keys| keys.share.as_str());
        let target = self.as_target()?;
        target
            .root
            .call_successfully(Method::PUT, "sys/unseal", Some(json!({ "key": share })))
            .await?;
        target.wait_until_active().await
    }
}

impl Drop for LaunchedServer {
    /// Only needed after an error. A server that is terminated also ends its plug-ins.
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            terminate(child);
            let _ = child.wait();
        }
    }
}

fn terminate(child: &Child) {
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        // The process may have exited by itself.
        let _ = kill_process(pid, Signal::TERM);
    }
}

/// A local address with a free port.
fn free_address() -> Result<String, Error> {
    let found = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    Ok(found.map_err(Error::io("looking for a free port"))?.to_string())
}

fn configuration(kind: ServerKind, folder: &Path, address: &str, cluster: &str) -> String {
    let folder = folder.display();
    let storage = match kind {
        ServerKind::Strongroom => {
            format!("storage \"embedded\" {{\n  path = \"{folder}/data\"\n}}\n")
        }
        ServerKind::Peer => format!(
            "storage \"raft\" {{\n  path = \"{folder}/data\"\n  node_id = \"bench\"\n}}\n\
             cluster_addr = \"https://{cluster}\"\ndisable_mlock = true\n"
        ),
    };
    format!(
        "{storage}api_addr = \"http://{address}\"\nplugin_directory = \"{folder}/plugins\"\n\
         listener \"tcp\" {{\n  address = \"{address}\"\n  tls_disable = true\n}}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_store_in_memory_is_measured() {
        for kind in [ServerKind::Strongroom, ServerKind::Peer] {
            let text = configuration(kind, Path::new("/x"), "127.0.0.1:1", "127.0.0.1:2");
            assert!(text.contains("path = \"/x/data\"") && !text.contains("inmem"), "{text}");
            assert!(text.contains("plugin_directory = \"/x/plugins\""));
        }
    }
}
