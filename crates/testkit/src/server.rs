//! [`ServerProcess`]: a server process whose folder outlives it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::api::ApiClient;
use crate::programs::{program_path, sha256_hex};

/// A folder with a configuration, data and plug-ins, which servers can be started on in turn.
pub struct ServerFolder {
    folder: tempfile::TempDir,
    keys: Option<InitKeys>,
}

#[derive(Clone)]
struct InitKeys {
    share: String,
    root: String,
}

/// A running server process. Dropping it kills the process. [`ServerProcess::stop`] ends it in an
/// orderly way and returns its exit code.
pub struct ServerProcess {
    child: Child,
    address: String,
}

/// How long a server may take to print its first lines.
const START_TIMEOUT: Duration = Duration::from_secs(30);
const LISTENER_PREFIX: &str = "(addr: \"";

impl ServerFolder {
    /// Creates a folder without data. `settings` are added to the listener's stanza, such as
    /// `max_request_duration = "5s"`.
    pub fn new(settings: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let plugins = folder.path().join("plugins");
        fs::create_dir(&plugins).unwrap();
        fs::set_permissions(&plugins, fs::Permissions::from_mode(0o755)).unwrap();
        let config = json!({
            "storage": { "embedded": { "path": folder.path().join("data") } },
            "plugin_directory": plugins,
        });
        fs::write(folder.path().join("server.json"), config.to_string()).unwrap();
        let listener = format!(
            "listener \"tcp\" {{\n address = \"127.0.0.1:0\"\n tls_disable = true\n {settings}\n}}\n"
        );
        fs::write(folder.path().join("listener.hcl"), listener).unwrap();
        Self { folder, keys: None }
    }

    /// Lets servers that are started later run scripts as plug-ins, as `plugin_allow_scripts` does.
    pub fn allow_scripts(&self) {
        let file = self.folder.path().join("listener.hcl");
        let settings = fs::read_to_string(&file).unwrap();
        fs::write(&file, settings + "plugin_allow_scripts = true\n").unwrap();
    }

    /// The folder that plug-in binaries are loaded from. It is the subfolder `plugins` of this
    /// server's temporary folder.
    pub fn plugins_folder(&self) -> PathBuf {
        self.folder.path().join("plugins")
    }

    /// The folder with configuration, data and plug-ins.
    pub fn root_path(&self) -> &Path {
        self.folder.path()
    }

    /// Copies a plug-in into the plug-in folder and returns its SHA-256, hexadecimal. The copy
    /// keeps its file name and gets mode 0755.
    pub fn install_plugin(&self, binary: &Path) -> String {
        let to = self.plugins_folder().join(binary.file_name().unwrap());
        fs::copy(binary, &to).unwrap();
        fs::set_permissions(&to, fs::Permissions::from_mode(0o755)).unwrap();
        sha256_hex(&to)
    }

    /// Starts a server in the folder; it is sealed. The process appends its log to the folder's
    /// file `log`, so earlier runs stay readable.
    pub async fn start_sealed(&self) -> ServerProcess {
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.folder.path().join("log"))
            .unwrap();
        let mut child = Command::new(program_path("strongroom"))
            .arg("server")
            .arg(format!("-config={}", self.folder.path().join("server.json").display()))
            .arg(format!("-config={}", self.folder.path().join("listener.hcl").display()))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let reading = async {
            while let Some(line) = lines.next_line().await.unwrap() {
                if let Some((_, rest)) = line.split_once(LISTENER_PREFIX) {
                    return Some(rest.split('"').next().unwrap_or_default().to_owned());
                }
            }
            None
        };
        let address =
            tokio::time::timeout(START_TIMEOUT, reading).await.expect("the server starts in time");
        let address = address.unwrap_or_else(|| panic!("the server ended: {}", self.read_log()));
        ServerProcess { child, address: format!("http://{address}") }
    }

    /// Starts a server, initialises it if it is new, and unseals it. Returns it with a client that
    /// uses the root token.
    pub async fn start_unsealed(&mut self) -> (ServerProcess, ApiClient) {
        let server = self.start_sealed().await;
        let sealed = server.api_with_token("");
        if self.keys.is_none() {
            let shares = json!({ "secret_shares": 1, "secret_threshold": 1 });
            let answer = sealed.write("sys/init", shares).await.assert_ok();
            let share = answer.text_at("keys/0");
            self.keys = Some(InitKeys { share, root: answer.text_at("root_token") });
        }
        self.unseal(&server).await;
        let api = server.api_with_token(&self.keys.as_ref().unwrap().root);
        (server, api)
    }

    /// Unseals a server in a folder that has been initialised. Fails the test if one key share
    /// doesn't unseal it.
    pub async fn unseal(&self, server: &ServerProcess) {
        let share = json!({ "key": self.key_share() });
        let answer = server.api_with_token("").write("sys/unseal", share).await.assert_ok();
        assert_eq!(answer.body.get("sealed"), Some(&false.into()));
    }

    /// The only key share of an initialised folder, hexadecimal. Fails the test if the folder was
    /// not initialised.
    pub fn key_share(&self) -> &str {
        &self.keys.as_ref().expect("the site was opened").share
    }

    /// The log of all servers that ran in this folder. Servers append to it; the result is empty if
    /// none was started.
    pub fn read_log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl ServerProcess {
    /// A client with this token; empty for none. It sends its requests to the address on which this
    /// server process listens.
    pub fn api_with_token(&self, token: &str) -> ApiClient {
        ApiClient::new(&self.address, token)
    }

    /// The process id of the server.
    pub fn process_id(&self) -> u32 {
        self.child.id().expect("the server runs")
    }

    /// Kills the process with SIGKILL, so it can't finish anything, such as writes in progress, and
    /// waits until it has ended.
    pub async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Asks the process to stop, waits until it ends, and returns its exit code. It sends SIGTERM;
    /// a signal as the cause gives `None`.
    pub async fn stop(mut self) -> Option<i32> {
        let pid =
            rustix::process::Pid::from_raw(i32::try_from(self.process_id()).unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let ended = tokio::time::timeout(START_TIMEOUT, self.child.wait()).await;
        ended.expect("the server ends in time").unwrap().code()
    }

    /// The ids of its child processes.
    pub fn child_processes(&self) -> Vec<u32> {
        child_processes_of(self.process_id())
    }
}

/// The ids of the child processes of a process; none if it has ended.
pub fn child_processes_of(pid: u32) -> Vec<u32> {
    let mut all = Vec::new();
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten();
    for entry in tasks.flatten() {
        // A thread may end between listing it and reading it.
        let children = fs::read_to_string(entry.path().join("children")).unwrap_or_default();
        all.extend(children.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
    }
    all
}

/// Kills a process that is not a child of this one. It sends SIGKILL and does not wait for the end.
pub fn kill_process(pid: u32) {
    send_signal(pid, rustix::process::Signal::KILL);
}

/// Suspends a process, so that it neither reads nor responds until [`resume_process`]. It sends
/// SIGSTOP, which a process can't ignore.
pub fn suspend_process(pid: u32) {
    send_signal(pid, rustix::process::Signal::STOP);
}

/// Lets a suspended process continue.
pub fn resume_process(pid: u32) {
    send_signal(pid, rustix::process::Signal::CONT);
}

fn send_signal(pid: u32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    // Ignored: the process may have ended already.
    let _ = rustix::process::kill_process(pid, signal);
}
