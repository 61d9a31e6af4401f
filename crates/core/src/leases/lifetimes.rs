//! Computes the lifetimes of leases and tokens. Pure arithmetic.

use strongroom_engine::MountLifetimes;
use strongroom_types::{Timestamp, Ttl};

/// A lifetime as granted, with warnings for the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantedTtl {
    /// The granted lifetime, counted from the time of issue or renewal.
    pub ttl: Ttl,
    /// Warnings for the response: that less was granted than requested, and those of an auth method
    /// or role.
    pub warnings: Vec<String>,
}

/// The limits on a lifetime. Zero means no limit, except in `mount`, whose values are always set.
#[derive(Clone, Copy, Debug)]
pub struct TtlBounds {
    /// The effective default and maximum of the mount, with the server's where it has none.
    pub mount: MountLifetimes,
    /// The maximum set by the engine or role for this lease; zero for none.
    pub max: Ttl,
    /// The explicit maximum age, which no renewal extends; zero for none.
    pub explicit_max: Ttl,
}

impl TtlBounds {
    /// The limits of a mount, without any maximum of the engine or an explicit one.
    pub fn from_mount(mount: MountLifetimes) -> Self {
        Self { mount, max: Ttl::ZERO, explicit_max: Ttl::ZERO }
    }

    fn effective_max_ttl(&self) -> Ttl {
        self.mount.max.capped_by(self.max).capped_by(self.explicit_max)
    }
}

/// The lifetime of a new lease or token: `asked`, else the mount's default, capped by the limits.
/// Warns if a requested lifetime was capped.
pub fn ttl_at_issue(asked: Ttl, bounds: TtlBounds) -> GrantedTtl {
    let wanted = asked.nonzero_or(bounds.mount.default);
    let longest = bounds.effective_max_ttl();
    let mut warnings = Vec::new();
    if wanted > longest && !asked.is_zero() {
        warnings.push(cap_warning(asked, longest));
    }
    GrantedTtl { ttl: wanted.min(longest), warnings }
}

/// The lifetime after a renewal at `now` of a lease or token issued at `issued`: `asked`, else
/// `usual`, else the mount's default, counted from `now` and ending within the limits, which count
/// from `issued`. `None` if they have been reached.
pub fn ttl_at_renewal(
    asked: Ttl,
    usual: Ttl,
    issued: Timestamp,
    now: Timestamp,
    bounds: TtlBounds,
) -> Option<GrantedTtl> {
    let wanted = asked.nonzero_or(usual).nonzero_or(bounds.mount.default);
    let end = issued.plus(bounds.effective_max_ttl().as_duration());
    // Rounded up to whole seconds, so that a lease just issued isn't capped.
    let left = end.since(now);
    let whole = u64::from(left.subsec_nanos() > 0).saturating_add(left.as_secs());
    let left = Ttl::from_secs(whole);
    if left.is_zero() {
        return None;
    }
    let mut warnings = Vec::new();
    if wanted > left {
        warnings.push(cap_warning(wanted, left));
    }
    Some(GrantedTtl { ttl: wanted.min(left), warnings })
}

/// The initial lifetime of a periodic token: its period, capped by the limits, with a warning if it
/// was.
pub fn periodic_at_issue(period: Ttl, mount: MountLifetimes, explicit_max: Ttl) -> GrantedTtl {
    let ttl = period.capped_by(mount.max).capped_by(explicit_max);
    let mut warnings = Vec::new();
    if ttl < period {
        warnings.push(format!(
            "period of \"{}\" exceeded the effective max_ttl of \"{}\"; period value is capped accordingly",
            period.to_short_string(),
            ttl.to_short_string(),
        ));
    }
    GrantedTtl { ttl, warnings }
}

/// The lifetime of a periodic token after a renewal: its period from `now`, capped by the mount's
/// maximum, whatever was requested. Only the explicit maximum, counted from `issued`, ends it;
/// `None` once that is reached.
pub fn periodic_at_renewal(
    period: Ttl,
    issued: Timestamp,
    now: Timestamp,
    mount: MountLifetimes,
    explicit_max: Ttl,
) -> Option<GrantedTtl> {
    let period = period.capped_by(mount.max);
    if explicit_max.is_zero() {
        return Some(GrantedTtl { ttl: period, warnings: Vec::new() });
    }
    let only = TtlBounds::from_mount(MountLifetimes { default: period, max: explicit_max });
    ttl_at_renewal(period, period, issued, now, only)
}

/// Shortens a lifetime so that it ends at `end` at the latest. `None` if `end` has passed.
pub(crate) fn bounded_by(
    granted: GrantedTtl,
    end: Timestamp,
    now: Timestamp,
) -> Option<GrantedTtl> {
    let left = Ttl::from_duration(end.since(now));
    let ttl = granted.ttl.min(left);
    (!left.is_zero()).then_some(GrantedTtl { ttl, ..granted })
}

/// The warning about a capped lifetime, worded as on existing servers.
pub fn cap_warning(asked: Ttl, longest: Ttl) -> String {
    format!(
        "TTL of \"{}\" exceeded the effective max_ttl of \"{}\"; TTL value is capped accordingly",
        asked.to_short_string(),
        longest.to_short_string(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(secs: u64) -> Ttl {
        Ttl::from_secs(secs)
    }

    fn bounds(default: u64, max: u64, role: u64, explicit: u64) -> TtlBounds {
        let mount = MountLifetimes { default: secs(default), max: secs(max) };
        TtlBounds { mount, max: secs(role), explicit_max: secs(explicit) }
    }

    #[test]
    fn issue_grants_the_requested_ttl_within_bounds() {
        assert_eq!(ttl_at_issue(secs(0), bounds(60, 600, 0, 0)).ttl, secs(60));
        assert_eq!(ttl_at_issue(secs(90), bounds(60, 600, 0, 0)).ttl, secs(90));
        assert_eq!(
            ttl_at_issue(secs(0), bounds(60, 600, 30, 0)),
            GrantedTtl { ttl: secs(30), warnings: vec![] }
        );
        let capped = ttl_at_issue(secs(3600), bounds(60, 600, 0, 0));
        assert_eq!(capped.ttl, secs(600));
        assert_eq!(
            capped.warnings,
            [
                "TTL of \"1h\" exceeded the effective max_ttl of \"10m\"; TTL value is capped accordingly"
            ]
        );
    }

    #[test]
    fn renewals_count_from_now_and_end_at_the_bound() {
        let at = Timestamp::from_secs;
        let renew = |asked, now| {
            ttl_at_renewal(secs(asked), secs(60), at(1000), at(now), bounds(30, 600, 0, 0))
        };
        assert_eq!(renew(0, 1500).unwrap().ttl, secs(60));
        assert_eq!(renew(10, 1500).unwrap().ttl, secs(10), "a smaller increment shortens");
        let capped = renew(300, 1500).unwrap();
        assert_eq!((capped.ttl, capped.warnings.len()), (secs(100), 1));
        assert_eq!(renew(0, 1600), None);
        assert_eq!(renew(0, 9999), None);
    }

    proptest::proptest! {
        #[test]
        fn no_ttl_exceeds_its_bounds(
            asked in 0_u64..10_000, default in 1_u64..5_000, max in 1_u64..5_000,
            role in 0_u64..5_000, explicit in 0_u64..5_000, age in 0_u64..10_000,
        ) {
            let bounds = bounds(default, max, role, explicit);
            let limit = [max, role, explicit].into_iter().filter(|l| *l > 0).min().unwrap();
            proptest::prop_assert!(ttl_at_issue(secs(asked), bounds).ttl.as_secs() <= limit);
            let (issued, now) = (Timestamp::from_secs(50), Timestamp::from_secs(50 + age as i64));
            match ttl_at_renewal(secs(asked), secs(0), issued, now, bounds) {
                Some(granted) => {
                    proptest::prop_assert!(granted.ttl.as_secs() > 0);
                    proptest::prop_assert!(age + granted.ttl.as_secs() <= limit);
                }
                None => proptest::prop_assert!(age >= limit),
            }
        }
    }
}
