//! The standard streams of a plug-in. The standard output belongs to the protocol: its first line is
//! the handshake, and what an engine's code prints afterwards goes to the host as a message that
//! hosts discard. The standard error belongs to the log.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::sync::Mutex;

use tokio::sync::mpsc;

/// The streams after they were taken over.
pub(super) struct StandardStreams {
    /// The real standard output. Kept open: a host takes its end for the plug-in's.
    output: File,
    log: File,
    printed: Mutex<Option<mpsc::Receiver<Vec<u8>>>>,
}

/// Chunks of printed text that may wait for the host; more are lost.
const MAX_WAITING_CHUNKS: usize = 64;
/// Bytes of one chunk, as Go's plug-ins send them.
const CHUNK_BYTES: usize = 1024;

impl StandardStreams {
    /// Puts a pipe in the place of the standard output.
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

    /// Writes the handshake line, at once.
    pub(super) fn write_handshake_line(&self, line: &str) -> io::Result<()> {
        let mut output = &self.output;
        output.write_all(format!("{line}\n").as_bytes())?;
        output.flush()
    }

    /// A writer for log lines.
    pub(super) fn log_file(&self) -> io::Result<File> {
        self.log.try_clone()
    }

    /// What the engine's code prints, in chunks.
    pub(super) fn printed_chunks(&self) -> mpsc::Receiver<Vec<u8>> {
        let mut printed = self.printed.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // Asked for once; a second time there is nothing more to come.
        printed.take().unwrap_or_else(|| mpsc::channel(1).1)
    }
}

fn duplicate_fd(stream: impl std::os::fd::AsFd) -> io::Result<OwnedFd> {
    stream.as_fd().try_clone_to_owned()
}

/// Reads the pipe for the life of the process: were it full, a print would block.
fn forward_output(reader: OwnedFd, sender: &mpsc::Sender<Vec<u8>>) {
    let mut reader = File::from(reader);
    let mut chunk = [0_u8; CHUNK_BYTES];
    while let Ok(read @ 1..) = reader.read(&mut chunk) {
        // Nobody listens, or not fast enough: it is lost, as promised.
        let _ = sender.try_send(chunk.get(..read).unwrap_or_default().to_vec());
    }
}
