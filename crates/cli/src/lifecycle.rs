//! The life and death of the server process: signals.

use std::future::Future;
use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Listens for signals. From when it is made, none of them ends the process by itself.
pub(crate) struct Lifecycle {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

/// What somebody wants of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// SIGTERM or SIGINT: seal and end.
    Stop,
    /// SIGHUP: read again what may have changed.
    Reload,
}

impl Lifecycle {
    pub(crate) fn begin() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the next wish. Nothing is lost if the future is dropped.
    pub(crate) async fn wish(&mut self) -> Wish {
        tokio::select! {
            _ = self.terminate.recv() => Wish::Stop,
            _ = self.interrupt.recv() => Wish::Stop,
            _ = self.hang_up.recv() => Wish::Reload,
        }
    }

    /// Does what ends the server. Somebody who presses Ctrl-C meanwhile doesn't want to wait: then it
    /// is left undone, and there is no value. SIGTERM changes nothing more: some programs send it
    /// twice, to a process and then to its group.
    pub(crate) async fn unless_hurried<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            done = work => Some(done),
            _ = self.interrupt.recv() => None,
        }
    }
}
