//! Child processes that execute an open file and end with the server.
//!
//! A descriptor is executed and never a path, by execveat(2) directly. The C library's `execvp`,
//! which [`Command`] uses, passes files that the kernel refuses to a shell; here that is an error.
//! A child gets no new privileges, and inherits only its standard streams.
//!
//! The kernel sends the parent-death signal when the *thread* that forked ends, so all children are
//! forked by one thread that never ends.
//!
//! Between fork and exec a child holds all of the server's descriptors, possibly one of another
//! plug-in's file that is being written, and the kernel executes no file that is open for writing
//! (`ETXTBSY`). The kernel reports an exec before it has closed all descriptors, so forking one
//! child after another doesn't prevent this. A start that fails for this reason is repeated.
//!
//! A child may be hostile: it can leave its process group, and it can be slow to end. So it is
//! killed through its pidfd in addition to its group, and never waited for synchronously: a dropped
//! child is passed to a reaper thread.

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

use rustix::io::{Errno, FdFlags, fcntl_setfd};
use rustix::process::{
    Pid, PidfdFlags, Resource, Signal, WaitId, WaitIdOptions, getrlimit, waitid,
};
use strongroom_types::Clock;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::unix::pipe;
use tokio::sync::oneshot;

/// A child process, the leader of a process group of its own. Dropping it kills it and its group.
#[derive(Debug)]
pub struct ChildProcess(AsyncFd<ChildHandle>);

/// The pipes for reading a child's output.
#[derive(Debug)]
pub struct OutputPipes {
    /// The child's standard output, which carries the handshake line.
    pub stdout: pipe::Receiver,
    /// The child's standard error, which carries log lines.
    pub stderr: pipe::Receiver,
}

/// The program that a child executes, with its arguments and environment.
#[derive(Debug)]
pub struct ChildCommand {
    /// The program. Exactly this file is executed, even if its path names another one by then.
    pub file: OwnedFd,
    /// Whether the child keeps the descriptor open, as it must for the interpreter of a script.
    pub keeps_file: bool,
    /// The arguments; the first one is the name that process listings show.
    pub arguments: Vec<OsString>,
    /// The complete environment; nothing is inherited from the server.
    pub environment: BTreeMap<OsString, OsString>,
}

struct SpawnJob {
    command: Command,
    /// Gets the command back, so that it can be repeated.
    answer: oneshot::Sender<(Command, io::Result<ChildHandle>)>,
}

/// How many starts may wait for the spawner thread; further ones are refused.
const MAX_PENDING_STARTS: usize = 64;

/// The pauses, in milliseconds, before a start is repeated whose file was open for writing. Usually
/// another child is about to close it, which takes less time than a fork.
const BUSY_FILE_PAUSES: [u64; 11] = [0, 0, 1, 2, 5, 10, 20, 50, 100, 200, 500];

/// Starts a child in the root directory, with an empty standard input, and with pipes for its
/// output. While its file is open for writing, it tries again, for about a second.
///
/// Cancel safety: when dropped, a child that was started is killed.
pub async fn spawn(
    clock: &dyn Clock,
    execution: ChildCommand,
) -> io::Result<(ChildProcess, OutputPipes)> {
    // This name is never looked up: the child executes the file or fails.
    let mut command = Command::new("plug-in");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.process_group(0).current_dir("/");
    prepare_exec(&mut command, execution)?;
    let mut held = fork_unless_busy(clock, command).await?;
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

/// Has the spawner thread start a child, again after a pause if its file is open for writing.
async fn fork_unless_busy(clock: &dyn Clock, mut command: Command) -> io::Result<ChildHandle> {
    let mut pauses = BUSY_FILE_PAUSES.into_iter();
    loop {
        let (answer, started) = oneshot::channel();
        spawner_thread()?
            .try_send(SpawnJob { command, answer })
            .map_err(|_| io::Error::other("too many processes are being started"))?;
        let (returned_command, outcome) = started.await.map_err(io::Error::other)?;
        let is_busy = |error: &io::Error| Errno::from_io_error(error) == Some(Errno::TXTBSY);
        match (outcome, pauses.next()) {
            (Err(error), Some(pause)) if is_busy(&error) => {
                clock.sleep(Duration::from_millis(pause)).await;
                command = returned_command;
            }
            (outcome, _) => return outcome,
        }
    }
}

impl ChildProcess {
    /// The process ID, which is also the ID of its group.
    pub fn pid(&self) -> u32 {
        self.0.get_ref().pid()
    }

    /// Resolves when the child has exited; the rest of its group is killed then. This may never
    /// happen, even after a kill, because the kernel can't end a process that waits for a disk.
    ///
    /// Cancel safety: may be called again.
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        loop {
            // Readable from the child's exit on.
            let mut ready = self.0.readable_mut().await?;
            if let Ok(end) = ready.try_io(|watched| watched.get_mut().reap()) {
                return end;
            }
        }
    }

    /// Kills the child and its process group.
    pub fn kill(&self) {
        self.0.get_ref().kill();
    }
}

/// A child and its pidfd, which becomes readable when it exits.
#[derive(Debug)]
struct ChildHandle {
    /// Taken on drop.
    child: Option<Child>,
    pid: Pid,
    pidfd: OwnedFd,
    /// Set once the child was waited for. Its ID, and that of its group, may then belong to another
    /// process.
    reaped: bool,
}

impl ChildHandle {
    /// Forks and executes; returns when the child has executed the program or failed.
    fn fork_child(command: &mut Command) -> io::Result<Self> {
        let mut child = command.spawn()?;
        let raw = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        // Opened before the child can be reaped, so the ID can't belong to another process.
        let opened = raw
            .ok_or(io::ErrorKind::InvalidData.into())
            .and_then(|pid| Ok((pid, rustix::process::pidfd_open(pid, PidfdFlags::NONBLOCK)?)));
        match opened {
            Ok((pid, ends)) => Ok(Self { child: Some(child), pid, pidfd: ends, reaped: false }),
            Err(error) => {
                // A child that can't be monitored is not kept; it may have exited already.
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
        // An error means that the group no longer exists. The child itself may have left it.
        let _ = rustix::process::kill_process_group(self.pid, Signal::KILL);
        let _ = rustix::process::pidfd_send_signal(&self.pidfd, Signal::KILL);
    }

    /// The exit status; fails with `WouldBlock` if the child still runs.
    fn reap(&mut self) -> io::Result<ExitStatus> {
        if !self.reaped {
            let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
            if waitid(WaitId::PidFd(self.pidfd.as_fd()), look)?.is_none() {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            // It is not reaped yet, so the group's ID can't have been reused.
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

/// The thread that forks all children. It is started once and never ends.
fn spawner_thread() -> io::Result<&'static SyncSender<SpawnJob>> {
    static SPAWNER: OnceLock<io::Result<SyncSender<SpawnJob>>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (jobs, waiting) = sync_channel::<SpawnJob>(MAX_PENDING_STARTS);
        let run = move || {
            for SpawnJob { mut command, answer } in waiting {
                if answer.is_closed() {
                    continue;
                }
                let outcome = ChildHandle::fork_child(&mut command);
                // If the caller was dropped, the child is dropped here, which kills it.
                let _ = answer.send((command, outcome));
            }
        };
        std::thread::Builder::new().name("plugin-spawner".to_owned()).spawn(run)?;
        Ok(jobs)
    });
    spawner.as_ref().map_err(|error| io::Error::new(error.kind(), error.to_string()))
}

/// Passes a killed child to the reaper thread, without waiting for it.
fn reap_in_background(mut child: Child) {
    static REAPER: OnceLock<Option<Sender<Child>>> = OnceLock::new();
    let reaper = REAPER.get_or_init(|| {
        let (dying, waiting) = channel();
        let thread = std::thread::Builder::new().name("plugin-reaper".to_owned());
        thread.spawn(move || reap_all(&waiting)).ok().map(|_| dying)
    });
    if let Some(reaper) = reaper {
        // The thread runs until the server exits.
        let _ = reaper.send(child);
    } else {
        // Without the thread, a child that isn't dead yet is reaped when the server exits.
        let _ = child.try_wait();
    }
}

/// The first and the longest pause between checks for a child that doesn't exit.
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
        // An error means that the child was reaped elsewhere.
        dying.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
    }
}

/// Makes the child execute the file, after its privileges and descriptors were restricted.
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
    // The parent may have exited before the signal was set.
    if rustix::process::getppid() == Some(parent) {
        Ok(())
    } else {
        Err(io::Error::from_raw_os_error(libc::ESRCH))
    }
}

/// The first descriptor that isn't a standard stream.
const FIRST_NON_STDIO: c_uint = 3;
/// How many descriptors are marked one by one where close_range(2) is not available.
const MAX_DESCRIPTORS: u64 = 1 << 20;

/// Marks all descriptors except the standard streams as close-on-exec, because the server may have
/// inherited some without that flag.
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
        // Before Linux 5.11, or under a seccomp filter that doesn't know the call.
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

/// Executes the file; returns only on failure.
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

/// Strings in the form that execve(2) takes: pointers, terminated by a null pointer.
struct CStringArray {
    pointers: Vec<*const c_char>,
    /// Owns the memory that the pointers refer to.
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
