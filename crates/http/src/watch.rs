//! [`Watch`]: how long a connection may keep the server waiting.
//!
//! Of a connection it is known when bytes came, when a request began, and when bytes of an answer
//! were taken. From that follows the moment by which something must have happened. Nobody is woken
//! for it on the way: the connection's own task asks whenever it runs.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How long a client may take for what.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
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

impl Default for Timeouts {
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
pub(crate) enum Late {
    Header,
    Reader,
    Idle,
}

/// As much of an answer as must be taken within [`Timeouts::write`].
pub(crate) const STEP: usize = 64 << 10;

/// One connection's times. Clones share them.
#[derive(Clone)]
pub(crate) struct Watch(Arc<Shared>);

struct Shared {
    timeouts: Timeouts,
    state: Mutex<State>,
}

struct State {
    /// No heads are timed: what comes may be anything.
    http2: bool,
    /// A whole head has come.
    greeted: bool,
    /// Requests whose answers are not given away wholly.
    requests: usize,
    /// Since when there is nothing to do.
    quiet: Instant,
    /// When the first byte of a head came.
    head: Option<Instant>,
    /// Answers being given away, and when they last went on.
    answers: Vec<(u64, Instant)>,
    next_answer: u64,
    /// Since when the socket takes nothing, and what it took meanwhile.
    behind: Option<(Instant, usize)>,
}

impl Watch {
    pub(crate) fn new(timeouts: Timeouts) -> Self {
        let state = State {
            http2: false,
            greeted: false,
            requests: 0,
            quiet: Instant::now(),
            head: None,
            answers: Vec::new(),
            next_answer: 0,
            behind: None,
        };
        Self(Arc::new(Shared { timeouts, state: Mutex::new(state) }))
    }

    /// Bytes came.
    pub(crate) fn came(&self) {
        let mut state = self.state();
        if state.requests == 0 && state.greeted && !state.http2 && state.head.is_none() {
            state.head = Some(Instant::now());
        }
    }

    /// A head came whole.
    pub(crate) fn begin(&self, http2: bool) -> Turn {
        let mut state = self.state();
        state.http2 = http2;
        state.greeted = true;
        state.head = None;
        state.requests += 1;
        Turn { watch: self.clone(), answer: None }
    }

    /// The socket took bytes.
    pub(crate) fn took(&self, bytes: usize) {
        let mut state = self.state();
        // The end of an answer; of HTTP/2 it may as well be one more ping.
        if state.requests == 0 && !state.http2 {
            state.quiet = Instant::now();
        }
        if let Some((since, taken)) = &mut state.behind {
            *taken += bytes;
            if *taken >= STEP {
                (*since, *taken) = (Instant::now(), 0);
            }
        }
    }

    /// The socket takes nothing.
    pub(crate) fn stuck(&self) {
        self.state().behind.get_or_insert_with(|| (Instant::now(), 0));
    }

    /// The socket took everything.
    pub(crate) fn caught_up(&self) {
        self.state().behind = None;
    }

    /// Since when there is nothing to do, and nothing of a request has come.
    pub(crate) fn quiet_since(&self) -> Option<Instant> {
        let state = self.state();
        let quiet = state.greeted && state.requests == 0 && state.head.is_none();
        (quiet && state.behind.is_none()).then_some(state.quiet)
    }

    /// By when something must have happened, and what.
    pub(crate) fn due(&self) -> Option<(Instant, Late)> {
        let Timeouts { header, write, idle, .. } = self.0.timeouts;
        let state = self.state();
        let waiting = match (state.requests, state.head) {
            (0, _) if !state.greeted => Some((state.quiet, header, Late::Header)),
            (0, Some(began)) => Some((began, header, Late::Header)),
            (0, None) => Some((state.quiet, idle, Late::Idle)),
            _ => None,
        };
        let behind = state.behind.map(|(since, _)| (since, write, Late::Reader));
        let slowest = state.answers.iter().map(|(_, moved)| *moved).min();
        let answering = slowest.map(|moved| (moved, write, Late::Reader));
        [waiting, behind, answering]
            .into_iter()
            .flatten()
            .filter_map(|(since, allowed, late)| Some((since.checked_add(allowed)?, late)))
            .min_by_key(|(due, _)| *due)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One request, until its answer is given away wholly or given up.
pub(crate) struct Turn {
    watch: Watch,
    answer: Option<u64>,
}

impl Turn {
    /// The answer is there, or another piece of it was taken.
    pub(crate) fn moved(&mut self) {
        let now = Instant::now();
        let state = &mut *self.watch.state();
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

impl Drop for Turn {
    fn drop(&mut self) {
        let mut state = self.watch.state();
        if let Some(id) = self.answer {
            state.answers.retain(|(known, _)| *known != id);
        }
        state.requests -= 1;
        state.quiet = Instant::now();
    }
}
