//! The [`Clock`] trait: code that waits or expires takes a clock as a parameter, so tests can
//! control time.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// A point in time, in nanoseconds since the Unix epoch (UTC). Covers the years 1678 to 2262.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

const NANOS_PER_SEC: i64 = 1_000_000_000;

impl Timestamp {
    /// The Unix epoch, 1970-01-01T00:00:00Z, as a constant.
    pub const EPOCH: Self = Self(0);
    /// The latest representable time. Used for deadlines that never come.
    pub const FAR_FUTURE: Self = Self(i64::MAX);

    /// Builds a timestamp from nanoseconds since the Unix epoch; negative values are before 1970.
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// Builds a timestamp from whole seconds since the Unix epoch; saturates at the ends of the
    /// range.
    pub const fn from_secs(secs: i64) -> Self {
        Self(secs.saturating_mul(NANOS_PER_SEC))
    }

    /// Nanoseconds since the Unix epoch; negative before 1970.
    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    /// Whole seconds since the Unix epoch, rounded down; negative before 1970.
    pub const fn as_secs(self) -> i64 {
        self.0.div_euclid(NANOS_PER_SEC)
    }

    /// The time `by` later; saturates at the end of the range instead of overflowing.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(by.as_nanos()).unwrap_or(i64::MAX)))
    }

    /// The time `by` earlier; saturates at the start of the range instead of overflowing.
    #[must_use]
    pub fn minus(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(by.as_nanos()).unwrap_or(i64::MAX)))
    }

    /// The time that passed from `earlier` to `self`; zero when `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        let nanos = self.0.saturating_sub(earlier.0);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))
    }

    /// Formats the time as RFC 3339 in UTC with as many fraction digits as needed, as Vault's API
    /// does.
    pub fn to_rfc3339(self) -> String {
        self.to_string()
    }

    /// Parses an RFC 3339 time with any offset. Returns `None` if the text is malformed or out of
    /// range.
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        let parsed: jiff::Timestamp = text.parse().ok()?;
        i64::try_from(parsed.as_nanosecond()).ok().map(Self)
    }
}

impl Timestamp {
    /// Parses a time as Vault's clients write it: RFC 3339 with any offset, or whole seconds since
    /// the Unix epoch. White space around it is ignored. `None` if the text is malformed or out of
    /// range.
    pub fn parse_rfc3339_or_secs(text: &str) -> Option<Self> {
        let text = text.trim();
        match text.parse::<i64>() {
            Ok(secs) => secs.checked_mul(NANOS_PER_SEC).map(Self),
            Err(_) => Self::parse_rfc3339(text),
        }
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_nanosecond(i128::from(self.0)) {
            Ok(moment) => moment.fmt(f),
            Err(_) => write!(f, "{}ns", self.0),
        }
    }
}

/// A boxed `Send` future, the return type of async methods in object-safe traits.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Reads the time and waits for it. Constructed in `main` and in tests, and passed to everything
/// else as a parameter.
pub trait Clock: Send + Sync + fmt::Debug + 'static {
    /// The current wall-clock time, which may jump when an administrator sets the clock.
    fn now(&self) -> Timestamp;

    /// Resolves once [`Clock::now`] has reached `at`. Dropping the future is always safe.
    fn sleep_until(&self, at: Timestamp) -> BoxFuture<'static, ()>;

    /// Resolves after `time` has passed, even if the wall clock is set meanwhile. Dropping the
    /// future is always safe.
    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        self.sleep_until(self.now().plus(time))
    }

    /// Time that has passed since an arbitrary start. Setting the wall clock doesn't affect it, so
    /// elapsed time is measured with it; only differences between two readings are meaningful.
    fn monotonic_time(&self) -> Duration {
        self.now().since(Timestamp::EPOCH)
    }
}

/// Waits until the clock reaches `at`, or until the time remaining at the call has passed,
/// whichever comes first. Setting the clock back during the wait therefore cannot prolong it.
pub async fn wait_for_deadline(clock: &dyn Clock, at: Timestamp) {
    tokio::select! {
        () = clock.sleep_until(at) => {}
        () = clock.sleep(at.since(clock.now())) => {}
    }
}

/// Runs `future` and returns its output, or `None` if it takes longer than `limit`.
pub async fn with_timeout<F: Future>(
    clock: &dyn Clock,
    limit: Duration,
    future: F,
) -> Option<F::Output> {
    tokio::select! {
        biased;
        output = future => Some(output),
        () = clock.sleep(limit) => None,
    }
}

/// The operating system's clock, the only clock of a running server.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

/// Longest single wait in `sleep_until`: the wall clock may be set meanwhile, so it is read again
/// at least this often.
const MAX_WAIT: Duration = Duration::from_secs(30);

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
    fn now(&self) -> Timestamp {
        match std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH) {
            Ok(since) => Timestamp::EPOCH.plus(since),
            Err(before) => Timestamp::EPOCH.minus(before.duration()),
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that waits on the machine's clock"
    )]
    fn sleep_until(&self, at: Timestamp) -> BoxFuture<'static, ()> {
        let clock = *self;
        Box::pin(async move {
            loop {
                let left = at.since(clock.now());
                if left.is_zero() {
                    return;
                }
                tokio::time::sleep(left.min(MAX_WAIT)).await;
            }
        })
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that waits on the machine's clock"
    )]
    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        // Tokio's timer is monotonic: setting the wall clock doesn't affect it.
        Box::pin(tokio::time::sleep(time))
    }

    #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
    fn monotonic_time(&self) -> Duration {
        static BEGAN: OnceLock<Instant> = OnceLock::new();
        BEGAN.get_or_init(Instant::now).elapsed()
    }
}

/// A [`Clock`] for tests whose time doesn't change until a test calls [`ManualClock::advance`] or
/// [`ManualClock::set_time`].
#[cfg(any(test, feature = "testing"))]
#[derive(Clone, Debug)]
pub struct ManualClock(std::sync::Arc<tokio::sync::watch::Sender<ManualTime>>);

/// The wall-clock and monotonic time of a [`ManualClock`].
#[cfg(any(test, feature = "testing"))]
#[derive(Clone, Copy, Debug)]
struct ManualTime {
    now: Timestamp,
    elapsed: Duration,
}

#[cfg(any(test, feature = "testing"))]
impl ManualClock {
    /// A clock whose wall time is `start` and whose monotonic time is zero.
    pub fn starting_at(start: Timestamp) -> Self {
        let time = ManualTime { now: start, elapsed: Duration::ZERO };
        Self(std::sync::Arc::new(tokio::sync::watch::Sender::new(time)))
    }

    /// Moves wall-clock and monotonic time forward and wakes the tasks waiting for it.
    pub fn advance(&self, by: Duration) {
        self.0.send_modify(|time| {
            time.now = time.now.plus(by);
            time.elapsed = time.elapsed.saturating_add(by);
        });
    }

    /// Sets the wall clock, as an administrator does. Monotonic time doesn't change.
    pub fn set_time(&self, to: Timestamp) {
        self.0.send_modify(|time| time.now = to);
    }

    /// Waits until `reached` is true for the clock's time.
    fn wait_until(
        &self,
        reached: impl Fn(&ManualTime) -> bool + Send + Sync + 'static,
    ) -> BoxFuture<'static, ()> {
        let mut time = self.0.subscribe();
        Box::pin(async move {
            // An error means that every clone of the clock was dropped, so time can no longer
            // advance.
            if time.wait_for(reached).await.is_err() {
                std::future::pending::<()>().await;
            }
        })
    }
}

#[cfg(any(test, feature = "testing"))]
impl Default for ManualClock {
    /// Starts at 2030-01-01T00:00:00Z.
    fn default() -> Self {
        Self::starting_at(Timestamp::from_secs(1_893_456_000))
    }
}

#[cfg(any(test, feature = "testing"))]
impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        self.0.borrow().now
    }

    fn sleep_until(&self, at: Timestamp) -> BoxFuture<'static, ()> {
        self.wait_until(move |time| time.now >= at)
    }

    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        let until = self.monotonic_time().saturating_add(time);
        self.wait_until(move |time| time.elapsed >= until)
    }

    fn monotonic_time(&self) -> Duration {
        self.0.borrow().elapsed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_like_the_api() {
        let moment = Timestamp::from_nanos(1_795_299_674_550_000_000);
        assert_eq!(moment.to_rfc3339(), "2026-11-21T22:21:14.55Z");
        assert_eq!(Timestamp::from_secs(0).to_rfc3339(), "1970-01-01T00:00:00Z");
        assert_eq!(Timestamp::parse_rfc3339("2026-11-21T22:21:14.55Z"), Some(moment));
        assert_eq!(Timestamp::parse_rfc3339("yesterday"), None);
        let parse = Timestamp::parse_rfc3339_or_secs;
        assert_eq!(parse(" 2026-11-21T22:21:14.55Z "), Some(moment));
        assert_eq!(parse("-60"), Some(Timestamp::from_secs(-60)));
        assert_eq!((parse("9223372037"), parse("1.5"), parse("")), (None, None, None));
    }

    #[test]
    fn arithmetic_saturates() {
        assert_eq!(Timestamp::FAR_FUTURE.plus(Duration::from_secs(1)), Timestamp::FAR_FUTURE);
        let (early, late) = (Timestamp::from_secs(1), Timestamp::from_secs(3));
        assert_eq!(late.since(early), Duration::from_secs(2));
        assert_eq!(early.since(late), Duration::ZERO);
        assert_eq!(Timestamp::from_nanos(-1).as_secs(), -1);
    }

    #[tokio::test]
    async fn manual_clock_wakes_sleepers() {
        let clock = ManualClock::default();
        let sleeper = clock.sleep_until(clock.now().plus(Duration::from_secs(5)));
        tokio::pin!(sleeper);
        clock.advance(Duration::from_secs(4));
        assert!(futures_poll(&mut sleeper).await.is_none());
        clock.advance(Duration::from_secs(1));
        assert!(futures_poll(&mut sleeper).await.is_some());
    }

    #[tokio::test]
    async fn limits_hold_when_the_clock_is_set_back() {
        let (clock, second) = (ManualClock::default(), Duration::from_secs(1));
        let begun = clock.monotonic_time();
        let mut sleep = clock.sleep(second);
        let mut limited = Box::pin(with_timeout(&clock, second, std::future::pending::<()>()));
        let mut until = Box::pin(wait_for_deadline(&clock, clock.now().plus(second)));
        assert!(futures_poll(&mut sleep).await.is_none());
        assert!(futures_poll(&mut limited).await.is_none());
        assert!(futures_poll(&mut until).await.is_none());
        clock.set_time(clock.now().minus(Duration::from_secs(3600)));
        assert_eq!(clock.monotonic_time(), begun);
        clock.advance(second);
        assert!(futures_poll(&mut sleep).await.is_some());
        assert_eq!(futures_poll(&mut limited).await, Some(None));
        assert!(futures_poll(&mut until).await.is_some());
        // Setting the clock forward to the deadline ends the wait.
        let mut until = Box::pin(wait_for_deadline(&clock, clock.now().plus(second)));
        assert!(futures_poll(&mut until).await.is_none());
        clock.set_time(clock.now().plus(second));
        assert!(futures_poll(&mut until).await.is_some());
    }

    /// Polls a future once; `None` if it is pending.
    async fn futures_poll<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
        std::future::poll_fn(|cx| {
            std::task::Poll::Ready(match Pin::new(&mut *future).poll(cx) {
                std::task::Poll::Ready(out) => Some(out),
                std::task::Poll::Pending => None,
            })
        })
        .await
    }
}
