//! Computes token lifetimes. Pure arithmetic; see
//! <https://developer.hashicorp.com/vault/docs/concepts/tokens>.

use strongroom_core::leases::lifetimes::{GrantedTtl, cap_warning};
use strongroom_engine::MountLifetimes;
use strongroom_types::{Timestamp, Ttl};

/// The limits that apply to the lifetime of a token.
#[derive(Clone, Copy, Debug)]
pub(super) struct TokenLimits {
    /// The default and maximum lifetime of the mount `auth/token`.
    pub(super) mount_lifetimes: MountLifetimes,
    /// The period that each renewal grants; zero for a token that isn't periodic.
    pub(super) period: Ttl,
    /// The maximum age, counted from the token's creation; zero for none.
    pub(super) explicit_max: Ttl,
}

/// A granted lifetime, and the time at which it ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct GrantedLifetime {
    pub(super) granted: GrantedTtl,
    pub(super) expires: Timestamp,
}

impl TokenLimits {
    /// The lifetime, from `now` on, of a token created at `issued`: `asked`, else `usual`, else the
    /// mount's default, capped by the limits; a periodic token gets its period. `None` if the
    /// limits have been reached.
    pub(super) fn grant_lifetime(
        &self,
        asked: Ttl,
        usual: Ttl,
        issued: Timestamp,
        now: Timestamp,
    ) -> Option<GrantedLifetime> {
        let longest = self.mount_lifetimes.max.capped_by(self.explicit_max);
        let mut warnings = Vec::new();
        let periodic = !self.period.is_zero();
        let wanted = if periodic {
            if self.period > longest {
                warnings.push(format!(
                    "period of \"{}\" exceeded the effective max_ttl of \"{}\"; period value is capped accordingly",
                    self.period.to_short_string(),
                    longest.to_short_string()
                ));
            }
            self.period.min(longest)
        } else {
            asked.nonzero_or(usual).nonzero_or(self.mount_lifetimes.default)
        };
        let age = if periodic { self.explicit_max } else { longest };
        if age.is_zero() {
            let expires = now.plus(wanted.as_duration());
            return Some(GrantedLifetime {
                granted: GrantedTtl { ttl: wanted, warnings },
                expires,
            });
        }
        let end = issued.plus(age.as_duration());
        // Rounded up to whole seconds, so that a token just created isn't capped.
        let left = end.since(now);
        let left = Ttl::from_secs(left.as_secs() + u64::from(left.subsec_nanos() > 0));
        if left.is_zero() {
            return None;
        }
        if wanted > left {
            warnings.push(cap_warning(wanted, left));
        }
        let ttl = wanted.min(left);
        // The expiry time isn't rounded.
        let expires = now.plus(ttl.as_duration()).min(end);
        Some(GrantedLifetime { granted: GrantedTtl { ttl, warnings }, expires })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn secs(secs: u64) -> Ttl {
        Ttl::from_secs(secs)
    }

    fn limits(default: u64, max: u64, period: u64, explicit: u64) -> TokenLimits {
        let mount = MountLifetimes { default: secs(default), max: secs(max) };
        TokenLimits { mount_lifetimes: mount, period: secs(period), explicit_max: secs(explicit) }
    }

    #[test]
    fn a_new_token_gets_what_it_asks_within_bounds() {
        let at = Timestamp::from_secs(1000);
        let new = |terms: TokenLimits, asked| {
            terms.grant_lifetime(secs(asked), Ttl::ZERO, at, at).unwrap().granted
        };
        assert_eq!(new(limits(60, 600, 0, 0), 0).ttl, secs(60));
        assert_eq!(new(limits(60, 600, 0, 0), 90).ttl, secs(90));
        let capped = new(limits(60, 7200, 0, 3600), 18_000);
        assert_eq!(
            (capped.ttl, capped.warnings.join("")),
            (
                secs(3600),
                "TTL of \"5h\" exceeded the effective max_ttl of \"1h\"; TTL value is capped accordingly".to_owned()
            )
        );
        let periodic = new(limits(60, 7200, 18_000, 3600), 0);
        assert_eq!(
            (periodic.ttl, periodic.warnings.join("")),
            (
                secs(3600),
                "period of \"5h\" exceeded the effective max_ttl of \"1h\"; period value is capped accordingly".to_owned()
            )
        );
        assert_eq!(
            new(limits(60, 600, 90, 9000), 30).ttl,
            secs(90),
            "the period, whatever is asked"
        );
    }

    proptest::proptest! {
        /// However often a token is renewed, and by whatever increment, it expires within its
        /// limits.
        #[test]
        fn no_renewal_goes_beyond_the_bounds(
            default in 1_u64..500, max in 1_u64..500, period in 0_u64..300, explicit in 0_u64..800,
            first in 0_u64..900, steps in proptest::collection::vec((0_u64..900, 0_u64..400_000), 0..12),
        ) {
            let terms = limits(default, max, period, explicit);
            let issued = Timestamp::from_secs(50);
            let mut life = terms.grant_lifetime(secs(first), Ttl::ZERO, issued, issued).unwrap();
            let mut now = issued;
            for (asked, millis) in steps {
                proptest::prop_assert!(life.granted.ttl.as_secs() > 0);
                let since = |at: Timestamp| at.since(issued);
                if explicit > 0 {
                    proptest::prop_assert!(since(life.expires) <= Duration::from_secs(explicit));
                }
                if period == 0 {
                    proptest::prop_assert!(since(life.expires) <= Duration::from_secs(max));
                } else {
                    // Each renewal grants the full period, unless a limit is nearer.
                    let given = life.expires.since(now);
                    let whole = Duration::from_secs(period.min(max));
                    let bound = explicit > 0 && life.expires == issued.plus(Duration::from_secs(explicit));
                    let capped = explicit > 0 && explicit < period.min(max);
                    proptest::prop_assert!(given <= whole && (given == whole || bound || capped));
                }
                now = now.plus(Duration::from_millis(millis));
                if now >= life.expires {
                    break;
                }
                match terms.grant_lifetime(secs(asked), life.granted.ttl, issued, now) {
                    Some(next) => life = next,
                    // A token that has not expired can always be renewed.
                    None => proptest::prop_assert!(false, "{now} {life:?}"),
                }
            }
        }
    }
}
