//! [`LockoutPolicy`]: when users of an auth method are locked after failed logins.

use std::time::Duration;

/// The types of auth methods whose users can be locked, by built-in engines and by plug-ins of
/// these names.
pub const LOCKABLE_TYPES: [&str; 3] = ["approle", "ldap", "userpass"];

/// When users of one type of auth method are locked. The default locks them after 5 failed logins
/// for 15 minutes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockoutPolicy {
    /// Whether users are locked at all.
    pub is_enabled: bool,
    /// The number of failed logins after which a user is locked; at least 1.
    pub threshold: u32,
    /// How long a lock lasts.
    pub duration: Duration,
    /// How long after the last failed login the count starts again.
    pub counter_reset: Duration,
}

impl Default for LockoutPolicy {
    fn default() -> Self {
        const QUARTER_HOUR: Duration = Duration::from_secs(15 * 60);
        Self { is_enabled: true, threshold: 5, duration: QUARTER_HOUR, counter_reset: QUARTER_HOUR }
    }
}
