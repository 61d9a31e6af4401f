//! A server to measure: its mounts, and the token that the requests use.

use std::path::{Path, PathBuf};
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::error::Error;
use crate::http_client::{BenchConnection, PreparedRequest, ServerAccess, unexpected_response};
use crate::workload::{BenchMounts, DataSize, LOGIN_ROLE_ID, LOGIN_SECRET_ID, Workload};

/// A running server to measure.
#[derive(Debug)]
pub(crate) struct BenchTarget {
    /// Its name in the tables.
    pub(crate) name: String,
    /// Access with the root token.
    pub(crate) root: ServerAccess,
    /// The ID of its main process, if it runs on this machine.
    pub(crate) pid: Option<u32>,
}

/// The plug-in binaries whose calls are measured, if any.
#[derive(Clone, Debug, Default)]
pub(crate) struct BenchPlugins {
    pub(crate) rust: Option<PathBuf>,
    pub(crate) go: Option<PathBuf>,
}

/// A server with the mounts and data that the workloads need.
#[derive(Debug)]
pub(crate) struct PreparedTarget {
    pub(crate) target: BenchTarget,
    pub(crate) mounts: BenchMounts,
    /// Access with an ordinary token and policy, as clients have: a root token skips some checks.
    pub(crate) access: ServerAccess,
}

/// How long a newly unsealed server may take to accept requests.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

impl BenchTarget {
    /// Waits until the server is active and accepts requests.
    #[expect(clippy::disallowed_methods, reason = "a benchmark measures with the machine's clock")]
    pub(crate) async fn wait_until_active(&self) -> Result<(), Error> {
        let asking = async {
            loop {
                match self.root.call(Method::GET, "sys/health", None).await {
                    Ok((status, _)) if status == 200 => return,
                    _ => tokio::time::sleep(Duration::from_millis(1)).await,
                }
            }
        };
        tokio::time::timeout(PATIENCE, asking)
            .await
            .map_err(|_| Error::other(format!("{} does not become active", self.name)))
    }

    /// The version that the server reports.
    pub(crate) async fn version(&self) -> Result<String, Error> {
        let status = self.root.call_successfully(Method::GET, "sys/seal-status", None).await?;
        Ok(status.get("version").and_then(|version| version.as_str()).unwrap_or("?").to_owned())
    }

    /// Mounts the engines, writes the data, and creates the token for the requests.
    pub(crate) async fn prepare(
        self,
        plugins: &BenchPlugins,
        size: DataSize,
    ) -> Result<PreparedTarget, Error> {
        // Unique to this run, because a running server may have been measured before.
        let run = format!("bench-{}", std::process::id());
        let (kv, kv2) = (format!("{run}-kv"), format!("{run}-kv2"));
        self.mount(&kv, json!({ "type": "kv" })).await?;
        self.mount(&kv2, json!({ "type": "kv", "options": { "version": "2" } })).await?;
        let rust = self.mount_plugin(&run, "rust", plugins.rust.as_deref()).await?;
        let go = self.mount_plugin(&run, "go", plugins.go.as_deref()).await?;
        // An older Strongroom has no such method; then the report has no row for its logins.
        let approle = self.enable_approle(&run).await.ok();
        let access = self.client_token(&run).await?;
        self.wait_for_mount(&format!("{kv2}/config")).await?;
        let mounts = BenchMounts { kv, kv2: Some(kv2), rust, go, approle };
        send_all(&access, Workload::preparation_requests(&mounts, size)?).await?;
        Ok(PreparedTarget { target: self, mounts, access })
    }

    /// Waits until a mount serves requests: KV version 2 of the reference server needs some time
    /// for that.
    #[expect(clippy::disallowed_methods, reason = "a benchmark measures with the machine's clock")]
    async fn wait_for_mount(&self, path: &str) -> Result<(), Error> {
        let asking = async {
            loop {
                match self.root.call(Method::GET, path, None).await {
                    Ok((status, _)) if status == 200 => return,
                    _ => tokio::time::sleep(Duration::from_millis(10)).await,
                }
            }
        };
        tokio::time::timeout(PATIENCE, asking)
            .await
            .map_err(|_| Error::other(format!("{} does not serve {path}", self.name)))
    }

    async fn mount(&self, path: &str, body: Value) -> Result<(), Error> {
        self.root
            .call_successfully(Method::POST, &format!("sys/mounts/{path}"), Some(body))
            .await?;
        Ok(())
    }

    /// Registers and mounts a plug-in whose file is in the server's plug-in folder under its own
    /// name.
    async fn mount_plugin(
        &self,
        run: &str,
        kind: &str,
        binary: Option<&Path>,
    ) -> Result<Option<String>, Error> {
        let Some(binary) = binary else { return Ok(None) };
        let bytes = std::fs::read(binary).map_err(Error::io(binary.display().to_string()))?;
        let digest = strongroom_crypto::digest::sha256(&bytes);
        let sha256: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        let command = binary.file_name().map(|name| name.to_string_lossy().into_owned());
        let (path, name) = (format!("{run}-{kind}"), format!("bench-{kind}"));
        let body = json!({ "sha256": sha256, "command": command });
        let entry = format!("sys/plugins/catalog/secret/{name}");
        self.root.call_successfully(Method::PUT, &entry, Some(body)).await?;
        self.mount(&path, json!({ "type": name })).await?;
        Ok(Some(path))
    }

    /// Enables AppRole with a role, and a secret id that neither expires nor is used up.
    async fn enable_approle(&self, run: &str) -> Result<String, Error> {
        let path = format!("{run}-approle");
        for (at, body) in [
            (format!("sys/auth/{path}"), json!({ "type": "approle" })),
            (
                format!("auth/{path}/role/bench"),
                json!({ "role_id": LOGIN_ROLE_ID, "token_policies": run, "token_ttl": "1h" }),
            ),
            (
                format!("auth/{path}/role/bench/custom-secret-id"),
                json!({ "secret_id": LOGIN_SECRET_ID }),
            ),
        ] {
            self.root.call_successfully(Method::POST, &at, Some(body)).await?;
        }
        Ok(path)
    }

    async fn client_token(&self, run: &str) -> Result<ServerAccess, Error> {
        let rule =
            format!("path \"{run}-*\" {{ capabilities = [\"create\", \"read\", \"update\"] }}");
        let policy = format!("sys/policies/acl/{run}");
        self.root.call_successfully(Method::PUT, &policy, Some(json!({ "policy": rule }))).await?;
        let wanted = json!({ "policies": [run], "ttl": "24h", "no_default_policy": true });
        let made =
            self.root.call_successfully(Method::POST, "auth/token/create", Some(wanted)).await?;
        let token = made.pointer("/auth/client_token").and_then(|token| token.as_str());
        let token = token.ok_or_else(|| Error::other("there is no token in the answer"))?;
        self.root.with_token(token)
    }
}

/// Sends requests over a few connections; all of them must succeed.
async fn send_all(access: &ServerAccess, requests: Vec<PreparedRequest>) -> Result<(), Error> {
    const CONNECTIONS: usize = 16;
    let each = requests.len().div_ceil(CONNECTIONS).max(1);
    let mut writers = JoinSet::new();
    for part in requests.chunks(each) {
        let (access, part) = (access.clone(), part.to_vec());
        let put = |mut connection: BenchConnection| async move {
            for request in part {
                let (status, answer) = connection.send(&request).await?;
                if !status.is_success() {
                    return Err(unexpected_response(
                        request.method,
                        request.uri.path(),
                        status,
                        &answer,
                    ));
                }
            }
            Ok(())
        };
        writers.spawn(async move { access.with_connection(put).await });
    }
    while let Some(done) = writers.join_next().await {
        done.map_err(|error| Error::other(error.to_string()))??;
    }
    Ok(())
}
