//! [`Lifetime`]: how long a credential's lease lasts, as its role and the client ask for.

use strongroom_schema::field::{FieldSpec, InvalidInput};
use strongroom_types::{Fields, Ttl};

use crate::field::DurationSecs;
use crate::{Error, Input};

/// The lifetimes that a role sets. Zero means "not set": then
/// [`Credential::usual_lifetime`](crate::Credential::usual_lifetime) applies, and after that
/// the mount's configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lifetime {
    /// The lifetime until the first renewal.
    pub ttl: Ttl,
    /// The maximum lifetime since issuing, which no renewal can exceed.
    pub max_ttl: Ttl,
}

impl Lifetime {
    /// These lifetimes, with those that are zero taken from `other`.
    #[must_use]
    pub fn with_fallback(self, other: Self) -> Self {
        Self {
            ttl: self.ttl.nonzero_or(other.ttl),
            max_ttl: self.max_ttl.nonzero_or(other.max_ttl),
        }
    }

    /// Checks that the first lifetime doesn't exceed the maximum, for a document's `validate`.
    ///
    /// # Errors
    ///
    /// A message for the operator if `ttl` is longer than a `max_ttl` that is set.
    pub fn check(self) -> Result<(), String> {
        if !self.max_ttl.is_zero() && self.ttl > self.max_ttl {
            return Err("ttl must not be longer than max_ttl".to_owned());
        }
        Ok(())
    }
}

/// The lifetimes that a client asks for, if
/// [`Credential::CLIENT_SETS_LIFETIME`](crate::Credential::CLIENT_SETS_LIFETIME) allows it.
#[derive(Input)]
struct RequestedLifetimeFields {
    /// Lifetime of the credential until it is renewed, at most the maximum of the role and of the
    /// mount. Without it, that of the role.
    ttl: DurationSecs,
    /// Lifetime beyond which the credential can't be renewed, at most the maximum of the role and of
    /// the mount. Without it, that maximum.
    max_ttl: DurationSecs,
}

/// The fields with which a client asks for lifetimes.
pub(crate) const REQUESTED_LIFETIME_FIELDS: &[FieldSpec] = RequestedLifetimeFields::FIELDS;

/// The lifetimes that a client asked for at issuing; they apply to renewals as well. Zero where the
/// client left them open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RequestedLifetime(pub(crate) Lifetime);

impl RequestedLifetime {
    pub(crate) fn read(fields: &Fields) -> Result<Self, Error> {
        let read = RequestedLifetimeFields::from_fields(fields);
        let read = read.map_err(|error: InvalidInput| Error::user(error.to_string()))?;
        let asked = Lifetime { ttl: read.ttl.0, max_ttl: read.max_ttl.0 };
        asked.check().map_err(Error::user)?;
        Ok(Self(asked))
    }

    /// The lifetimes of a role, changed as the client asked: another lifetime until the first
    /// renewal, and a maximum that is not longer. The host limits the lifetime to the maximum, and
    /// warns the client.
    pub(crate) fn apply_to(self, role: Lifetime) -> Lifetime {
        Lifetime {
            ttl: self.0.ttl.nonzero_or(role.ttl),
            max_ttl: shorter_ttl(self.0.max_ttl, role.max_ttl),
        }
    }
}

/// The shorter of two limits, where zero means no limit.
pub(crate) fn shorter_ttl(one: Ttl, other: Ttl) -> Ttl {
    one.nonzero_or(other).capped_by(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lifetime(ttl: u64, max_ttl: u64) -> Lifetime {
        Lifetime { ttl: Ttl::from_secs(ttl), max_ttl: Ttl::from_secs(max_ttl) }
    }

    #[test]
    fn a_client_shortens_the_maximum_and_never_extends_it() {
        let apply = |asked, role| RequestedLifetime(asked).apply_to(role);
        assert_eq!(apply(lifetime(0, 0), lifetime(60, 600)), lifetime(60, 600));
        assert_eq!(apply(lifetime(90, 0), lifetime(60, 600)), lifetime(90, 600));
        assert_eq!(apply(lifetime(0, 300), lifetime(60, 600)), lifetime(60, 300));
        assert_eq!(apply(lifetime(0, 900), lifetime(60, 600)), lifetime(60, 600));
        assert_eq!(apply(lifetime(0, 900), lifetime(60, 0)), lifetime(60, 900));
    }
}
