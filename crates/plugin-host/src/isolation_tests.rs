//! Checks what one plug-in can access of another. The kernel doesn't restrict root, so a test that
//! runs as root starts itself again as an ordinary user.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use data_encoding::HEXLOWER;
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};
use strongroom_crypto::SystemEntropy;
use strongroom_crypto::digest::sha256;
use strongroom_types::SystemClock;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};

use crate::binary::{BinarySource, PluginBinaries};
use crate::kept_copies::KeptCopies;
use crate::spawn::{ChildCommand, ChildProcess, OutputPipes, spawn};
use crate::spec::LaunchSpec;

const NOBODY: u32 = 65_534;

#[test]
fn sr_2026_10_a_plugin_can_not_read_the_memory_of_another() {
    let mut again = Command::new("/proc/self/exe");
    again.args(["--exact", "isolation_tests::as_an_ordinary_user", "--ignored"]);
    if rustix::process::geteuid().is_root() {
        again.uid(NOBODY).gid(NOBODY);
    }
    again.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = again.spawn().unwrap().wait_with_output().unwrap();
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
    let binaries = PluginBinaries {
        directory: plugins,
        copies: root.path().join("copies"),
        allow_scripts: false,
        group_may_write: false,
        entropy: Arc::new(SystemEntropy),
        kept_copies: KeptCopies::default(),
    };
    let spec = LaunchSpec {
        name: "custom".to_owned(),
        kind: "secret",
        version: String::new(),
        command: "custom".to_owned(),
        args: Vec::new(),
        env: Vec::new(),
        sha256: HEXLOWER.encode(&sha256(&shell)),
    };
    let launched = || binaries.verify(&spec, BinarySource::AnyCopy).unwrap().file;
    // The control: a process that was executed from a readable file is accessible to others.
    let open = start_victim(File::open("/bin/sh").unwrap().into()).await;
    assert_eq!(run_attack(launched(), open.0.pid()).await, "read\n".repeat(ATTEMPTS));
    assert_eq!(readable_by_parent(open.0.pid()), [true, true]);
    let closed = start_victim(launched()).await;
    assert_eq!(run_attack(launched(), closed.0.pid()).await, "refused\n".repeat(ATTEMPTS));
    assert_eq!(readable_by_parent(closed.0.pid()), [false, false]);
    // A hostile plug-in may change every named file, and none of them is executed.
    for entry in fs::read_dir(&binaries.copies).unwrap() {
        set_mode(&entry.unwrap().path(), 0o755);
    }
    let closed = start_victim(launched()).await;
    assert_eq!(run_attack(launched(), closed.0.pid()).await, "refused\n".repeat(ATTEMPTS));
    assert_eq!(readable_by_parent(closed.0.pid()), [false, false]);
}

/// Whether the memory of a process can be opened, and whether one of its descriptors, which may be
/// a socket, can be duplicated. Tried by its parent, which has more rights than other processes.
fn readable_by_parent(pid: u32) -> [bool; 2] {
    let memory = File::open(format!("/proc/{pid}/mem"));
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    let process = pidfd_open(pid, PidfdFlags::empty()).unwrap();
    let socket = pidfd_getfd(process, 1, PidfdGetfdFlags::empty());
    [memory.is_ok(), socket.is_ok()]
}

async fn start_victim(file: OwnedFd) -> (ChildProcess, OutputPipes) {
    // An unlinked file of its own.
    let script =
        "f=$(mktemp); exec 3<>\"$f\"; rm \"$f\"; echo hunter2 >&3; echo up; sleep 1000 & wait";
    let (running, mut pipes) = run_script(file, script).await;
    let mut line = String::new();
    BufReader::new(&mut pipes.stdout).read_line(&mut line).await.unwrap();
    assert_eq!(line, "up\n");
    (running, pipes)
}

/// The number of attempts of [`run_attack`].
const ATTEMPTS: usize = 6;

/// The outcome of reading another process's environment, descriptors, files, directories and memory
/// map.
async fn run_attack(file: OwnedFd, pid: u32) -> String {
    let attempt = |command: &str| {
        format!("if {command} >/dev/null 2>&1; then echo read; else echo refused; fi")
    };
    let script = format!(
        "{}\n{}\n{}\n{}\n{}\n{}",
        attempt(&format!("cat /proc/{pid}/environ")),
        attempt(&format!("readlink /proc/{pid}/fd/1")),
        attempt(&format!("cat /proc/{pid}/fd/3")),
        attempt(&format!("ls /proc/{pid}/cwd/")),
        attempt(&format!("ls /proc/{pid}/root/")),
        attempt(&format!("cat /proc/{pid}/maps")),
    );
    let (mut running, mut pipes) = run_script(file, &script).await;
    let mut said = String::new();
    pipes.stdout.read_to_string(&mut said).await.unwrap();
    running.wait().await.unwrap();
    said
}

async fn run_script(file: OwnedFd, script: &str) -> (ChildProcess, OutputPipes) {
    let execution = ChildCommand {
        file,
        keeps_file: false,
        arguments: ["sh", "-c", script].map(OsString::from).to_vec(),
        environment: BTreeMap::from([
            ("PATH".into(), "/usr/bin:/bin".into()),
            ("SECRET".into(), "hunter2".into()),
        ]),
    };
    spawn(&SystemClock, execution).await.unwrap()
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}
