//! [`Refusals`]: what is refused, and who asked for a seal, in the log. Without secrets, and never
//! more than so many lines in a while: whoever sends what is refused must not fill the log.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use strongroom_types::{Clock, RequestId, Timestamp, printable};
use tokio_util::task::TaskTracker;

use crate::pipeline::Caller;

/// What is logged of refusals. Cheap to clone; one for a server, sealed or not.
#[derive(Clone)]
pub(crate) struct Refusals(Arc<Shared>);

struct Shared {
    clock: Arc<dyn Clock>,
    /// One for each [`Refusal`].
    windows: Mutex<[Window; Refusal::ALL.len()]>,
    /// Each says after a while how much was left out. There is at most one for each [`Refusal`].
    tasks: TaskTracker,
}

/// What was logged of one sort in the time that runs.
#[derive(Clone, Copy, Default)]
struct Window {
    ends: Option<Timestamp>,
    logged: u32,
    left_out: u64,
}

/// Sorts of refusals. Each is counted for itself, so that many of one hide no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// No token, or none that is valid where it was used from.
    InvalidToken,
    /// A valid token without the right.
    PermissionDenied,
    /// Key shares that don't open the seal, or what can't be one.
    Unseal,
    /// An initialisation that wasn't made.
    Initialisation,
}

/// Who sent a request, as far as that is known, and which.
pub(crate) struct Origin<'a> {
    pub(crate) id: &'a RequestId,
    pub(crate) path: &'a str,
    pub(crate) address: Option<IpAddr>,
    pub(crate) caller: Option<&'a Caller>,
}

/// Lines of one sort in one window; more are counted.
const LINES: u32 = 20;
const WINDOW: Duration = Duration::from_secs(60);
/// The longest path, name or reason in a line.
const MAX_BYTES: usize = 512;
/// How tokens begin that this server, Vault or OpenBao made. A client may have put one into a path.
const TOKEN_PREFIXES: [&str; 6] = ["hvs.", "hvb.", "hvr.", "s.", "b.", "r."];

impl Refusal {
    const ALL: [Self; 4] =
        [Self::InvalidToken, Self::PermissionDenied, Self::Unseal, Self::Initialisation];

    fn text(self) -> &'static str {
        match self {
            Self::InvalidToken => "a request without a valid token was refused",
            Self::PermissionDenied => "a request was denied",
            Self::Unseal => "an attempt to unseal failed",
            Self::Initialisation => "an initialisation was refused",
        }
    }
}

impl Refusals {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        let (windows, tasks) = (Mutex::default(), TaskTracker::new());
        Self(Arc::new(Shared { clock, windows, tasks }))
    }

    /// Logs a refusal, or counts it. The reason is a text of this server, without secrets.
    pub(crate) fn note(&self, refusal: Refusal, origin: &Origin<'_>, reason: &str) {
        if !self.may_log(refusal) {
            return;
        }
        let Shown { request_id, path, address, accessor, display_name } = origin.shown();
        let reason = printable(reason, MAX_BYTES);
        let text = refusal.text();
        match refusal {
            Refusal::Unseal | Refusal::Initialisation => {
                tracing::warn!(request_id, path, address, %reason, "{text}");
            }
            Refusal::InvalidToken => tracing::info!(request_id, path, address, %reason, "{text}"),
            Refusal::PermissionDenied => {
                tracing::info!(request_id, path, address, accessor, display_name, "{text}");
            }
        }
    }

    /// Logs who asked for the seal. Few may, so this has no bound.
    pub(crate) fn seal_requested(origin: &Origin<'_>) {
        let Shown { request_id, path, address, accessor, display_name } = origin.shown();
        let text = "the seal was requested";
        tracing::warn!(request_id, path, address, accessor, display_name, "{text}");
    }

    fn may_log(&self, refusal: Refusal) -> bool {
        let now = self.0.clock.now();
        let mut windows = self.lock();
        let Some(window) = windows.get_mut(refusal as usize) else { return true };
        // One that ends later than it could have begun now is from before the clock was set back: it
        // would hide all refusals until the clock is there again.
        if window.ends.is_none_or(|ends| ends <= now || ends > now.plus(WINDOW)) {
            // What the window before left out is logged by its task.
            *window = Window { ends: Some(now.plus(WINDOW)), logged: 0, left_out: window.left_out };
        }
        if window.logged < LINES {
            window.logged += 1;
            return true;
        }
        window.left_out += 1;
        if window.left_out == 1 {
            let (refusals, ends) = (self.clone(), now.plus(WINDOW));
            self.0.tasks.spawn(async move {
                refusals.0.clock.sleep_until(ends).await;
                refusals.say_what_was_left_out(refusal);
            });
        }
        false
    }

    fn say_what_was_left_out(&self, refusal: Refusal) {
        let left_out = {
            let mut windows = self.lock();
            let window = windows.get_mut(refusal as usize);
            window.map_or(0, |window| std::mem::take(&mut window.left_out))
        };
        let text = refusal.text();
        tracing::warn!(left_out, "more of these were not logged: {text}");
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, [Window; Refusal::ALL.len()]> {
        self.0.windows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An origin as it is logged: bounded, and empty where nothing is known.
struct Shown {
    request_id: String,
    path: String,
    address: String,
    accessor: String,
    display_name: String,
}

impl Origin<'_> {
    fn shown(&self) -> Shown {
        let token = self.caller.map(|caller| &caller.found.token);
        let address = self.address.map(|address| address.to_string());
        let name = token.map(|token| printable(&token.display_name, MAX_BYTES).into_owned());
        Shown {
            request_id: self.id.to_string(),
            path: shown_path(self.path),
            address: address.unwrap_or_default(),
            accessor: token.map(|token| token.accessor.to_string()).unwrap_or_default(),
            display_name: name.unwrap_or_default(),
        }
    }
}

/// The path, without what looks like a token.
fn shown_path(path: &str) -> String {
    let segment = |segment: &str| {
        let token = TOKEN_PREFIXES.iter().find(|prefix| segment.starts_with(**prefix));
        match token {
            Some(prefix) if segment.len() >= prefix.len() + 20 => format!("{prefix}(hidden)"),
            _ => segment.to_owned(),
        }
    };
    let shown: Vec<String> = path.split('/').map(segment).collect();
    printable(&shown.join("/"), MAX_BYTES).into_owned()
}

impl std::fmt::Debug for Refusals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Refusals")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A clock that can be set back. Nobody's time comes.
    #[derive(Debug)]
    struct SetClock(Mutex<Timestamp>);

    impl Clock for SetClock {
        fn now(&self) -> Timestamp {
            *self.0.lock().unwrap()
        }

        fn sleep_until(&self, _: Timestamp) -> strongroom_types::clock::BoxFuture<'static, ()> {
            Box::pin(std::future::pending())
        }
    }

    #[tokio::test]
    async fn a_clock_that_is_set_back_hides_no_refusal() {
        let clock = Arc::new(SetClock(Mutex::new(Timestamp::from_secs(1_000_000))));
        let refusals = Refusals::new(clock.clone());
        let logged = || (0..LINES + 5).filter(|_| refusals.may_log(Refusal::Unseal)).count();
        assert_eq!(logged(), 20);
        assert_eq!(logged(), 0, "the window is full");
        *clock.0.lock().unwrap() = Timestamp::from_secs(500_000);
        assert_eq!(logged(), 20);
    }

    #[test]
    fn a_token_in_a_path_is_not_shown() {
        let token = "hvs.abcdefghijklmnopqrstuvwx";
        let path = format!("auth/token/lookup/{token}/s.1");
        assert_eq!(shown_path(&path), "auth/token/lookup/hvs.(hidden)/s.1");
        assert_eq!(shown_path(&"x/".repeat(1000)).len(), MAX_BYTES + "…".len());
    }
}
