//! [`ConnectionDeadlines`]: the timeouts that apply to a connection at each moment.
//!
//! It records when bytes arrived, when a request started and when bytes of a response were
//! accepted, and computes the next deadline from that. Recording an event wakes no task: the
//! connection's own task asks for the deadline each time it is polled.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The timeouts of a connection. A client that exceeds one is disconnected, except as noted.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionTimeouts {
    /// For the TLS handshake. Default: 10 s.
    pub handshake: Duration,
    /// For the head of a request, counted from its first byte; for the first request, from the
    /// start of the connection. Default: 10 s.
    pub header: Duration,
    /// For the body of a request; exceeding it is answered with 408. Default: 30 s.
    pub body: Duration,
    /// For each 64 KiB of a response to be accepted by the client. Default: 30 s.
    pub write: Duration,
    /// For the time between two requests. Default: 300 s.
    pub idle: Duration,
    /// How long a stopping server waits for requests in progress. Default: 10 s.
    pub shutdown: Duration,
}

impl Default for ConnectionTimeouts {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            header: Duration::from_secs(10),
            body: Duration::from_secs(30),
            write: Duration::from_secs(30),
            idle: Duration::from_secs(300),
            shutdown: Duration::from_secs(10),
        }
    }
}

/// Which timeout expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimedOut {
    Header,
    Write,
    Idle,
}

/// The number of bytes of a response that must be accepted within [`ConnectionTimeouts::write`].
pub(crate) const WRITE_STEP_BYTES: usize = 64 << 10;

/// The deadlines of one connection. Clones share the state.
#[derive(Clone)]
pub(crate) struct ConnectionDeadlines(Arc<ConnectionDeadlinesInner>);

struct ConnectionDeadlinesInner {
    timeouts: ConnectionTimeouts,
    state: Mutex<DeadlineState>,
}

struct DeadlineState {
    /// Whether the connection is HTTP/2. Heads are not timed then: received bytes may belong to any
    /// frame.
    http2: bool,
    /// Whether a complete request head was received.
    had_request: bool,
    /// Requests whose responses have not been sent completely.
    requests: usize,
    /// When the last request ended, or the last bytes of its response were sent over HTTP/1.1;
    /// initially, when the connection was accepted.
    idle_since: Instant,
    /// When the first byte of the next head arrived.
    head: Option<Instant>,
    /// Responses being sent, each with the time of its last progress.
    answers: Vec<(u64, Instant)>,
    next_answer: u64,
    /// Since when the socket accepts no bytes, and how many it accepted after that.
    blocked: Option<(Instant, usize)>,
}

impl ConnectionDeadlines {
    pub(crate) fn new(timeouts: ConnectionTimeouts) -> Self {
        let state = DeadlineState {
            http2: false,
            had_request: false,
            requests: 0,
            idle_since: Instant::now(),
            head: None,
            answers: Vec::new(),
            next_answer: 0,
            blocked: None,
        };
        Self(Arc::new(ConnectionDeadlinesInner { timeouts, state: Mutex::new(state) }))
    }

    /// Records that bytes arrived.
    pub(crate) fn on_read(&self) {
        let mut state = self.state();
        if state.requests == 0 && state.had_request && !state.http2 && state.head.is_none() {
            state.head = Some(Instant::now());
        }
    }

    /// Records that a request head is complete, and returns the timer of that request.
    pub(crate) fn start_request(&self, http2: bool) -> RequestTimer {
        let mut state = self.state();
        state.http2 = http2;
        state.had_request = true;
        state.head = None;
        state.requests += 1;
        RequestTimer { deadlines: self.clone(), answer: None }
    }

    /// Records that the socket accepted bytes.
    pub(crate) fn on_write(&self, bytes: usize) {
        let mut state = self.state();
        // These are the last bytes of a response. Over HTTP/2 they could also belong to a ping, so
        // they don't count.
        if state.requests == 0 && !state.http2 {
            state.idle_since = Instant::now();
        }
        if let Some((since, taken)) = &mut state.blocked {
            *taken += bytes;
            if *taken >= WRITE_STEP_BYTES {
                (*since, *taken) = (Instant::now(), 0);
            }
        }
    }

    /// Records that the socket accepts no more bytes.
    pub(crate) fn on_blocked(&self) {
        self.state().blocked.get_or_insert_with(|| (Instant::now(), 0));
    }

    /// Records that all buffered bytes were sent.
    pub(crate) fn on_flushed(&self) {
        self.state().blocked = None;
    }

    /// Since when the connection is idle: no request in progress, none being received, nothing left
    /// to send. `None` while it isn't, and before the first request.
    pub(crate) fn idle_since(&self) -> Option<Instant> {
        let state = self.state();
        let quiet = state.had_request && state.requests == 0 && state.head.is_none();
        (quiet && state.blocked.is_none()).then_some(state.idle_since)
    }

    /// The earliest deadline, and which timeout it belongs to. `None` while only the server is
    /// working.
    pub(crate) fn next_deadline(&self) -> Option<(Instant, TimedOut)> {
        let ConnectionTimeouts { header, write, idle, .. } = self.0.timeouts;
        let state = self.state();
        let waiting = match (state.requests, state.head) {
            (0, _) if !state.had_request => Some((state.idle_since, header, TimedOut::Header)),
            (0, Some(began)) => Some((began, header, TimedOut::Header)),
            (0, None) => Some((state.idle_since, idle, TimedOut::Idle)),
            _ => None,
        };
        let behind = state.blocked.map(|(since, _)| (since, write, TimedOut::Write));
        let slowest = state.answers.iter().map(|(_, moved)| *moved).min();
        let answering = slowest.map(|moved| (moved, write, TimedOut::Write));
        [waiting, behind, answering]
            .into_iter()
            .flatten()
            .filter_map(|(since, allowed, late)| Some((since.checked_add(allowed)?, late)))
            .min_by_key(|(due, _)| *due)
    }

    fn state(&self) -> MutexGuard<'_, DeadlineState> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The timer of one request, until its response was sent completely or abandoned.
pub(crate) struct RequestTimer {
    deadlines: ConnectionDeadlines,
    answer: Option<u64>,
}

impl RequestTimer {
    /// Records that the response is ready, or that another piece of it was accepted.
    pub(crate) fn progressed(&mut self) {
        let now = Instant::now();
        let state = &mut *self.deadlines.state();
        match self.answer {
            Some(id) => {
                let known = state.answers.iter_mut().find(|(known, _)| *known == id);
                if let Some((_, moved)) = known {
                    *moved = now;
                }
            }
            None => {
                let id = state.next_answer;
                state.next_answer += 1;
                state.answers.push((id, now));
                self.answer = Some(id);
            }
        }
    }
}

impl Drop for RequestTimer {
    fn drop(&mut self) {
        let mut state = self.deadlines.state();
        if let Some(id) = self.answer {
            state.answers.retain(|(known, _)| *known != id);
        }
        state.requests -= 1;
        state.idle_since = Instant::now();
    }
}
