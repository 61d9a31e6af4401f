//! [`RefusalLog`]: logs refused requests and seal requests. Lines contain no secrets, and refusals
//! are limited to 20 lines per kind and minute so that a client cannot fill the log.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use strongroom_types::{Clock, Timestamp, printable};
use tokio_util::task::TaskTracker;

use crate::stages::RequestOrigin;

/// The rate-limited log of refusals. Cheap to clone; there is one per server, sealed or not.
#[derive(Clone)]
pub struct RefusalLog(Arc<RefusalLogInner>);

struct RefusalLogInner {
    clock: Arc<dyn Clock>,
    /// The current window of each [`RefusalKind`].
    windows: Mutex<[LogWindow; RefusalKind::ALL.len()]>,
    /// Tasks that log how many lines were suppressed, [`WINDOW_LENGTH`] after the first of them; at
    /// most one per [`RefusalKind`].
    tasks: TaskTracker,
}

/// The lines logged and suppressed for one kind in the current window.
#[derive(Clone, Copy, Default)]
struct LogWindow {
    ends: Option<Timestamp>,
    logged: u32,
    suppressed: u64,
}

/// The kinds of refusals. Each is counted separately, so that many of one kind do not suppress the
/// others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalKind {
    /// No token, a token that is invalid or not allowed from the client's address, or an invalid
    /// wrapping token.
    InvalidToken,
    /// A request that the policies of a valid token do not allow, or that the endpoint denied.
    PermissionDenied,
    /// A failed request to `sys/unseal`, such as one with a wrong or malformed key share.
    Unseal,
    /// An initialisation that was refused or failed.
    Initialisation,
    /// A login that an auth method refused, or of a user that is locked.
    Login,
}

/// Lines of one kind per window; further ones are counted and summarised.
const MAX_LINES_PER_WINDOW: u32 = 20;
const WINDOW_LENGTH: Duration = Duration::from_secs(60);
/// The maximum length of a path, name or reason in a line, in bytes.
const MAX_FIELD_BYTES: usize = 512;
/// Prefixes of token ids of this server, Vault and OpenBao. Used to redact tokens that a client put
/// into a path.
const TOKEN_PREFIXES: [&str; 6] = ["hvs.", "hvb.", "hvr.", "s.", "b.", "r."];

impl RefusalKind {
    const ALL: [Self; 5] = [
        Self::InvalidToken,
        Self::PermissionDenied,
        Self::Unseal,
        Self::Initialisation,
        Self::Login,
    ];

    fn log_message(self) -> &'static str {
        match self {
            Self::InvalidToken => "a request without a valid token was refused",
            Self::PermissionDenied => "a request was denied",
            Self::Unseal => "an attempt to unseal failed",
            Self::Initialisation => "an initialisation was refused",
            Self::Login => "a login was refused",
        }
    }
}

impl RefusalLog {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        let (windows, tasks) = (Mutex::default(), TaskTracker::new());
        Self(Arc::new(RefusalLogInner { clock, windows, tasks }))
    }

    /// Logs a refusal, or counts it if the window's limit is reached. `reason` is a message of this
    /// server, without secrets.
    pub fn log_refusal(&self, refusal: RefusalKind, origin: &RequestOrigin<'_>, reason: &str) {
        if !self.may_log(refusal) {
            return;
        }
        let OriginLogFields { path, address, display_name } = origin.log_fields();
        let reason = printable(reason, MAX_FIELD_BYTES);
        let text = refusal.log_message();
        match refusal {
            RefusalKind::Unseal | RefusalKind::Initialisation => {
                tracing::warn!(path, address, %reason, "{text}");
            }
            RefusalKind::InvalidToken | RefusalKind::Login => {
                tracing::info!(path, address, %reason, "{text}");
            }
            RefusalKind::PermissionDenied => {
                tracing::info!(path, address, display_name, "{text}");
            }
        }
    }

    /// Logs who requested a seal. Not rate-limited: few tokens may do it.
    pub fn log_seal_request(origin: &RequestOrigin<'_>) {
        let OriginLogFields { path, address, display_name } = origin.log_fields();
        let text = "the seal was requested";
        tracing::warn!(path, address, display_name, "{text}");
    }

    fn may_log(&self, refusal: RefusalKind) -> bool {
        let now = self.0.clock.now();
        let mut windows = self.lock_windows();
        let Some(window) = windows.get_mut(refusal as usize) else { return true };
        // A window that ends later than a new one would was started before the clock was set back.
        // Without a reset it would suppress all refusals until the clock catches up.
        if window.ends.is_none_or(|ends| ends <= now || ends > now.plus(WINDOW_LENGTH)) {
            // The count of the suppressed lines is kept: the task that is waiting logs it.
            *window = LogWindow {
                ends: Some(now.plus(WINDOW_LENGTH)),
                logged: 0,
                suppressed: window.suppressed,
            };
        }
        if window.logged < MAX_LINES_PER_WINDOW {
            window.logged += 1;
            return true;
        }
        window.suppressed += 1;
        if window.suppressed == 1 {
            let (refusals, ends) = (self.clone(), now.plus(WINDOW_LENGTH));
            self.0.tasks.spawn(async move {
                refusals.0.clock.sleep_until(ends).await;
                refusals.log_suppressed_count(refusal);
            });
        }
        false
    }

    fn log_suppressed_count(&self, refusal: RefusalKind) {
        let left_out = {
            let mut windows = self.lock_windows();
            let window = windows.get_mut(refusal as usize);
            window.map_or(0, |window| std::mem::take(&mut window.suppressed))
        };
        let text = refusal.log_message();
        tracing::warn!(left_out, "more of these were not logged: {text}");
    }

    fn lock_windows(&self) -> std::sync::MutexGuard<'_, [LogWindow; RefusalKind::ALL.len()]> {
        self.0.windows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A [`RequestOrigin`] formatted for the log: fields are bounded in length, and empty where
/// unknown. The id of the request and the hash of the accessor are in the request's span.
struct OriginLogFields {
    path: String,
    address: String,
    display_name: String,
}

impl RequestOrigin<'_> {
    fn log_fields(&self) -> OriginLogFields {
        let token = self.caller.map(|caller| &caller.stored_token.token);
        let address = self.address.map(|address| address.to_string());
        let name = token.map(|token| printable(&token.display_name, MAX_FIELD_BYTES).into_owned());
        OriginLogFields {
            path: redact_tokens_in_path(self.path),
            address: address.unwrap_or_default(),
            display_name: name.unwrap_or_default(),
        }
    }
}

/// The path with everything that looks like a token redacted.
fn redact_tokens_in_path(path: &str) -> String {
    let segment = |segment: &str| {
        let token = TOKEN_PREFIXES.iter().find(|prefix| segment.starts_with(**prefix));
        match token {
            Some(prefix) if segment.len() >= prefix.len() + 20 => format!("{prefix}(hidden)"),
            _ => segment.to_owned(),
        }
    };
    let shown: Vec<String> = path.split('/').map(segment).collect();
    printable(&shown.join("/"), MAX_FIELD_BYTES).into_owned()
}

impl std::fmt::Debug for RefusalLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RefusalLog")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A clock that can be set back; sleeps never end.
    #[derive(Debug)]
    struct SettableClock(Mutex<Timestamp>);

    impl Clock for SettableClock {
        fn now(&self) -> Timestamp {
            *self.0.lock().unwrap()
        }

        fn sleep_until(&self, _: Timestamp) -> strongroom_types::clock::BoxFuture<'static, ()> {
            Box::pin(std::future::pending())
        }
    }

    #[tokio::test]
    async fn refusals_are_logged_after_the_clock_is_set_back() {
        let clock = Arc::new(SettableClock(Mutex::new(Timestamp::from_secs(1_000_000))));
        let refusals = RefusalLog::new(clock.clone());
        let logged = || {
            (0..MAX_LINES_PER_WINDOW + 5).filter(|_| refusals.may_log(RefusalKind::Unseal)).count()
        };
        assert_eq!(logged(), 20);
        assert_eq!(logged(), 0, "the window is full");
        *clock.0.lock().unwrap() = Timestamp::from_secs(500_000);
        assert_eq!(logged(), 20);
    }

    #[test]
    fn a_token_in_a_path_is_not_shown() {
        let token = "hvs.abcdefghijklmnopqrstuvwx";
        let path = format!("auth/token/lookup/{token}/s.1");
        assert_eq!(redact_tokens_in_path(&path), "auth/token/lookup/hvs.(hidden)/s.1");
        assert_eq!(redact_tokens_in_path(&"x/".repeat(1000)).len(), MAX_FIELD_BYTES + "…".len());
    }
}
