//! Children that die with the server.
//!
//! The kernel sends the parent-death signal when the *thread* that forked ends, so all children
//! are forked by one thread that never does.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{SyncSender, sync_channel};

use rustix::process::{Pid, PidfdFlags, Signal};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::unix::pipe;
use tokio::sync::oneshot;

/// A child, leader of its own process group. Dropping it kills the group.
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
    answer: oneshot::Sender<io::Result<Held>>,
}

/// Starts waiting at the same time; more are refused.
const WAITING: usize = 64;

/// Starts a child with nothing on its standard input, and its output in pipes.
///
/// Cancel safety: when dropped, a child that was started is killed.
pub async fn spawn(mut command: Command) -> io::Result<(Running, Pipes)> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    die_with_parent(&mut command);
    let (answer, started) = oneshot::channel();
    spawner()?
        .try_send(Job { command, answer })
        .map_err(|_| io::Error::other("too many processes are being started"))?;
    let mut held = started.await.map_err(io::Error::other)??;
    let (Some(stdout), Some(stderr)) = (held.child.stdout.take(), held.child.stderr.take()) else {
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
        self.0.get_ref().child.id()
    }

    /// Resolves when the child has ended; whatever it started itself is killed then.
    ///
    /// Cancel safety: may be called again.
    pub async fn ended(&mut self) -> io::Result<ExitStatus> {
        // Readable once it has ended, and for ever after.
        drop(self.0.readable().await?);
        // Not yet reaped, so the id of the group is still its own.
        self.kill();
        self.0.get_mut().child.wait()
    }

    /// Kills the child and whatever it started in its group.
    pub fn kill(&self) {
        self.0.get_ref().kill();
    }
}

/// A child and the descriptor that tells of its end.
#[derive(Debug)]
struct Held {
    child: Child,
    pid: Pid,
    ends: OwnedFd,
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
            Ok((pid, ends)) => Ok(Self { child, pid, ends }),
            Err(error) => {
                // What can't be watched is not run; that it is gone already is fine.
                let _ = child.kill();
                let _ = child.wait();
                Err(error)
            }
        }
    }

    fn kill(&self) {
        // The group is gone: that is what was wanted.
        let _ = rustix::process::kill_process_group(self.pid, Signal::KILL);
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
        // Only while it was not waited for: afterwards the id may be another's.
        if let Ok(None) = self.child.try_wait() {
            self.kill();
            // It is dead, so this takes no time; nobody is left to hear of an error.
            let _ = self.child.wait();
        }
    }
}

/// The thread that forks. It is started once and lives as long as the server.
fn spawner() -> io::Result<&'static SyncSender<Job>> {
    static SPAWNER: OnceLock<io::Result<SyncSender<Job>>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (jobs, waiting) = sync_channel::<Job>(WAITING);
        let run = move || {
            for Job { command, answer } in waiting {
                // Whoever wanted it may have gone; then it is dropped, which kills it.
                let _ = answer.send(Held::start(command));
            }
        };
        std::thread::Builder::new().name("plugin-spawner".to_owned()).spawn(run)?;
        Ok(jobs)
    });
    spawner.as_ref().map_err(|error| io::Error::new(error.kind(), error.to_string()))
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
        let (mut child, mut pipes) = spawn(shell("echo out; echo err >&2; exit 3")).await.unwrap();
        let (mut out, mut err) = (String::new(), String::new());
        pipes.stdout.read_to_string(&mut out).await.unwrap();
        pipes.stderr.read_to_string(&mut err).await.unwrap();
        assert_eq!((&*out, &*err), ("out\n", "err\n"));
        assert_eq!(child.ended().await.unwrap().code(), Some(3));
    }

    #[tokio::test]
    async fn what_can_not_be_run_says_why() {
        let error = spawn(Command::new("/nonexistent/plugin")).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    /// The grandchild holds the pipe open: it closes only when both are dead.
    #[tokio::test]
    async fn killing_and_dropping_take_the_whole_group() {
        for drop_it in [true, false] {
            let (mut child, mut pipes) = spawn(shell("sleep 1000 & echo up; wait")).await.unwrap();
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
        let (mut child, mut pipes) = spawn(shell("sleep 1000 & echo up")).await.unwrap();
        assert!(child.ended().await.unwrap().success());
        let mut rest = String::new();
        pipes.stdout.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, "up\n");
    }

    #[tokio::test]
    async fn the_thread_that_forked_is_not_ours() {
        let script = "grep -c plugin-spawner /proc/$PPID/task/*/comm | grep -c ':1'";
        let (mut child, mut pipes) = spawn(shell(script)).await.unwrap();
        let mut out = String::new();
        pipes.stdout.read_to_string(&mut out).await.unwrap();
        child.ended().await.unwrap();
        assert_eq!(out, "1\n");
    }
}
