//! A server as a process of its own, and commands that are sent to it.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// No test waits longer than this for a line.
const LINE_TIMEOUT: Duration = Duration::from_secs(60);

/// The binary, with nothing of the environment that it reads.
pub(crate) fn strongroom_command(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_strongroom"));
    let read = std::env::vars().map(|(name, _)| name);
    for name in read.filter(|name| name.starts_with("BAO_") || name.starts_with("VAULT_")) {
        command.env_remove(name);
    }
    command.args(arguments).env("HOME", home).stdin(Stdio::null());
    command
}

/// A running server, killed with this value.
pub(crate) struct StrongroomProcess {
    child: Child,
    home: tempfile::TempDir,
    address: String,
    listen_addresses: Vec<String>,
    lines: Receiver<String>,
}

/// A server in memory, on a port that is free.
pub(crate) fn dev_server() -> StrongroomProcess {
    dev_server_with(&[])
}

pub(crate) fn dev_server_with(flags: &[&str]) -> StrongroomProcess {
    let dev = ["-dev", "-dev-root-token-id=root", "-dev-listen-address=127.0.0.1:0"];
    let mut server =
        StrongroomProcess::start(tempfile::tempdir().unwrap(), &[&dev, flags].concat());
    let export = server.wait_for_line("export VAULT_ADDR=");
    server.address = export.split('\'').nth(1).unwrap().to_owned();
    server.wait_for_line("Root Token: root");
    server
}

impl StrongroomProcess {
    /// A server with this configuration, on a port that is free, known by this name.
    pub(crate) fn start_with_config(config: &Path, home: tempfile::TempDir, name: &str) -> Self {
        let mut server = Self::start(home, &[&format!("-config={}", config.display())]);
        let seen = server.wait_for_lines("==> Vault server started!");
        let places =
            seen.iter().filter_map(|line| line.split_once("(addr: \"")?.1.split('"').next());
        server.listen_addresses = places.map(ToOwned::to_owned).collect();
        let port = server.listen_addresses[0].rsplit(':').next().unwrap();
        server.address = format!("{name}:{port}");
        server
    }

    /// Where it listens, one after the other.
    pub(crate) fn listen_addresses(&self) -> &[String] {
        &self.listen_addresses
    }

    /// Starts a server. Its address isn't known yet.
    pub(crate) fn start(home: tempfile::TempDir, flags: &[&str]) -> Self {
        let mut child = strongroom_command(home.path(), &[&["server"], flags].concat())
            .current_dir(home.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (out, err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let (sender, lines) = channel();
        let as_well = sender.clone();
        // They end with the child.
        std::thread::spawn(move || forward_lines(out, &sender));
        std::thread::spawn(move || forward_lines(err, &as_well));
        Self { child, home, address: String::new(), listen_addresses: Vec::new(), lines }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The home of the server and of commands to it.
    pub(crate) fn home(&self) -> PathBuf {
        self.home.path().to_owned()
    }

    /// A command that is sent to this server.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = strongroom_command(self.home.path(), arguments);
        command.env("VAULT_ADDR", &self.address);
        if self.address.starts_with("https:") {
            command.env("VAULT_CACERT", self.home.path().join("cert.pem"));
        }
        command
    }

    /// The next line of output or log that has this in it.
    pub(crate) fn wait_for_line(&self, text: &str) -> String {
        self.wait_for_lines(text).pop().unwrap()
    }

    /// All lines up to the next one that has this in it.
    fn wait_for_lines(&self, text: &str) -> Vec<String> {
        let mut seen = Vec::new();
        while let Ok(line) = self.lines.recv_timeout(LINE_TIMEOUT) {
            let found = line.contains(text);
            seen.push(line);
            if found {
                return seen;
            }
        }
        panic!("no line with {text:?} in {seen:#?}");
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn send_signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().try_into().unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Waits for its end; gives its home back.
    pub(crate) fn wait_for_exit(mut self) -> (ExitStatus, Vec<String>, tempfile::TempDir) {
        // Both pipes close when the process ends.
        let mut rest = Vec::new();
        let why = loop {
            match self.lines.recv_timeout(LINE_TIMEOUT) {
                Ok(line) => rest.push(line),
                Err(why) => break why,
            }
        };
        assert_eq!(why, RecvTimeoutError::Disconnected, "the server doesn't end: {rest:#?}");
        let status = self.child.wait().unwrap();
        let home = std::mem::replace(&mut self.home, tempfile::tempdir().unwrap());
        (status, rest, home)
    }
}

impl Drop for StrongroomProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn forward_lines(from: impl std::io::Read, to: &Sender<String>) {
    for line in BufReader::new(from).lines() {
        let Ok(line) = line else { return };
        if to.send(line).is_err() {
            return;
        }
    }
}

/// Runs a command with something on its standard input.
pub(crate) fn run_with_input(mut command: Command, input: &str) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}
