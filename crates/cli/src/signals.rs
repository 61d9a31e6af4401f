//! The life and death of the server process: signals.

use std::future::Future;
use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Listens for signals. From when it is made, none of them ends the process by itself.
pub(crate) struct SignalListener {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

/// What somebody wants of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ShutdownSignal {
    /// SIGTERM or SIGINT: seal and end.
    Stop,
    /// SIGHUP: read again what may have changed.
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

    /// Waits for the next wish. Nothing is lost if the future is dropped.
    pub(crate) async fn next_signal(&mut self) -> ShutdownSignal {
        tokio::select! {
            _ = self.terminate.recv() => ShutdownSignal::Stop,
            _ = self.interrupt.recv() => ShutdownSignal::Stop,
            _ = self.hang_up.recv() => ShutdownSignal::Reload,
        }
    }

    /// Does what ends the server. Somebody who presses Ctrl-C meanwhile doesn't want to wait: then it
    /// is left undone, and there is no value. SIGTERM changes nothing more: some programs send it
    /// twice, to a process and then to its group.
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
