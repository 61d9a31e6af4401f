//! [`UserLockout`]: locks a user of an auth method after too many failed logins. A login of a locked
//! user is refused before the auth method sees it.
//!
//! Users are counted by the alias that the method reads from the login request, in the form that it
//! looks the user up by; otherwise another spelling would have a count of its own. Names of users
//! that don't exist are counted too, so that a lock doesn't tell which exist.
//!
//! A login that was begun before its user was locked is refused when it is decided, also if the
//! password was right: otherwise many logins at once would be that many guesses.
//!
//! Counts and locks are in memory and bounded in bytes: a seal or a restart ends them, and a flood of
//! failed logins under many names evicts the oldest, those of users that aren't locked first.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use strongroom_crypto::digest::sha256;
use strongroom_policy::case_folded;
use strongroom_types::lockout::LOCKABLE_TYPES;
use strongroom_types::{Clock, LockoutPolicy, Timestamp, printable};

/// The policies by type of auth method; types without one have the default policy.
#[derive(Clone, Debug, Default)]
pub struct LockoutSettings {
    /// The policies that the configuration sets, by type.
    pub by_type: BTreeMap<String, LockoutPolicy>,
}

impl LockoutSettings {
    /// The policy for a type of auth method; `None` if its users are never locked.
    fn policy_for(&self, mount_type: &str) -> Option<LockoutPolicy> {
        if !LOCKABLE_TYPES.contains(&mount_type) {
            return None;
        }
        let policy = self.by_type.get(mount_type).copied().unwrap_or_default();
        policy.is_enabled.then_some(policy)
    }
}

/// A user of an auth method, as failed logins are counted. The alias is trimmed and case-folded:
/// whatever a method takes as one name, at most too many spellings share a count.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LockableUser {
    mount_accessor: String,
    /// The digest of the alias, so that long aliases take no more memory than short ones.
    alias_digest: [u8; 32],
    /// The alias as it is shown, cut to [`MAX_SHOWN_ALIAS_BYTES`].
    shown_alias: String,
}

/// The maximum length of an alias in responses and log lines, in bytes.
const MAX_SHOWN_ALIAS_BYTES: usize = 128;

impl LockableUser {
    /// The user with this alias at the auth method whose mount has the accessor.
    pub fn new(mount_accessor: &str, alias: &str) -> Self {
        let alias = case_folded(alias.trim());
        Self {
            mount_accessor: mount_accessor.to_owned(),
            alias_digest: sha256(alias.as_bytes()),
            shown_alias: printable(&alias, MAX_SHOWN_ALIAS_BYTES).into_owned(),
        }
    }

    /// The accessor of the auth method's mount.
    pub fn mount_accessor(&self) -> &str {
        &self.mount_accessor
    }

    /// The alias, made printable and cut to 128 bytes.
    pub fn shown_alias(&self) -> &str {
        &self.shown_alias
    }
}

/// The failed logins of one user.
#[derive(Clone, Copy, Debug)]
struct FailedLogins {
    count: u32,
    last: Timestamp,
    locked_until: Option<Timestamp>,
    /// The position in the order of eviction.
    order: u64,
}

impl FailedLogins {
    fn is_locked(&self, now: Timestamp) -> bool {
        self.locked_until.is_some_and(|until| until > now)
    }
}

/// How a failed login changed the state of its user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FailureOutcome {
    /// The user may try again.
    Counted,
    /// This failure locked the user.
    Locked,
    /// The user was locked already, while this login was being decided.
    WasLocked,
}

/// Counts failed logins, and knows which users are locked.
#[derive(Debug)]
pub struct UserLockout {
    settings: LockoutSettings,
    clock: Arc<dyn Clock>,
    state: Mutex<LockoutState>,
}

#[derive(Debug, Default)]
struct LockoutState {
    users: HashMap<LockableUser, FailedLogins>,
    /// The users in the order of their last failed login; those that are locked have an order of
    /// their own, and are evicted last.
    unlocked: BTreeMap<u64, LockableUser>,
    locked: BTreeMap<u64, LockableUser>,
    bytes: usize,
    next_order: u64,
}

/// The memory that counts may take.
const MAX_BYTES: usize = 4 << 20;
/// The memory of one user beside its names, which are kept twice.
const USER_OVERHEAD: usize = 256;

impl UserLockout {
    /// No user has failed yet.
    pub(crate) fn new(settings: LockoutSettings, clock: Arc<dyn Clock>) -> Self {
        Self { settings, clock, state: Mutex::default() }
    }

    /// Whether logins of this type of auth method are counted.
    pub(crate) fn applies_to(&self, mount_type: &str) -> bool {
        self.settings.policy_for(mount_type).is_some()
    }

    /// Whether a user is locked now.
    pub(crate) fn is_locked(&self, user: &LockableUser) -> bool {
        let now = self.clock.now();
        self.lock_state().users.get(user).is_some_and(|failed| failed.is_locked(now))
    }

    /// Counts a failed login, and locks the user if it was one too many. A lock that runs is not
    /// changed.
    pub(crate) fn record_failure(&self, mount_type: &str, user: &LockableUser) -> FailureOutcome {
        let Some(policy) = self.settings.policy_for(mount_type) else {
            return FailureOutcome::Counted;
        };
        let now = self.clock.now();
        let mut state = self.lock_state();
        let before = state.users.get(user).copied();
        if before.is_some_and(|failed| failed.is_locked(now)) {
            return FailureOutcome::WasLocked;
        }
        state.remove(user);
        // After a lock, and after a pause, the count starts again.
        let goes_on = |failed: &FailedLogins| {
            failed.locked_until.is_none() && failed.last.plus(policy.counter_reset) > now
        };
        let count = before.filter(goes_on).map_or(0, |failed| failed.count).saturating_add(1);
        let is_locked = count >= policy.threshold.max(1);
        let locked_until = is_locked.then(|| now.plus(policy.duration));
        state.insert(user.clone(), count, now, locked_until);
        if is_locked { FailureOutcome::Locked } else { FailureOutcome::Counted }
    }

    /// Resets the count of a user whose login succeeded. Returns false if the user was locked while
    /// the login was being decided: then it must be refused, and the lock stays.
    #[must_use]
    pub(crate) fn record_success(&self, user: &LockableUser) -> bool {
        let now = self.clock.now();
        let mut state = self.lock_state();
        if state.users.get(user).is_some_and(|failed| failed.is_locked(now)) {
            return false;
        }
        state.remove(user);
        true
    }

    /// Forgets the failed logins of a user, and ends its lock. Returns whether it was locked.
    pub fn unlock(&self, user: &LockableUser) -> bool {
        let now = self.clock.now();
        self.lock_state().remove(user).is_some_and(|failed| failed.is_locked(now))
    }

    /// The users that are locked now, sorted by accessor and alias.
    pub fn locked_users(&self) -> Vec<LockableUser> {
        let now = self.clock.now();
        let state = self.lock_state();
        let locked = state.users.iter().filter(|(_, failed)| failed.is_locked(now));
        let mut users: Vec<_> = locked.map(|(user, _)| user.clone()).collect();
        drop(state);
        users.sort_by(|a, b| {
            (&a.mount_accessor, &a.shown_alias).cmp(&(&b.mount_accessor, &b.shown_alias))
        });
        users
    }

    fn lock_state(&self) -> MutexGuard<'_, LockoutState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LockoutState {
    fn remove(&mut self, user: &LockableUser) -> Option<FailedLogins> {
        let removed = self.users.remove(user)?;
        self.unlocked.remove(&removed.order);
        self.locked.remove(&removed.order);
        self.bytes = self.bytes.saturating_sub(user_bytes(user));
        Some(removed)
    }

    /// Adds a user as the newest, and evicts the oldest while there are too many: first users that
    /// are not locked.
    fn insert(
        &mut self,
        user: LockableUser,
        count: u32,
        last: Timestamp,
        locked_until: Option<Timestamp>,
    ) {
        let order = self.next_order;
        self.next_order += 1;
        self.bytes += user_bytes(&user);
        let ordered = if locked_until.is_some() { &mut self.locked } else { &mut self.unlocked };
        ordered.insert(order, user.clone());
        self.users.insert(user, FailedLogins { count, last, locked_until, order });
        while self.bytes > MAX_BYTES {
            let oldest = self.unlocked.pop_first().or_else(|| self.locked.pop_first());
            let Some((_, oldest)) = oldest else { return };
            self.users.remove(&oldest);
            self.bytes = self.bytes.saturating_sub(user_bytes(&oldest));
        }
    }
}

fn user_bytes(user: &LockableUser) -> usize {
    2 * (size_of::<LockableUser>() + user.mount_accessor.len() + user.shown_alias.len())
        + USER_OVERHEAD
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use strongroom_types::clock::ManualClock;

    use super::*;

    fn lockout(settings: LockoutSettings) -> (UserLockout, ManualClock) {
        let clock = ManualClock::default();
        (UserLockout::new(settings, Arc::new(clock.clone())), clock)
    }

    fn user(alias: &str) -> LockableUser {
        LockableUser::new("auth_userpass_1", alias)
    }

    const fn minutes(minutes: u64) -> Duration {
        Duration::from_secs(60 * minutes)
    }

    fn fail(lockout: &UserLockout, alias: &str, times: u32) -> FailureOutcome {
        let fails = (0..times).map(|_| lockout.record_failure("userpass", &user(alias)));
        fails.last().unwrap()
    }

    #[test]
    fn the_fifth_failure_locks_for_a_quarter_of_an_hour() {
        let (lockout, clock) = lockout(LockoutSettings::default());
        assert_eq!(fail(&lockout, "bob", 4), FailureOutcome::Counted);
        assert!(!lockout.is_locked(&user("bob")));
        assert_eq!(fail(&lockout, "bob", 1), FailureOutcome::Locked);
        assert!(lockout.is_locked(&user("bob")) && !lockout.is_locked(&user("eve")));
        assert_eq!(lockout.locked_users(), [user("bob")]);
        // Failures under a lock neither prolong it nor end it.
        clock.advance(minutes(10));
        assert_eq!(fail(&lockout, "bob", 7), FailureOutcome::WasLocked);
        clock.advance(minutes(5));
        assert!(!lockout.is_locked(&user("bob")) && lockout.locked_users().is_empty());
        // The count starts again after a lock.
        assert_eq!(fail(&lockout, "bob", 4), FailureOutcome::Counted);
    }

    #[test]
    fn a_success_or_a_pause_resets_the_count() {
        let (lockout, clock) = lockout(LockoutSettings::default());
        assert_eq!(fail(&lockout, "bob", 4), FailureOutcome::Counted);
        assert!(lockout.record_success(&user("bob")));
        assert_eq!(fail(&lockout, "bob", 4), FailureOutcome::Counted);
        clock.advance(minutes(15));
        assert_eq!(fail(&lockout, "bob", 4), FailureOutcome::Counted);
        assert_eq!(fail(&lockout, "bob", 1), FailureOutcome::Locked);
        // A login that was begun before the lock doesn't end it.
        assert!(!lockout.record_success(&user("bob")) && lockout.is_locked(&user("bob")));
        assert!(lockout.unlock(&user("bob")) && !lockout.is_locked(&user("bob")));
        assert!(!lockout.unlock(&user("bob")));
    }

    #[test]
    fn a_lock_outlasts_a_shorter_reset_of_the_count() {
        let counter_reset = Duration::from_secs(1);
        let policy = LockoutPolicy { counter_reset, threshold: 1, ..LockoutPolicy::default() };
        let by_type = [("userpass".to_owned(), policy)].into();
        let (lockout, clock) = lockout(LockoutSettings { by_type });
        assert_eq!(fail(&lockout, "bob", 1), FailureOutcome::Locked);
        clock.advance(minutes(1));
        assert_eq!(fail(&lockout, "bob", 1), FailureOutcome::WasLocked);
        assert!(lockout.is_locked(&user("bob")));
    }

    #[test]
    fn cve_2025_6004_spellings_of_a_name_share_a_count() {
        let (lockout, _) = lockout(LockoutSettings::default());
        for spelling in ["bob", "BOB", " bob", "bob\t", "Bob "] {
            fail(&lockout, spelling, 1);
        }
        assert!(lockout.is_locked(&user("bob")) && lockout.unlock(&user("BoB")));
    }

    #[test]
    fn policies_are_those_of_the_type() {
        let off = LockoutPolicy { is_enabled: false, ..LockoutPolicy::default() };
        let strict = LockoutPolicy { threshold: 1, ..LockoutPolicy::default() };
        let by_type = [("ldap".to_owned(), off), ("approle".to_owned(), strict)].into();
        let (lockout, _) = lockout(LockoutSettings { by_type });
        for (mount_type, outcome) in [
            ("ldap", FailureOutcome::Counted),
            ("jwt", FailureOutcome::Counted),
            ("approle", FailureOutcome::Locked),
        ] {
            let failed = (0..9).map(|_| lockout.record_failure(mount_type, &user(mount_type)));
            assert_eq!(failed.max_by_key(|it| *it == outcome), Some(outcome), "{mount_type}");
        }
        assert!(lockout.applies_to("userpass") && !lockout.applies_to("jwt"));
        assert!(!lockout.is_locked(&user("ldap")));
    }

    #[test]
    fn memory_is_bounded_in_bytes_and_locks_are_evicted_last() {
        let (lockout, _) = lockout(LockoutSettings::default());
        fail(&lockout, "bob", 5);
        let long = "x".repeat(4000);
        for n in 0..20_000 {
            lockout.record_failure("userpass", &user(&format!("{n}{long}")));
        }
        let state = lockout.lock_state();
        assert!(state.bytes <= MAX_BYTES && state.users.len() > 3000, "{}", state.users.len());
        assert_eq!(state.users.len(), state.unlocked.len() + state.locked.len());
        assert!(state.users.contains_key(&user("bob")), "locked users stay");
        assert!(state.users.contains_key(&user(&format!("19999{long}"))));
        assert!(!state.users.contains_key(&user(&format!("0{long}"))));
    }
}
