//! The standard streams of a plug-in. Standard output is for the protocol: its first line is the
//! handshake; what the engine's code prints afterwards is sent to the host in messages, which hosts
//! discard. Standard error is for the log.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::sync::Mutex;

use tokio::sync::mpsc;

/// The streams after they were redirected.
pub(super) struct StandardStreams {
    /// The real standard output. Kept open, because a host takes its closing for the plug-in's
    /// exit.
    output: File,
    log: File,
    printed: Mutex<Option<mpsc::Receiver<Vec<u8>>>>,
}

/// The maximum number of printed chunks that wait for the host; further ones are dropped.
const MAX_WAITING_CHUNKS: usize = 64;
/// The maximum size of a chunk in bytes, the same as in Go's plug-ins.
const CHUNK_BYTES: usize = 1024;

impl StandardStreams {
    /// Replaces standard output by a pipe.
    pub(super) fn redirect_stdout() -> io::Result<Self> {
        let output = duplicate_fd(io::stdout())?;
        let log = duplicate_fd(io::stderr())?;
        let (reader, writer) = rustix::pipe::pipe()?;
        rustix::stdio::dup2_stdout(&writer)?;
        let (sender, printed) = mpsc::channel(MAX_WAITING_CHUNKS);
        std::thread::Builder::new()
            .name("printed".to_owned())
            .spawn(move || forward_output(reader, &sender))?;
        let printed = Mutex::new(Some(printed));
        Ok(Self { output: output.into(), log: log.into(), printed })
    }

    /// Writes the handshake line and flushes it.
    pub(super) fn write_handshake_line(&self, line: &str) -> io::Result<()> {
        let mut output = &self.output;
        output.write_all(format!("{line}\n").as_bytes())?;
        output.flush()
    }

    /// The file that log lines are written to.
    pub(super) fn log_file(&self) -> io::Result<File> {
        self.log.try_clone()
    }

    /// What the engine's code prints, in chunks. Only the first call returns a channel with data.
    pub(super) fn printed_chunks(&self) -> mpsc::Receiver<Vec<u8>> {
        let mut printed = self.printed.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // On a second call there is nothing more to receive.
        printed.take().unwrap_or_else(|| mpsc::channel(1).1)
    }
}

fn duplicate_fd(stream: impl std::os::fd::AsFd) -> io::Result<OwnedFd> {
    stream.as_fd().try_clone_to_owned()
}

/// Reads the pipe for the lifetime of the process: if it were full, printing would block.
fn forward_output(reader: OwnedFd, sender: &mpsc::Sender<Vec<u8>>) {
    let mut reader = File::from(reader);
    let mut chunk = [0_u8; CHUNK_BYTES];
    while let Ok(read @ 1..) = reader.read(&mut chunk) {
        // If the host doesn't read it, or not fast enough, the output is dropped.
        let _ = sender.try_send(chunk.get(..read).unwrap_or_default().to_vec());
    }
}
