//! [`LifetimeLimits`]: how long leases and tokens live. Every lifetime that a server grants is
//! computed here: at issue and at renewal, of leases, logins and tokens, and by the SDK's test host.

use strongroom_types::{Timestamp, Ttl};

use crate::MountLifetimes;

/// The limits on the lifetime of a lease or token. Zero means that there is no such limit, except
/// in `mount`, whose values are always set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LifetimeLimits {
    /// The default and maximum of the mount, with the server's where the mount has none.
    pub mount: MountLifetimes,
    /// The period that each renewal of a periodic token grants; zero for all others.
    pub period: Ttl,
    /// The maximum set by the engine, auth method or role, counted from the time of issue. It ends
    /// no periodic token, and only caps its period.
    pub max: Ttl,
    /// The explicit maximum of a token, counted from its creation. It caps the period of a periodic
    /// token and ends it, too.
    pub explicit_max: Ttl,
}

/// A lifetime as granted at issue or renewal, within all limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantedLifetime {
    /// The lifetime from now on, in whole seconds.
    pub ttl: Ttl,
    /// When it ends; up to a second before `ttl` has passed, since limits aren't rounded.
    pub expires: Timestamp,
    /// Warnings for the client: that less was granted than requested or configured.
    pub warnings: Vec<String>,
}

impl LifetimeLimits {
    /// The limits of a mount alone.
    pub fn of_mount(mount: MountLifetimes) -> Self {
        Self { mount, period: Ttl::ZERO, max: Ttl::ZERO, explicit_max: Ttl::ZERO }
    }

    /// The lifetime from `now` on of a lease or token issued at `issued`, which at issue is `now`.
    ///
    /// A periodic token gets its period. All others get the first of these that isn't zero: `asked`,
    /// which the client requested, then `usual`, which the engine set or the last renewal granted,
    /// then the mount's default. The result is capped by the limits, with a warning.
    ///
    /// Returns `None` if a limit has been reached already.
    ///
    /// # Examples
    ///
    /// ```
    /// use strongroom_engine::{LifetimeLimits, MountLifetimes};
    /// use strongroom_types::{Timestamp, Ttl};
    ///
    /// let mount = MountLifetimes { default: Ttl::from_secs(60), max: Ttl::from_secs(600) };
    /// let limits = LifetimeLimits::of_mount(mount);
    /// let (issued, now) = (Timestamp::from_secs(1000), Timestamp::from_secs(1590));
    /// let granted = limits.grant(Ttl::ZERO, Ttl::ZERO, issued, now).unwrap();
    /// assert_eq!((granted.ttl.as_secs(), granted.expires), (10, Timestamp::from_secs(1600)));
    /// assert_eq!(granted.warnings.len(), 1);
    /// assert!(limits.grant(Ttl::ZERO, Ttl::ZERO, issued, granted.expires).is_none());
    /// ```
    pub fn grant(
        &self,
        asked: Ttl,
        usual: Ttl,
        issued: Timestamp,
        now: Timestamp,
    ) -> Option<GrantedLifetime> {
        let longest = self.mount.max.capped_by(self.max).capped_by(self.explicit_max);
        let mut warnings = Vec::new();
        let is_periodic = !self.period.is_zero();
        let wanted = if is_periodic {
            if self.period > longest {
                warnings.push(cap_warning(Capped::Period, self.period, longest));
            }
            self.period.min(longest)
        } else {
            asked.nonzero_or(usual).nonzero_or(self.mount.default)
        };
        let max_age = if is_periodic { self.explicit_max } else { longest };
        if is_periodic && max_age.is_zero() {
            return Some(GrantedLifetime {
                ttl: wanted,
                expires: now.plus(wanted.as_duration()),
                warnings,
            });
        }
        let end = issued.plus(max_age.as_duration());
        // Rounded up, so that a lease that was just issued isn't capped.
        let left = Ttl::rounded_up(end.since(now));
        if left.is_zero() {
            return None;
        }
        if wanted > left {
            warnings.push(cap_warning(Capped::Ttl, wanted, left));
        }
        let ttl = wanted.min(left);
        let expires = now.plus(ttl.as_duration()).min(end);
        Some(GrantedLifetime { ttl, expires, warnings })
    }
}

impl GrantedLifetime {
    /// Shortens the lifetime so that it ends at `end` at the latest. `None` if less than a second is
    /// left until then.
    pub fn ending_by(self, end: Timestamp, now: Timestamp) -> Option<Self> {
        let left = Ttl::from_duration(end.since(now));
        let (ttl, expires) = (self.ttl.min(left), self.expires.min(end));
        (!left.is_zero()).then_some(Self { ttl, expires, ..self })
    }
}

/// What was capped, for the warning.
#[derive(Clone, Copy)]
enum Capped {
    Ttl,
    Period,
}

/// The warning about a capped lifetime, with the text that clients of existing servers know.
fn cap_warning(capped: Capped, wanted: Ttl, longest: Ttl) -> String {
    let (name, value) = match capped {
        Capped::Ttl => ("TTL", "TTL value"),
        Capped::Period => ("period", "period value"),
    };
    let (wanted, longest) = (wanted.to_short_string(), longest.to_short_string());
    format!(
        "{name} of \"{wanted}\" exceeded the effective max_ttl of \"{longest}\"; {value} is capped accordingly"
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn secs(secs: u64) -> Ttl {
        Ttl::from_secs(secs)
    }

    fn limits(default: u64, max: u64, period: u64, explicit: u64) -> LifetimeLimits {
        LifetimeLimits {
            mount: MountLifetimes { default: secs(default), max: secs(max) },
            period: secs(period),
            max: Ttl::ZERO,
            explicit_max: secs(explicit),
        }
    }

    const ISSUED: Timestamp = Timestamp::from_secs(1000);

    fn at_issue(limits: LifetimeLimits, asked: u64) -> GrantedLifetime {
        limits.grant(secs(asked), Ttl::ZERO, ISSUED, ISSUED).unwrap()
    }

    #[test]
    fn issue_grants_the_requested_ttl_within_the_limits() {
        assert_eq!(at_issue(limits(60, 600, 0, 0), 0).ttl, secs(60));
        assert_eq!(at_issue(limits(60, 600, 0, 0), 90).ttl, secs(90));
        let of_role = LifetimeLimits { max: secs(30), ..limits(60, 600, 0, 0) };
        let capped = at_issue(of_role, 0);
        assert_eq!((capped.ttl, capped.warnings.len()), (secs(30), 1), "as on OpenBao");
        let capped = at_issue(limits(60, 7200, 0, 3600), 18_000);
        assert_eq!(capped.ttl, secs(3600));
        assert_eq!(
            capped.warnings,
            [
                "TTL of \"5h\" exceeded the effective max_ttl of \"1h\"; TTL value is capped accordingly"
            ]
        );
    }

    #[test]
    fn a_periodic_token_gets_its_period_whatever_is_asked() {
        assert_eq!(at_issue(limits(60, 600, 90, 9000), 30).ttl, secs(90));
        let capped = at_issue(limits(60, 7200, 18_000, 3600), 0);
        assert_eq!(capped.ttl, secs(3600));
        assert_eq!(
            capped.warnings,
            [
                "period of \"5h\" exceeded the effective max_ttl of \"1h\"; period value is capped accordingly"
            ]
        );
        let of_method = LifetimeLimits { max: secs(40), ..limits(60, 600, 90, 0) };
        assert_eq!(at_issue(of_method, 0).ttl, secs(40));
        let much_later = ISSUED.plus(Duration::from_secs(1_000_000));
        let again = limits(60, 600, 90, 0).grant(secs(30), secs(90), ISSUED, much_later);
        assert_eq!(again.unwrap().ttl, secs(90), "no other maximum ends it");
    }

    #[test]
    fn renewals_count_from_now_and_end_at_the_limit() {
        let renew = |asked, now| {
            limits(30, 600, 0, 0).grant(secs(asked), secs(60), ISSUED, Timestamp::from_secs(now))
        };
        assert_eq!(renew(0, 1500).unwrap().ttl, secs(60));
        assert_eq!(renew(10, 1500).unwrap().ttl, secs(10), "a smaller increment shortens");
        let capped = renew(300, 1500).unwrap();
        assert_eq!((capped.ttl, capped.warnings.len()), (secs(100), 1));
        assert_eq!(renew(0, 1600), None);
        assert_eq!(renew(0, 9999), None);
    }

    #[test]
    fn the_time_of_expiry_is_not_rounded_beyond_a_limit() {
        let now = ISSUED.plus(Duration::from_millis(590_500));
        let granted = limits(60, 600, 0, 0).grant(Ttl::ZERO, Ttl::ZERO, ISSUED, now).unwrap();
        assert_eq!((granted.ttl, granted.expires), (secs(10), Timestamp::from_secs(1600)));
    }

    #[test]
    fn a_lifetime_can_be_made_to_end_by_a_time() {
        let end = |secs: i64| Timestamp::from_secs(1000 + secs);
        let granted = at_issue(limits(60, 600, 0, 0), 0);
        assert_eq!(granted.clone().ending_by(end(90), ISSUED), Some(granted.clone()));
        let shorter = granted.clone().ending_by(end(20), ISSUED).unwrap();
        assert_eq!((shorter.ttl, shorter.expires), (secs(20), end(20)));
        let almost_over = end(20).minus(Duration::from_millis(500));
        assert_eq!(granted.ending_by(end(20), almost_over), None);
    }

    proptest::proptest! {
        /// However often a lease or token is renewed, and by whatever increment, it expires within
        /// its limits.
        #[test]
        fn no_renewal_goes_beyond_the_limits(
            default in 1_u64..500, mount_max in 1_u64..500, period in 0_u64..300,
            max in 0_u64..800, explicit in 0_u64..800, first in 0_u64..900,
            steps in proptest::collection::vec((0_u64..900, 0_u64..400_000), 0..12),
        ) {
            let limits =
                LifetimeLimits { max: secs(max), ..limits(default, mount_max, period, explicit) };
            let mut life = at_issue(limits, first);
            let mut now = ISSUED;
            let longest = secs(mount_max).capped_by(limits.max).as_secs();
            for (asked, millis) in steps {
                proptest::prop_assert!(life.ttl.as_secs() > 0);
                let age = life.expires.since(ISSUED);
                if explicit > 0 {
                    proptest::prop_assert!(age <= Duration::from_secs(explicit));
                }
                if period == 0 {
                    proptest::prop_assert!(age <= Duration::from_secs(longest));
                } else {
                    // Each renewal grants the full period, unless a limit is nearer.
                    let given = life.expires.since(now);
                    let whole = Duration::from_secs(period.min(longest));
                    let end = ISSUED.plus(Duration::from_secs(explicit));
                    let is_bounded = explicit > 0 && life.expires == end;
                    let is_capped = explicit > 0 && explicit < period.min(longest);
                    proptest::prop_assert!(given <= whole);
                    proptest::prop_assert!(given == whole || is_bounded || is_capped);
                }
                now = now.plus(Duration::from_millis(millis));
                if now >= life.expires {
                    break;
                }
                match limits.grant(secs(asked), life.ttl, ISSUED, now) {
                    Some(next) => life = next,
                    // What has not expired can always be renewed.
                    None => proptest::prop_assert!(false, "{now} {life:?}"),
                }
            }
        }
    }
}
