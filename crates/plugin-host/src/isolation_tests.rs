//! What one plug-in can see of another. The kernel closes nothing to root, so a test that runs as
//! root runs itself again as an ordinary user.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use data_encoding::HEXLOWER;
use strongroom_crypto::SystemEntropy;
use strongroom_crypto::digest::sha256;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};

use crate::binary::{Binaries, Source};
use crate::kept_copies::KeptCopies;
use crate::spawn::{Execution, Pipes, Running, spawn};
use crate::spec::Spec;

const NOBODY: u32 = 65_534;

#[test]
fn sr_2026_10_a_plugin_can_not_read_the_memory_of_another() {
    let mut again = Command::new("/proc/self/exe");
    again.args(["--exact", "isolation_tests::as_an_ordinary_user", "--ignored"]);
    if rustix::process::geteuid().is_root() {
        again.uid(NOBODY).gid(NOBODY);
    }
    let output = again.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

#[tokio::test]
#[ignore = "the test above runs it, as another user"]
async fn as_an_ordinary_user() {
    let root = tempfile::tempdir().unwrap();
    let plugins = root.path().join("plugins");
    fs::create_dir(&plugins).unwrap();
    set_mode(&plugins, 0o755);
    let shell = fs::read("/bin/sh").unwrap();
    fs::write(plugins.join("custom"), &shell).unwrap();
    set_mode(&plugins.join("custom"), 0o755);
    let binaries = Binaries {
        directory: plugins,
        copies: root.path().join("copies"),
        allow_scripts: false,
        group_may_write: false,
        entropy: Arc::new(SystemEntropy),
        kept: KeptCopies::default(),
    };
    let spec = Spec {
        name: "custom".to_owned(),
        kind: "secret",
        version: String::new(),
        command: "custom".to_owned(),
        args: Vec::new(),
        env: Vec::new(),
        sha256: HEXLOWER.encode(&sha256(&shell)),
    };
    let launched = || binaries.verify(&spec, Source::AnyCopy).unwrap().file;
    // The control: what is run from a readable file is open to its neighbours.
    let open = victim(File::open("/bin/sh").unwrap().into()).await;
    assert_eq!(attack(launched(), open.0.id()).await, "read\nread\n");
    let closed = victim(launched()).await;
    assert_eq!(attack(launched(), closed.0.id()).await, "refused\nrefused\n");
    // A hostile neighbour may change what has a name, and nothing of that is run.
    for entry in fs::read_dir(&binaries.copies).unwrap() {
        set_mode(&entry.unwrap().path(), 0o755);
    }
    let closed = victim(launched()).await;
    assert_eq!(attack(launched(), closed.0.id()).await, "refused\nrefused\n");
}

async fn victim(file: OwnedFd) -> (Running, Pipes) {
    let (running, mut pipes) = run(file, "echo up; sleep 1000 & wait").await;
    let mut line = String::new();
    BufReader::new(&mut pipes.stdout).read_line(&mut line).await.unwrap();
    assert_eq!(line, "up\n");
    (running, pipes)
}

/// What comes of reading the environment and the descriptors of another process.
async fn attack(file: OwnedFd, pid: u32) -> String {
    let attempt = |command: &str| {
        format!("if {command} >/dev/null 2>&1; then echo read; else echo refused; fi")
    };
    let script = format!(
        "{}\n{}",
        attempt(&format!("cat /proc/{pid}/environ")),
        attempt(&format!("readlink /proc/{pid}/fd/1"))
    );
    let (mut running, mut pipes) = run(file, &script).await;
    let mut said = String::new();
    pipes.stdout.read_to_string(&mut said).await.unwrap();
    running.ended().await.unwrap();
    said
}

async fn run(file: OwnedFd, script: &str) -> (Running, Pipes) {
    let execution = Execution {
        file,
        keeps_file: false,
        arguments: ["sh", "-c", script].map(OsString::from).to_vec(),
        environment: BTreeMap::from([
            ("PATH".into(), "/usr/bin:/bin".into()),
            ("SECRET".into(), "hunter2".into()),
        ]),
    };
    spawn(execution).await.unwrap()
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}
