use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::sync::Mutex;

use strongroom_types::SystemClock;
use strongroom_types::clock::{BoxFuture, Timestamp};
use tokio::io::AsyncReadExt;

use super::*;

fn program_command(path: &str, arguments: &[&str]) -> ChildCommand {
    let arguments = std::iter::once(&path).chain(arguments).map(OsString::from).collect();
    ChildCommand {
        file: File::open(path).unwrap().into(),
        keeps_file: false,
        arguments,
        environment: BTreeMap::from([("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into())]),
    }
}

fn shell_command(script: &str) -> ChildCommand {
    program_command("/bin/sh", &["-c", script])
}

async fn stdout_of(execution: ChildCommand) -> String {
    let (mut child, mut pipes) = spawn(&SystemClock, execution).await.unwrap();
    let mut out = String::new();
    pipes.stdout.read_to_string(&mut out).await.unwrap();
    child.wait().await.unwrap();
    out
}

#[tokio::test]
async fn a_childs_output_and_exit_status_are_read() {
    let (mut child, mut pipes) =
        spawn(&SystemClock, shell_command("echo out; echo err >&2; exit 3")).await.unwrap();
    let (mut out, mut err) = (String::new(), String::new());
    pipes.stdout.read_to_string(&mut out).await.unwrap();
    pipes.stderr.read_to_string(&mut err).await.unwrap();
    assert_eq!((&*out, &*err), ("out\n", "err\n"));
    assert_eq!(child.wait().await.unwrap().code(), Some(3));
}

/// `execvp` would pass it to a shell.
#[tokio::test]
async fn a_file_the_kernel_refuses_is_not_run_by_a_shell() {
    let folder = tempfile::tempdir().unwrap();
    let (text, mark) = (folder.path().join("text"), folder.path().join("mark"));
    for content in [format!("echo run > '{}'\n", mark.display()), String::new()] {
        std::fs::write(&text, content).unwrap();
        std::fs::set_permissions(&text, std::fs::Permissions::from_mode(0o755)).unwrap();
        let error =
            spawn(&SystemClock, program_command(text.to_str().unwrap(), &[])).await.unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOEXEC));
    }
    assert!(!mark.exists());
    std::fs::set_permissions(&text, std::fs::Permissions::from_mode(0o644)).unwrap();
    let error =
        spawn(&SystemClock, program_command(text.to_str().unwrap(), &[])).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
}

/// Counts the pauses, and closes a file at the first one that takes time.
#[derive(Debug, Default)]
struct PauseCounter {
    pauses: Mutex<Vec<Duration>>,
    closes: Mutex<Option<File>>,
    /// Whether pauses take no time.
    is_fast: bool,
}

impl Clock for PauseCounter {
    fn now(&self) -> Timestamp {
        SystemClock.now()
    }

    fn sleep_until(&self, at: Timestamp) -> BoxFuture<'static, ()> {
        SystemClock.sleep_until(at)
    }

    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        self.pauses.lock().unwrap().push(time);
        if !time.is_zero() {
            self.closes.lock().unwrap().take();
        }
        SystemClock.sleep(if self.is_fast { Duration::ZERO } else { time })
    }
}

/// A program and a descriptor that is open for writing it, as a child has it between fork and exec.
fn busy_program(folder: &std::path::Path) -> (ChildCommand, File) {
    let path = folder.join("program");
    std::fs::copy("/bin/true", &path).unwrap();
    let writer = File::options().append(true).open(&path).unwrap();
    (program_command(path.to_str().unwrap(), &[]), writer)
}

#[tokio::test]
async fn a_start_waits_for_its_file_to_be_closed() {
    let folder = tempfile::tempdir().unwrap();
    let (execution, writer) = busy_program(folder.path());
    let clock = PauseCounter { closes: Mutex::new(Some(writer)), ..PauseCounter::default() };
    let (mut child, _pipes) = spawn(&clock, execution).await.unwrap();
    assert!(child.wait().await.unwrap().success());
    assert!(clock.closes.into_inner().unwrap().is_none(), "it can't have run before");
}

#[tokio::test]
async fn a_start_does_not_wait_for_ever_for_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let (execution, _writer) = busy_program(folder.path());
    let clock = PauseCounter { is_fast: true, ..PauseCounter::default() };
    let error = spawn(&clock, execution).await.unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ETXTBSY));
    let pauses = clock.pauses.into_inner().unwrap();
    assert_eq!(pauses, BUSY_FILE_PAUSES.map(Duration::from_millis));
}

/// A file that gets the path after the descriptor was opened is not executed.
#[tokio::test]
async fn sr_2026_15_swapping_the_file_before_it_is_executed_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plugin");
    let put = |content: &str| {
        let new = folder.path().join("new");
        std::fs::write(&new, content).unwrap();
        std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::rename(new, &path).unwrap();
    };
    put("#!/bin/sh\necho hashed\n");
    let mut execution = program_command(path.to_str().unwrap(), &[]);
    execution.keeps_file = true;
    put("#!/bin/sh\necho swapped\n");
    assert_eq!(stdout_of(execution).await, "hashed\n");
}

#[tokio::test]
async fn sr_2026_10_a_child_gets_no_new_privileges_and_no_other_descriptor() {
    let (reader, _writer) = io::pipe().unwrap();
    // Without close-on-exec, like a descriptor that the server inherited.
    fcntl_setfd(&reader, FdFlags::empty()).unwrap();
    let script = "grep NoNewPrivs /proc/self/status; exec ls /proc/self/fd";
    let said = stdout_of(shell_command(script)).await;
    let mut lines = said.lines();
    assert_eq!(lines.next(), Some("NoNewPrivs:\t1"));
    // The last one is the directory that `ls` reads.
    assert_eq!(lines.collect::<Vec<_>>(), ["0", "1", "2", "3"]);
}

#[test]
fn descriptors_are_marked_without_close_range() {
    let (reader, _writer) = io::pipe().unwrap();
    fcntl_setfd(&reader, FdFlags::empty()).unwrap();
    set_cloexec_one_by_one(u64::from(reader.as_raw_fd().unsigned_abs()) + 1);
    assert!(rustix::io::fcntl_getfd(&reader).unwrap().contains(FdFlags::CLOEXEC));
}

#[tokio::test]
async fn a_name_with_a_nul_is_not_cut_there() {
    let error = spawn(&SystemClock, program_command("/bin/sh", &["a\0b"])).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
}

/// The grandchild keeps the pipe open, so it closes only when both are dead.
#[tokio::test]
async fn killing_and_dropping_take_the_whole_group() {
    for drop_it in [true, false] {
        let (mut child, mut pipes) =
            spawn(&SystemClock, shell_command("sleep 1000 & echo up; wait")).await.unwrap();
        let mut line = [0; 3];
        pipes.stdout.read_exact(&mut line).await.unwrap();
        if drop_it {
            drop(child);
        } else {
            child.kill();
            assert!(!child.wait().await.unwrap().success());
        }
        assert_eq!(pipes.stdout.read(&mut line).await.unwrap(), 0);
    }
}

/// When the leader exits by itself, the rest of its group is killed.
#[tokio::test]
async fn what_a_plug_in_started_ends_with_it() {
    let (mut child, mut pipes) =
        spawn(&SystemClock, shell_command("sleep 1000 & echo up")).await.unwrap();
    assert!(child.wait().await.unwrap().success());
    let mut rest = String::new();
    pipes.stdout.read_to_string(&mut rest).await.unwrap();
    assert_eq!(rest, "up\n");
}

#[tokio::test]
async fn children_are_forked_by_the_spawner_thread() {
    let script = "grep -c plugin-spawner /proc/$PPID/task/*/comm | grep -c ':1'";
    assert_eq!(stdout_of(shell_command(script)).await, "1\n");
}

/// A process that has left its group, as a hostile plug-in might do; it prints a line when it has.
async fn child_outside_group() -> (ChildProcess, OutputPipes) {
    const LEAVE: &str = "import os, time; os.setpgid(0, os.getpgid(os.getppid())); \
                         print('left', flush=True); time.sleep(1000)";
    let deserter = program_command("/usr/bin/env", &["python3", "-c", LEAVE]);
    let (child, mut pipes) = spawn(&SystemClock, deserter).await.unwrap();
    let mut line = [0; 5];
    pipes.stdout.read_exact(&mut line).await.unwrap();
    assert_eq!(&line, b"left\n");
    (child, pipes)
}

#[tokio::test]
async fn a_child_outside_its_group_is_killed() {
    let (mut child, mut pipes) = child_outside_group().await;
    child.kill();
    assert!(!child.wait().await.unwrap().success());
    let (child, mut dropped_pipes) = child_outside_group().await;
    drop(child);
    for pipes in [&mut pipes, &mut dropped_pipes] {
        assert_eq!(pipes.stdout.read(&mut [0]).await.unwrap(), 0);
    }
}

/// A dropped child leaves no zombie.
#[tokio::test]
async fn dropped_children_are_reaped() {
    let (child, mut pipes) =
        spawn(&SystemClock, shell_command("echo up; exec sleep 1000")).await.unwrap();
    pipes.stdout.read_exact(&mut [0; 3]).await.unwrap();
    let watch = rustix::process::pidfd_open(child.0.get_ref().pid, PidfdFlags::empty());
    let watch = watch.unwrap();
    drop(child);
    let exists = move || rustix::process::pidfd_send_signal(&watch, Signal::CONT).is_ok();
    tokio::task::spawn_blocking(move || {
        while exists() {
            std::thread::yield_now();
        }
    })
    .await
    .unwrap();
}

/// The ID of a reaped leader may belong to another group when `kill` is called again.
#[tokio::test]
async fn a_reaped_child_is_not_killed_again() {
    use std::io::{Read as _, Write as _};
    let (mut child, _pipes) = spawn(&SystemClock, shell_command("exit 0")).await.unwrap();
    child.wait().await.unwrap();
    let mut echo = Command::new("cat");
    echo.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
    let mut bystander = echo.spawn().unwrap();
    // As if the ID had been reused.
    child.0.get_mut().pid = Pid::from_child(&bystander);
    child.kill();
    assert!(child.wait().await.unwrap().success(), "and it tells its end again");
    drop(child);
    let (mut to, mut from) = (bystander.stdin.take().unwrap(), bystander.stdout.take().unwrap());
    // A killed process would not answer, even if it is not dead yet.
    to.write_all(b"alive").unwrap();
    drop(to);
    let mut said = String::new();
    from.read_to_string(&mut said).unwrap();
    assert_eq!(said, "alive");
    bystander.wait().unwrap();
}

#[tokio::test]
async fn an_abandoned_start_is_not_run() {
    use std::io::{Read as _, Write as _};
    let (mut mark, mut marker) = io::pipe().unwrap();
    let mut command = Command::new("/bin/true");
    #[expect(unsafe_code, reason = "it tells of the fork, however soon the child is killed")]
    // SAFETY: the closure makes one system call, and allocates nothing unless that fails.
    unsafe {
        command.pre_exec(move || marker.write_all(b"forked"));
    }
    let (answer, started) = oneshot::channel();
    drop(started);
    spawner_thread().unwrap().try_send(SpawnJob { command, answer }).unwrap();
    let mut told = String::new();
    // The descriptor is closed when the job is dropped, and then the pipe ends.
    mark.read_to_string(&mut told).unwrap();
    assert_eq!(told, "");
}
