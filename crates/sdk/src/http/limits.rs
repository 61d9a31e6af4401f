//! [`HttpLimits`], [`RetryPolicy`] and [`RedirectPolicy`]: how long a call takes at most, how much
//! it reads, and what it repeats.

use std::time::Duration;

use http::Method;

/// The limits on one call to an outside system. `HttpLimits::default()` suits most APIs.
///
/// ```
/// use std::time::Duration;
/// use strongroom_sdk::http::{HttpClient, HttpLimits};
///
/// let limits = HttpLimits { attempt_time: Duration::from_secs(60), ..HttpLimits::default() };
/// let http = HttpClient::new("slow service").with_limits(limits);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpLimits {
    /// How long connecting may take, with name resolution, a proxy and TLS. The default is 5
    /// seconds.
    pub connect_time: Duration,
    /// How long one attempt may take, from connecting to the last byte of the response and with all
    /// redirects. The default is 10 seconds, as of
    /// [`Credential::timeout`](crate::Credential::timeout).
    pub attempt_time: Duration,
    /// The maximum size of a response's body in bytes. The default is 1 MiB.
    pub response_bytes: usize,
    /// The maximum size of a response's status line and headers in bytes, at least 8192. The
    /// default is 64 KiB.
    pub header_bytes: usize,
    /// The maximum number of a response's headers. The default is 100.
    pub header_count: usize,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            connect_time: Duration::from_secs(5),
            attempt_time: Duration::from_secs(10),
            response_bytes: 1 << 20,
            header_bytes: 64 << 10,
            header_count: 100,
        }
    }
}

/// How often a failed call is repeated. The default is never: the server repeats revocations and
/// undos itself, and a client repeats its request.
///
/// A call is repeated if it was not sent because connecting failed. If it was sent, it is repeated
/// only if its method is idempotent (GET, HEAD, PUT, DELETE, OPTIONS) or the request is marked
/// [`repeatable`](super::HttpRequest::repeatable); the reasons are then a connection that failed,
/// an attempt that took too long, and a status of 429, 502, 503 or 504. A response that is too
/// large or malformed is not asked for again.
///
/// ```
/// use std::time::Duration;
/// use strongroom_sdk::http::{HttpClient, RetryPolicy};
///
/// // At most three attempts, with half a second and a second between them.
/// let retries = RetryPolicy::attempts(3, Duration::from_secs(15));
/// let http = HttpClient::new("token service").with_retries(retries);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    pub(super) max_attempts: u32,
    /// The time for all attempts and the waits between them; `None` for that of one attempt.
    pub(super) total_time: Option<Duration>,
}

/// The wait before the second attempt; it doubles with each attempt.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// The longest wait, which also bounds what a `Retry-After` header can ask for.
const MAX_WAIT: Duration = Duration::from_secs(10);

impl RetryPolicy {
    /// One attempt, the default of a client.
    pub const NEVER: Self = Self { max_attempts: 1, total_time: None };

    /// At most `attempts` attempts, which take at most `total_time` together with the waits between
    /// them. The first wait is 0.5 seconds, each further one twice as long, up to 10 seconds; a
    /// longer `Retry-After` of the outside system is honoured up to 10 seconds too.
    ///
    /// For calls of a credential `total_time` must not exceed
    /// [`Credential::timeout`](crate::Credential::timeout), which is the limit of one call.
    pub const fn attempts(attempts: u32, total_time: Duration) -> Self {
        Self { max_attempts: attempts, total_time: Some(total_time) }
    }

    /// How long to wait after `attempt` attempts; `None` if there is no further one.
    pub(super) fn wait_after(
        &self,
        attempt: u32,
        retry_after: Option<Duration>,
    ) -> Option<Duration> {
        if attempt >= self.max_attempts {
            return None;
        }
        let doubled = FIRST_WAIT.saturating_mul(1 << attempt.saturating_sub(1).min(10));
        Some(doubled.max(retry_after.unwrap_or_default()).min(MAX_WAIT))
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self::NEVER
    }
}

/// Which redirects a client follows. The default is none: a redirect is then an error with its
/// status, since it would take the request and its credentials elsewhere.
///
/// A GET or HEAD is repeated at the new address for 301, 302, 303, 307 and 308; any other method
/// for 307 and 308 only, with its body. A redirect from https to http is never followed.
///
/// ```
/// use strongroom_sdk::http::{HttpClient, RedirectPolicy};
///
/// let http = HttpClient::new("cluster").with_redirects(RedirectPolicy::same_origin(2));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RedirectPolicy {
    pub(super) max_redirects: u32,
    pub(super) other_origins: bool,
}

impl RedirectPolicy {
    /// No redirects, the default of a client.
    pub const NONE: Self = Self { max_redirects: 0, other_origins: false };

    /// At most `max_redirects` redirects in a row, only to the scheme, host and port of the request
    /// itself.
    pub const fn same_origin(max_redirects: u32) -> Self {
        Self { max_redirects, other_origins: false }
    }

    /// At most `max_redirects` redirects in a row. One to another scheme, host or port is followed
    /// for GET and HEAD only, and without any header that the engine has set: no credential is
    /// ever sent to another host.
    pub const fn any_origin(max_redirects: u32) -> Self {
        Self { max_redirects, other_origins: true }
    }
}

impl Default for RedirectPolicy {
    fn default() -> Self {
        Self::NONE
    }
}

/// Whether sending a request of this method twice has the effect of sending it once (RFC 9110,
/// 9.2.2).
pub(super) fn is_idempotent(method: &Method) -> bool {
    is_safe(method) || [Method::PUT, Method::DELETE].contains(method)
}

/// Whether a request of this method changes nothing (RFC 9110, 9.2.1).
pub(super) fn is_safe(method: &Method) -> bool {
    [Method::GET, Method::HEAD, Method::OPTIONS].contains(method)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_and_are_bounded() {
        let waits = |policy: RetryPolicy, asked| -> Vec<_> {
            (1..20).map_while(|attempt| policy.wait_after(attempt, asked)).collect()
        };
        let ms = Duration::from_millis;
        assert!(waits(RetryPolicy::NEVER, None).is_empty());
        let policy = RetryPolicy::attempts(4, ms(1));
        assert_eq!(waits(policy, None), [ms(500), ms(1000), ms(2000)]);
        assert_eq!(waits(policy, Some(ms(1500))), [ms(1500), ms(1500), ms(2000)]);
        assert_eq!(waits(policy, Some(ms(1_000_000))), [MAX_WAIT; 3]);
        assert_eq!(waits(RetryPolicy::attempts(u32::MAX, ms(1)), None)[18], MAX_WAIT);
    }
}
