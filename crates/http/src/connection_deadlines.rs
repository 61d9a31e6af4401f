//! [`ConnectionDeadlines`]: how long a connection may keep the server waiting.
//!
//! Of a connection it is known when bytes came, when a request began, and when bytes of an answer
//! were taken. From that follows the moment by which something must have happened. Nobody is woken
//! for it on the way: the connection's own task asks whenever it runs.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How long a client may take for what.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionTimeouts {
    /// The TLS handshake.
    pub handshake: Duration,
    /// The head of a request, from its first byte; of the first one, from the connection's start.
    pub header: Duration,
    /// The body of a request.
    pub body: Duration,
    /// Each 64 KiB of an answer.
    pub write: Duration,
    /// Between two requests.
    pub idle: Duration,
    /// How long requests being answered are waited for when the server stops.
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

/// What a client was waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimedOut {
    Header,
    Write,
    Idle,
}

/// As much of an answer as must be taken within [`ConnectionTimeouts::write`].
pub(crate) const WRITE_STEP_BYTES: usize = 64 << 10;

/// One connection's times. Clones share them.
#[derive(Clone)]
pub(crate) struct ConnectionDeadlines(Arc<ConnectionDeadlinesInner>);

struct ConnectionDeadlinesInner {
    timeouts: ConnectionTimeouts,
    state: Mutex<DeadlineState>,
}

struct DeadlineState {
    /// No heads are timed: what comes may be anything.
    http2: bool,
    /// A whole head has come.
    had_request: bool,
    /// Requests whose answers are not given away wholly.
    requests: usize,
    /// Since when there is nothing to do.
    idle_since: Instant,
    /// When the first byte of a head came.
    head: Option<Instant>,
    /// Answers being given away, and when they last went on.
    answers: Vec<(u64, Instant)>,
    next_answer: u64,
    /// Since when the socket takes nothing, and what it took meanwhile.
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

    /// Bytes came.
    pub(crate) fn on_read(&self) {
        let mut state = self.state();
        if state.requests == 0 && state.had_request && !state.http2 && state.head.is_none() {
            state.head = Some(Instant::now());
        }
    }

    /// A head came whole.
    pub(crate) fn start_request(&self, http2: bool) -> RequestTimer {
        let mut state = self.state();
        state.http2 = http2;
        state.had_request = true;
        state.head = None;
        state.requests += 1;
        RequestTimer { deadlines: self.clone(), answer: None }
    }

    /// The socket took bytes.
    pub(crate) fn on_write(&self, bytes: usize) {
        let mut state = self.state();
        // The end of an answer; of HTTP/2 it may as well be one more ping.
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

    /// The socket takes nothing.
    pub(crate) fn on_blocked(&self) {
        self.state().blocked.get_or_insert_with(|| (Instant::now(), 0));
    }

    /// The socket took everything.
    pub(crate) fn on_flushed(&self) {
        self.state().blocked = None;
    }

    /// Since when there is nothing to do, and nothing of a request has come.
    pub(crate) fn idle_since(&self) -> Option<Instant> {
        let state = self.state();
        let quiet = state.had_request && state.requests == 0 && state.head.is_none();
        (quiet && state.blocked.is_none()).then_some(state.idle_since)
    }

    /// By when something must have happened, and what.
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

/// One request, until its answer is given away wholly or given up.
pub(crate) struct RequestTimer {
    deadlines: ConnectionDeadlines,
    answer: Option<u64>,
}

impl RequestTimer {
    /// The answer is there, or another piece of it was taken.
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
