//! Signals that stop or reload the server process.

use std::future::Future;
use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Listens for signals. From its creation on, none of them ends the process by default.
pub(crate) struct SignalListener {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

/// What a signal asks the server to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ShutdownSignal {
    /// SIGTERM or SIGINT: seal and end.
    Stop,
    /// SIGHUP: reload certificates, log level and log file.
    Reload,
}

impl SignalListener {
    pub(crate) fn install() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the next signal. Cancel safe: no signal is lost if the future is dropped.
    pub(crate) async fn next_signal(&mut self) -> ShutdownSignal {
        tokio::select! {
            _ = self.terminate.recv() => ShutdownSignal::Stop,
            _ = self.interrupt.recv() => ShutdownSignal::Stop,
            _ = self.hang_up.recv() => ShutdownSignal::Reload,
        }
    }

    /// Runs the shutdown until SIGINT arrives, which abandons it and returns `None`: a user who
    /// presses Ctrl-C again doesn't want to wait. Further SIGTERMs are ignored, since some programs
    /// send it twice, to a process and then to its group.
    pub(crate) async fn unless_interrupted<T>(
        &mut self,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        tokio::select! {
            done = work => Some(done),
            _ = self.interrupt.recv() => None,
        }
    }
}
