//! A server as a process of its own, and commands that are sent to it.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// No test waits longer than this for a line.
const PATIENCE: Duration = Duration::from_secs(60);

/// The binary, with nothing of the environment that it reads.
pub(crate) fn strongroom(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_strongroom"));
    let read = std::env::vars().map(|(name, _)| name);
    for name in read.filter(|name| name.starts_with("BAO_") || name.starts_with("VAULT_")) {
        command.env_remove(name);
    }
    command.args(arguments).env("HOME", home).stdin(Stdio::null());
    command
}

/// A running server, killed with this value.
pub(crate) struct Server {
    child: Child,
    home: tempfile::TempDir,
    address: String,
    places: Vec<String>,
    lines: Receiver<String>,
}

/// A server in memory, on a port that is free.
pub(crate) fn dev_server() -> Server {
    dev_server_with(&[])
}

pub(crate) fn dev_server_with(flags: &[&str]) -> Server {
    let dev = ["-dev", "-dev-root-token-id=root", "-dev-listen-address=127.0.0.1:0"];
    let mut server = Server::start(tempfile::tempdir().unwrap(), &[&dev, flags].concat());
    let export = server.line_with("export VAULT_ADDR=");
    server.address = export.split('\'').nth(1).unwrap().to_owned();
    server.line_with("Root Token: root");
    server
}

impl Server {
    /// A server with this configuration, on a port that is free, known by this name.
    pub(crate) fn start_from(config: &Path, home: tempfile::TempDir, name: &str) -> Self {
        let mut server = Self::start(home, &[&format!("-config={}", config.display())]);
        let seen = server.lines_until("==> Vault server started!");
        let places =
            seen.iter().filter_map(|line| line.split_once("(addr: \"")?.1.split('"').next());
        server.places = places.map(ToOwned::to_owned).collect();
        let port = server.places[0].rsplit(':').next().unwrap();
        server.address = format!("{name}:{port}");
        server
    }

    /// Where it listens, one after the other.
    pub(crate) fn places(&self) -> &[String] {
        &self.places
    }

    /// Starts a server. Its address isn't known yet.
    pub(crate) fn start(home: tempfile::TempDir, flags: &[&str]) -> Self {
        let mut child = strongroom(home.path(), &[&["server"], flags].concat())
            .current_dir(home.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (out, err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let (sender, lines) = channel();
        let as_well = sender.clone();
        // They end with the child.
        std::thread::spawn(move || pass_on(out, &sender));
        std::thread::spawn(move || pass_on(err, &as_well));
        Self { child, home, address: String::new(), places: Vec::new(), lines }
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
        let mut command = strongroom(self.home.path(), arguments);
        command.env("VAULT_ADDR", &self.address);
        if self.address.starts_with("https:") {
            command.env("VAULT_CACERT", self.home.path().join("cert.pem"));
        }
        command
    }

    /// The next line of output or log that has this in it.
    pub(crate) fn line_with(&self, text: &str) -> String {
        self.lines_until(text).pop().unwrap()
    }

    /// All lines up to the next one that has this in it.
    fn lines_until(&self, text: &str) -> Vec<String> {
        let mut seen = Vec::new();
        while let Ok(line) = self.lines.recv_timeout(PATIENCE) {
            let found = line.contains(text);
            seen.push(line);
            if found {
                return seen;
            }
        }
        panic!("no line with {text:?} in {seen:#?}");
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().try_into().unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Waits for its end; gives its home back.
    pub(crate) fn ended(mut self) -> (ExitStatus, Vec<String>, tempfile::TempDir) {
        // Both pipes close when the process ends.
        let mut rest = Vec::new();
        let why = loop {
            match self.lines.recv_timeout(PATIENCE) {
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

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn pass_on(from: impl std::io::Read, to: &Sender<String>) {
    for line in BufReader::new(from).lines() {
        let Ok(line) = line else { return };
        if to.send(line).is_err() {
            return;
        }
    }
}

/// Runs a command with something on its standard input.
pub(crate) fn with_input(mut command: Command, input: &str) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}
