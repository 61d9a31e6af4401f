//! Children that die with the server.
//!
//! The kernel sends the parent-death signal when the *thread* that forked ends, so all children
//! are forked by one thread that never does.
//!
//! A child may be hostile: it can leave its group, and it can be slow to die. So it is killed
//! through its descriptor beside its group, and nobody waits for it synchronously: what is dropped
//! goes to a thread that reaps.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, waitid};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::unix::pipe;
use tokio::sync::oneshot;

/// A child, started as the leader of a process group of its own. Dropping it kills it and that
/// group.
#[derive(Debug)]
pub struct Running(AsyncFd<Held>);

/// What a child writes.
#[derive(Debug)]
pub struct Pipes {
    /// Its standard output.
    pub stdout: pipe::Receiver,
    /// Its standard error.
    pub stderr: pipe::Receiver,
}

struct Job {
    command: Command,
    /// What the command names by its number, so it must be open until the child runs.
    needed: Option<OwnedFd>,
    answer: oneshot::Sender<io::Result<Held>>,
}

/// Starts waiting at the same time; more are refused.
const WAITING: usize = 64;

/// Starts a child with nothing on its standard input, and its output in pipes. `needed` is kept
/// open until the child runs.
///
/// Cancel safety: when dropped, a child that was started is killed.
pub async fn spawn(mut command: Command, needed: Option<OwnedFd>) -> io::Result<(Running, Pipes)> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    die_with_parent(&mut command);
    let (answer, started) = oneshot::channel();
    spawner()?
        .try_send(Job { command, needed, answer })
        .map_err(|_| io::Error::other("too many processes are being started"))?;
    let mut held = started.await.map_err(io::Error::other)??;
    let pipes = held.child.as_mut().map(|child| (child.stdout.take(), child.stderr.take()));
    let Some((Some(stdout), Some(stderr))) = pipes else {
        return Err(io::Error::other("the child has no pipes"));
    };
    let pipes = Pipes {
        stdout: pipe::Receiver::from_owned_fd(stdout.into())?,
        stderr: pipe::Receiver::from_owned_fd(stderr.into())?,
    };
    #[expect(unsafe_code, reason = "the only way to wait for a descriptor of our own")]
    // SAFETY: the descriptor belongs to `held`, is open, and is neither replaced nor closed before
    // `held` is dropped; nothing outside of this module reaches it.
    let watched = unsafe { AsyncFd::register_with_interest(held, Interest::READABLE) };
    Ok((Running(watched?), pipes))
}

impl Running {
    /// The process id.
    pub fn id(&self) -> u32 {
        self.0.get_ref().id()
    }

    /// Resolves when the child has ended; whatever else is in its group is killed then. It may take
    /// for ever, also after a kill: the system may hold a process that waits for a disk.
    ///
    /// Cancel safety: may be called again.
    pub async fn ended(&mut self) -> io::Result<ExitStatus> {
        loop {
            // Readable once it has ended, and for ever after.
            let mut ready = self.0.readable_mut().await?;
            if let Ok(end) = ready.try_io(|watched| watched.get_mut().reap()) {
                return end;
            }
        }
    }

    /// Kills the child and whatever it started in its group.
    pub fn kill(&self) {
        self.0.get_ref().kill();
    }
}

/// A child and the descriptor that tells of its end.
#[derive(Debug)]
struct Held {
    /// Taken when it is dropped.
    child: Option<Child>,
    pid: Pid,
    ends: OwnedFd,
    /// From then on its id, and that of its group, may be another's.
    reaped: bool,
}

impl Held {
    fn start(mut command: Command) -> io::Result<Self> {
        let mut child = command.spawn()?;
        let raw = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        // Before anybody could have waited for it, so it can't be another's.
        let opened = raw
            .ok_or(io::ErrorKind::InvalidData.into())
            .and_then(|pid| Ok((pid, rustix::process::pidfd_open(pid, PidfdFlags::NONBLOCK)?)));
        match opened {
            Ok((pid, ends)) => Ok(Self { child: Some(child), pid, ends, reaped: false }),
            Err(error) => {
                // What can't be watched is not run; that it is gone already is fine.
                let _ = child.kill();
                bury(child);
                Err(error)
            }
        }
    }

    fn id(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    fn kill(&self) {
        if self.reaped {
            return;
        }
        // The group is gone: that is what was wanted. The child itself need not be in it any more.
        let _ = rustix::process::kill_process_group(self.pid, Signal::KILL);
        let _ = rustix::process::pidfd_send_signal(&self.ends, Signal::KILL);
    }

    /// How it ended; would block if it hasn't.
    fn reap(&mut self) -> io::Result<ExitStatus> {
        if !self.reaped {
            let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
            if waitid(WaitId::PidFd(self.ends.as_fd()), look)?.is_none() {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            // Not yet reaped, so the id of the group is still its own.
            self.kill();
        }
        let child = self.child.as_mut().ok_or(io::ErrorKind::NotFound)?;
        let end = child.try_wait()?.ok_or(io::ErrorKind::WouldBlock)?;
        self.reaped = true;
        Ok(end)
    }
}

impl AsRawFd for Held {
    fn as_raw_fd(&self) -> RawFd {
        self.ends.as_raw_fd()
    }
}

impl AsFd for Held {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ends.as_fd()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.kill();
        if let Some(child) = self.child.take().filter(|_| !self.reaped) {
            bury(child);
        }
    }
}

/// The thread that forks. It is started once and lives as long as the server.
fn spawner() -> io::Result<&'static SyncSender<Job>> {
    static SPAWNER: OnceLock<io::Result<SyncSender<Job>>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (jobs, waiting) = sync_channel::<Job>(WAITING);
        let run = move || {
            for Job { command, needed, answer } in waiting {
                if answer.is_closed() {
                    continue;
                }
                let started = Held::start(command);
                drop(needed);
                // Whoever wanted it may have gone meanwhile; then it is dropped, which kills it.
                let _ = answer.send(started);
            }
        };
        std::thread::Builder::new().name("plugin-spawner".to_owned()).spawn(run)?;
        Ok(jobs)
    });
    spawner.as_ref().map_err(|error| io::Error::new(error.kind(), error.to_string()))
}

/// Has a killed child reaped, without waiting for it.
fn bury(mut child: Child) {
    static REAPER: OnceLock<Option<Sender<Child>>> = OnceLock::new();
    let reaper = REAPER.get_or_init(|| {
        let (dying, waiting) = channel();
        let thread = std::thread::Builder::new().name("plugin-reaper".to_owned());
        thread.spawn(move || reap_all(&waiting)).ok().map(|_| dying)
    });
    if let Some(reaper) = reaper {
        // The thread ends with the process.
        let _ = reaper.send(child);
    } else {
        // Without a thread it is reaped if it died at once, and else when the server ends.
        let _ = child.try_wait();
    }
}

/// How long to wait at first, and at most, before looking again at a child that doesn't die.
const LOOK_AGAIN: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(1));

fn reap_all(waiting: &Receiver<Child>) {
    let (soon, late) = LOOK_AGAIN;
    let mut dying: Vec<Child> = Vec::new();
    let mut pause = soon;
    loop {
        let another = if dying.is_empty() {
            waiting.recv().map_err(|_| RecvTimeoutError::Disconnected)
        } else {
            waiting.recv_timeout(pause)
        };
        match another {
            Ok(child) => {
                dying.push(child);
                pause = soon;
            }
            Err(RecvTimeoutError::Timeout) => pause = (pause * 2).min(late),
            Err(RecvTimeoutError::Disconnected) => return,
        }
        // An error says that there is no such child: reaped by somebody else.
        dying.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
    }
}

fn die_with_parent(command: &mut Command) {
    let parent = rustix::process::getpid();
    let set = move || {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        // The parent may have died before the signal was set.
        if rustix::process::getppid() == Some(parent) {
            Ok(())
        } else {
            Err(io::Error::from_raw_os_error(ESRCH))
        }
    };
    #[expect(unsafe_code, reason = "there is no safe way to run code between fork and exec")]
    // SAFETY: the closure runs in the child of a threaded process, where only async-signal-safe
    // functions may be called and nothing may be allocated. It makes two system calls through
    // rustix, which issues them directly, and builds an error that is a bare number.
    unsafe {
        command.pre_exec(set);
    }
}

const ESRCH: i32 = 3;

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        command
    }

    #[tokio::test]
    async fn a_child_is_watched_and_heard() {
        let (mut child, mut pipes) =
            spawn(shell("echo out; echo err >&2; exit 3"), None).await.unwrap();
        let (mut out, mut err) = (String::new(), String::new());
        pipes.stdout.read_to_string(&mut out).await.unwrap();
        pipes.stderr.read_to_string(&mut err).await.unwrap();
        assert_eq!((&*out, &*err), ("out\n", "err\n"));
        assert_eq!(child.ended().await.unwrap().code(), Some(3));
    }

    #[tokio::test]
    async fn what_can_not_be_run_says_why() {
        let error = spawn(Command::new("/nonexistent/plugin"), None).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    /// The grandchild holds the pipe open: it closes only when both are dead.
    #[tokio::test]
    async fn killing_and_dropping_take_the_whole_group() {
        for drop_it in [true, false] {
            let (mut child, mut pipes) =
                spawn(shell("sleep 1000 & echo up; wait"), None).await.unwrap();
            let mut line = [0; 3];
            pipes.stdout.read_exact(&mut line).await.unwrap();
            if drop_it {
                drop(child);
            } else {
                child.kill();
                assert!(!child.ended().await.unwrap().success());
            }
            assert_eq!(pipes.stdout.read(&mut line).await.unwrap(), 0);
        }
    }

    /// A leader that ends by itself leaves nothing of its group.
    #[tokio::test]
    async fn what_a_plug_in_started_ends_with_it() {
        let (mut child, mut pipes) = spawn(shell("sleep 1000 & echo up"), None).await.unwrap();
        assert!(child.ended().await.unwrap().success());
        let mut rest = String::new();
        pipes.stdout.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, "up\n");
    }

    #[tokio::test]
    async fn the_thread_that_forked_is_not_ours() {
        let script = "grep -c plugin-spawner /proc/$PPID/task/*/comm | grep -c ':1'";
        let (mut child, mut pipes) = spawn(shell(script), None).await.unwrap();
        let mut out = String::new();
        pipes.stdout.read_to_string(&mut out).await.unwrap();
        child.ended().await.unwrap();
        assert_eq!(out, "1\n");
    }

    /// A process that left its group, as a hostile plug-in might: it tells of it and sleeps.
    async fn deserter() -> (Running, Pipes) {
        const LEAVE: &str = "import os, time; os.setpgid(0, os.getpgid(os.getppid())); \
                             print('left', flush=True); time.sleep(1000)";
        let mut command = Command::new("python3");
        command.args(["-c", LEAVE]);
        let (child, mut pipes) = spawn(command, None).await.unwrap();
        let mut line = [0; 5];
        pipes.stdout.read_exact(&mut line).await.unwrap();
        assert_eq!(&line, b"left\n");
        (child, pipes)
    }

    #[tokio::test]
    async fn one_that_left_its_group_is_killed_all_the_same() {
        let (mut child, mut pipes) = deserter().await;
        child.kill();
        assert!(!child.ended().await.unwrap().success());
        let (child, mut dropped_pipes) = deserter().await;
        drop(child);
        for pipes in [&mut pipes, &mut dropped_pipes] {
            assert_eq!(pipes.stdout.read(&mut [0]).await.unwrap(), 0);
        }
    }

    /// What was dropped leaves no zombie behind.
    #[tokio::test]
    async fn what_is_dropped_is_reaped_by_somebody() {
        let (child, mut pipes) = spawn(shell("echo up; exec sleep 1000"), None).await.unwrap();
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

    /// A dead leader's id may be another's group by the time somebody kills again.
    #[tokio::test]
    async fn after_it_was_reaped_nobody_is_killed() {
        use std::io::{Read as _, Write as _};
        let (mut child, _pipes) = spawn(shell("exit 0"), None).await.unwrap();
        child.ended().await.unwrap();
        let mut echo = Command::new("cat");
        echo.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
        let mut bystander = echo.spawn().unwrap();
        // As if the id had come around.
        child.0.get_mut().pid = Pid::from_child(&bystander);
        child.kill();
        assert!(child.ended().await.unwrap().success(), "and it tells its end again");
        drop(child);
        let (mut to, mut from) =
            (bystander.stdin.take().unwrap(), bystander.stdout.take().unwrap());
        // Whoever was killed does nothing any more, though it may not be dead yet.
        to.write_all(b"alive").unwrap();
        drop(to);
        let mut said = String::new();
        from.read_to_string(&mut said).unwrap();
        assert_eq!(said, "alive");
        bystander.wait().unwrap();
    }

    #[tokio::test]
    async fn what_nobody_waits_for_is_not_started() {
        use std::io::{Read as _, Write as _};
        let (mut mark, mut marker) = io::pipe().unwrap();
        let mut command = shell("exit 0");
        #[expect(unsafe_code, reason = "it tells of the fork, however soon the child is killed")]
        // SAFETY: the closure makes one system call, and allocates nothing unless that fails.
        unsafe {
            command.pre_exec(move || marker.write_all(b"forked"));
        }
        let (answer, started) = oneshot::channel();
        drop(started);
        spawner().unwrap().try_send(Job { command, needed: None, answer }).unwrap();
        let mut told = String::new();
        // It ends when the job is dropped, and with it the other end.
        mark.read_to_string(&mut told).unwrap();
        assert_eq!(told, "");
    }

    /// The number in the command must mean the same file until the child has it, whatever becomes
    /// of the future that wanted it.
    #[tokio::test]
    async fn a_program_is_run_by_its_descriptor() {
        let file: OwnedFd = std::fs::File::open("/bin/sh").unwrap().into();
        let number = file.as_raw_fd();
        let mut command = Command::new(format!("/proc/self/fd/{number}"));
        command.args(["-c", "exit 7"]);
        let (mut child, _pipes) = spawn(command, Some(file)).await.unwrap();
        assert_eq!(child.ended().await.unwrap().code(), Some(7));
    }
}
