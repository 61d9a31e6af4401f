//! [`SealRequest`]: how `sys/seal` requests a seal, which a task of the core then performs.

use tokio::sync::watch;

/// Whether a seal was requested or has started.
#[derive(Debug)]
pub struct SealRequest(watch::Sender<SealState>);

/// Progress of a requested seal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SealState {
    /// No seal was requested.
    NotRequested,
    /// A seal was requested and has not started.
    Requested,
    /// The seal has started: new requests find the server sealed.
    Started,
}

impl Default for SealRequest {
    /// The state of a server for which no seal was requested.
    fn default() -> Self {
        Self(watch::Sender::new(SealState::NotRequested))
    }
}

impl SealRequest {
    /// Requests a seal and waits until it has started. Calling this again while a request is
    /// pending notifies the sealing task again.
    pub async fn request(&self) {
        self.0.send_if_modified(|now| {
            let asks = *now != SealState::Started;
            if asks {
                *now = SealState::Requested;
            }
            asks
        });
        let _ = self.0.subscribe().wait_for(|now| *now == SealState::Started).await;
    }

    /// Waits until a seal is requested or has started. Returns `true` if it was requested and must
    /// still be performed, `false` if it has started already.
    pub async fn wait_for_request(&self) -> bool {
        let mut sealing = self.0.subscribe();
        let state = sealing.wait_for(|now| *now != SealState::NotRequested).await;
        state.is_ok_and(|state| *state == SealState::Requested)
    }

    /// Records that the seal has started; called after new requests began to find the server
    /// sealed.
    pub fn mark_started(&self) {
        self.0.send_replace(SealState::Started);
    }
}
