//! Children that run one open file and die with the server.
//!
//! What is executed is a descriptor and never a path, by execveat(2) itself. The C library's
//! `execvp`, which [`Command`] uses, has a shell run whatever the kernel refuses; here a refusal is
//! an error. A child gets no new privileges, and of the server's descriptors its standard streams
//! alone.
//!
//! The kernel sends the parent-death signal when the *thread* that forked ends, so all children
//! are forked by one thread that never does.
//!
//! A child may be hostile: it can leave its group, and it can be slow to die. So it is killed
//! through its descriptor beside its group, and nobody waits for it synchronously: what is dropped
//! goes to a thread that reaps.

use std::collections::BTreeMap;
use std::ffi::{CString, OsString, c_char, c_int, c_long, c_uint};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::time::Duration;

use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::{
    Pid, PidfdFlags, Resource, Signal, WaitId, WaitIdOptions, getrlimit, waitid,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::unix::pipe;
use tokio::sync::oneshot;

/// A child, started as the leader of a process group of its own. Dropping it kills it and that
/// group.
#[derive(Debug)]
pub struct ChildProcess(AsyncFd<ChildHandle>);

/// What a child writes.
#[derive(Debug)]
pub struct OutputPipes {
    /// Its standard output.
    pub stdout: pipe::Receiver,
    /// Its standard error.
    pub stderr: pipe::Receiver,
}

/// What a child executes.
#[derive(Debug)]
pub struct ChildCommand {
    /// The program. Nothing else is run in its place, whatever has its path meanwhile.
    pub file: OwnedFd,
    /// Whether the child keeps the file open, as the interpreter of a script must, which reads it.
    pub keeps_file: bool,
    /// Its arguments; the first is the name it is shown under.
    pub arguments: Vec<OsString>,
    /// Its whole environment.
    pub environment: BTreeMap<OsString, OsString>,
}

struct SpawnJob {
    command: Command,
    answer: oneshot::Sender<io::Result<ChildHandle>>,
}

/// Starts waiting at the same time; more are refused.
const MAX_PENDING_STARTS: usize = 64;

/// Starts a child in the root folder, with nothing on its standard input, and its output in pipes.
///
/// Cancel safety: when dropped, a child that was started is killed.
pub async fn spawn(execution: ChildCommand) -> io::Result<(ChildProcess, OutputPipes)> {
    // The name is never looked up: the child executes the file, or fails.
    let mut command = Command::new("plug-in");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.process_group(0).current_dir("/");
    prepare_exec(&mut command, execution)?;
    let (answer, started) = oneshot::channel();
    spawner_thread()?
        .try_send(SpawnJob { command, answer })
        .map_err(|_| io::Error::other("too many processes are being started"))?;
    let mut held = started.await.map_err(io::Error::other)??;
    let pipes = held.child.as_mut().map(|child| (child.stdout.take(), child.stderr.take()));
    let Some((Some(stdout), Some(stderr))) = pipes else {
        return Err(io::Error::other("the child has no pipes"));
    };
    let pipes = OutputPipes {
        stdout: pipe::Receiver::from_owned_fd(stdout.into())?,
        stderr: pipe::Receiver::from_owned_fd(stderr.into())?,
    };
    #[expect(unsafe_code, reason = "the only way to wait for a descriptor of our own")]
    // SAFETY: the descriptor belongs to `held`, is open, and is neither replaced nor closed before
    // `held` is dropped; nothing outside of this module reaches it.
    let watched = unsafe { AsyncFd::register_with_interest(held, Interest::READABLE) };
    Ok((ChildProcess(watched?), pipes))
}

impl ChildProcess {
    /// The process id.
    pub fn pid(&self) -> u32 {
        self.0.get_ref().pid()
    }

    /// Resolves when the child has ended; whatever else is in its group is killed then. It may take
    /// for ever, also after a kill: the system may hold a process that waits for a disk.
    ///
    /// Cancel safety: may be called again.
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
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
struct ChildHandle {
    /// Taken when it is dropped.
    child: Option<Child>,
    pid: Pid,
    pidfd: OwnedFd,
    /// From then on its id, and that of its group, may be another's.
    reaped: bool,
}

impl ChildHandle {
    fn fork_child(mut command: Command) -> io::Result<Self> {
        let mut child = fork_and_exec(&mut command)?;
        let raw = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        // Before anybody could have waited for it, so it can't be another's.
        let opened = raw
            .ok_or(io::ErrorKind::InvalidData.into())
            .and_then(|pid| Ok((pid, rustix::process::pidfd_open(pid, PidfdFlags::NONBLOCK)?)));
        match opened {
            Ok((pid, ends)) => Ok(Self { child: Some(child), pid, pidfd: ends, reaped: false }),
            Err(error) => {
                // What can't be watched is not run; that it is gone already is fine.
                let _ = child.kill();
                reap_in_background(child);
                Err(error)
            }
        }
    }

    fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    fn kill(&self) {
        if self.reaped {
            return;
        }
        // The group is gone: that is what was wanted. The child itself need not be in it any more.
        let _ = rustix::process::kill_process_group(self.pid, Signal::KILL);
        let _ = rustix::process::pidfd_send_signal(&self.pidfd, Signal::KILL);
    }

    /// How it ended; would block if it hasn't.
    fn reap(&mut self) -> io::Result<ExitStatus> {
        if !self.reaped {
            let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
            if waitid(WaitId::PidFd(self.pidfd.as_fd()), look)?.is_none() {
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

impl AsRawFd for ChildHandle {
    fn as_raw_fd(&self) -> RawFd {
        self.pidfd.as_raw_fd()
    }
}

impl AsFd for ChildHandle {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

impl Drop for ChildHandle {
    fn drop(&mut self) {
        self.kill();
        if let Some(child) = self.child.take().filter(|_| !self.reaped) {
            reap_in_background(child);
        }
    }
}

/// Forks and executes; returns when both are done.
///
/// Until it executes, a child has whatever the parent has open, also a launch file that is being
/// written, and the kernel executes no file that is open for writing. In the server one thread does
/// this; tests do on many, hence one after another.
pub(crate) fn fork_and_exec(command: &mut Command) -> io::Result<Child> {
    #[cfg(test)]
    let _alone = tests::FORK_LOCK.lock();
    command.spawn()
}

/// The thread that forks. It is started once and lives as long as the server.
fn spawner_thread() -> io::Result<&'static SyncSender<SpawnJob>> {
    static SPAWNER: OnceLock<io::Result<SyncSender<SpawnJob>>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (jobs, waiting) = sync_channel::<SpawnJob>(MAX_PENDING_STARTS);
        let run = move || {
            for SpawnJob { command, answer } in waiting {
                if answer.is_closed() {
                    continue;
                }
                // Whoever wanted it may have gone meanwhile; then it is dropped, which kills it.
                let _ = answer.send(ChildHandle::fork_child(command));
            }
        };
        std::thread::Builder::new().name("plugin-spawner".to_owned()).spawn(run)?;
        Ok(jobs)
    });
    spawner.as_ref().map_err(|error| io::Error::new(error.kind(), error.to_string()))
}

/// Has a killed child reaped, without waiting for it.
fn reap_in_background(mut child: Child) {
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
const REAP_INTERVALS: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(1));

fn reap_all(waiting: &Receiver<Child>) {
    let (soon, late) = REAP_INTERVALS;
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

/// Has the child execute the file, after it was made ready for that.
fn prepare_exec(command: &mut Command, execution: ChildCommand) -> io::Result<()> {
    let parent = rustix::process::getpid();
    let ChildCommand { file, keeps_file, arguments, environment } = execution;
    let arguments = CStringArray::new(arguments.into_iter().map(OsString::into_vec))?;
    let environment = CStringArray::new(environment.into_iter().map(|(name, value)| {
        let mut entry = name.into_vec();
        entry.push(b'=');
        entry.extend(value.into_vec());
        entry
    }))?;
    let run = move || {
        die_with_parent(parent)?;
        rustix::thread::set_no_new_privs(true)?;
        let most = getrlimit(Resource::Nofile).current.unwrap_or(MAX_DESCRIPTORS);
        set_cloexec_on_others(most.min(MAX_DESCRIPTORS));
        if keeps_file {
            fcntl_setfd(&file, FdFlags::empty())?;
        }
        Err(exec_descriptor(&file, &arguments, &environment))
    };
    #[expect(unsafe_code, reason = "there is no safe way to run code between fork and exec")]
    // SAFETY: the closure runs in the child of a threaded process, where only async-signal-safe
    // functions may be called and nothing may be allocated. It makes system calls, through rustix,
    // which issues them directly, and through libc's `syscall`, and builds errors that are bare
    // numbers. What it refers to was made before the fork and is dropped by the parent alone: the
    // child either becomes another program or ends.
    unsafe {
        command.pre_exec(run);
    }
    Ok(())
}

fn die_with_parent(parent: Pid) -> io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    // The parent may have died before the signal was set.
    if rustix::process::getppid() == Some(parent) {
        Ok(())
    } else {
        Err(io::Error::from_raw_os_error(libc::ESRCH))
    }
}

/// The first descriptor that isn't a standard stream.
const FIRST_NON_STDIO: c_uint = 3;
/// Descriptors that are looked at one by one where the kernel can't be told of all at once.
const MAX_DESCRIPTORS: u64 = 1 << 20;

/// Marks all descriptors but the standard streams to be closed when another program is executed:
/// the server may itself have inherited some that aren't.
fn set_cloexec_on_others(most: u64) {
    #[expect(unsafe_code, reason = "rustix has no close_range(2)")]
    // SAFETY: with this flag it closes nothing, and changes nothing but the mark.
    let marked = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            FIRST_NON_STDIO,
            c_uint::MAX,
            c_long::from(libc::CLOSE_RANGE_CLOEXEC),
        )
    };
    if marked != 0 {
        // Before Linux 5.11, or under a filter that doesn't know the call.
        set_cloexec_one_by_one(most);
    }
}

fn set_cloexec_one_by_one(most: u64) {
    let most = c_int::try_from(most).unwrap_or(c_int::MAX);
    for descriptor in 3..most {
        #[expect(unsafe_code, reason = "these descriptors have no owner here")]
        // SAFETY: it changes the mark of a descriptor that is open, and else fails.
        unsafe {
            libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC);
        }
    }
}

/// Returns only if it failed.
fn exec_descriptor(
    file: &OwnedFd,
    arguments: &CStringArray,
    environment: &CStringArray,
) -> io::Error {
    #[expect(unsafe_code, reason = "rustix has no stable execveat(2)")]
    // SAFETY: the descriptor is open, and all pointers are to strings that end with NUL, or to
    // lists of such that end with a null pointer, which live until the call returns.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            file.as_raw_fd(),
            c"".as_ptr(),
            arguments.as_ptr(),
            environment.as_ptr(),
            libc::AT_EMPTY_PATH,
        );
    }
    io::Error::last_os_error()
}

/// Strings as execve(2) takes them: a list of pointers that ends with a null pointer.
struct CStringArray {
    pointers: Vec<*const c_char>,
    /// What the pointers point to.
    _strings: Vec<CString>,
}

impl CStringArray {
    fn new(strings: impl Iterator<Item = Vec<u8>>) -> io::Result<Self> {
        let strings = strings.map(CString::new).collect::<Result<Vec<_>, _>>()?;
        let mut pointers: Vec<_> = strings.iter().map(|string| string.as_ptr()).collect();
        pointers.push(std::ptr::null());
        Ok(Self { pointers, _strings: strings })
    }

    fn as_ptr(&self) -> *const *const c_char {
        self.pointers.as_ptr()
    }
}

#[expect(unsafe_code, reason = "pointers are neither by themselves")]
// SAFETY: the pointers are to strings that this owns and that nothing changes; strings don't move
// when their owner does.
unsafe impl Send for CStringArray {}
#[expect(unsafe_code, reason = "pointers are neither by themselves")]
// SAFETY: as above; nothing can be changed through a shared reference.
unsafe impl Sync for CStringArray {}

#[cfg(test)]
mod tests;
