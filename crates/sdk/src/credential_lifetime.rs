//! [`Lifetime`]: how long a credential's lease lasts, as its role and the client ask for;
//! [`LifetimeFields`]: the fields of a role for it.

use strongroom_schema::field::FieldSpec;
use strongroom_types::{Fields, Ttl};

use crate::action::read_input;
use crate::field::DurationSecs;
use crate::{Document, Error, FieldGroup, Input};

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

/// The fields `ttl` and `max_ttl` of a role, or of a document such as Vault's `config/lease`; a
/// document embeds them with `#[field(embed)]`. A write is refused if `ttl` is longer than a
/// `max_ttl` that is set.
///
/// ```
/// use strongroom_sdk::{CommaList, Document, LifetimeFields};
///
/// /// The permissions and lifetimes of a token.
/// #[derive(Document)]
/// #[document(path = "roles/{name}")]
/// struct Role {
///     /// Permissions of the token.
///     permissions: CommaList,
///     #[field(embed)]
///     lifetime: LifetimeFields,
/// }
///
/// // In the credential: `fn lifetime(role: &Role) -> Lifetime { role.lifetime.to_lifetime() }`
/// ```
#[derive(Clone, Debug, Default, FieldGroup)]
#[document(validate = LifetimeFields::check)]
pub struct LifetimeFields {
    /// Lifetime of a lease until it is renewed; 0 for the usual one of the engine or the mount.
    pub ttl: DurationSecs,
    /// Lifetime beyond which a lease can't be renewed; 0 for the usual one of the engine or the
    /// mount.
    pub max_ttl: DurationSecs,
}

impl LifetimeFields {
    /// The lifetimes, for [`Credential::lifetime`](crate::Credential::lifetime) and
    /// [`Credential::usual_lifetime`](crate::Credential::usual_lifetime).
    pub fn to_lifetime(&self) -> Lifetime {
        Lifetime { ttl: self.ttl.0, max_ttl: self.max_ttl.0 }
    }

    fn check(&self) -> Result<(), String> {
        self.to_lifetime().check()
    }
}

/// The lifetimes of leases whose roles set none: Vault's `config/lease`. An engine declares it with
/// `.document::<LeaseConfig>()`, and
/// [`Credential::usual_lifetime`](crate::Credential::usual_lifetime) then reads it.
#[derive(Clone, Debug, Document)]
#[document(path = "config/lease")]
pub struct LeaseConfig {
    /// The lifetimes.
    #[field(embed)]
    pub lifetime: LifetimeFields,
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
        let read: RequestedLifetimeFields = read_input(fields)?;
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
    use strongroom_schema::field::FieldGroup;

    use super::*;

    fn lifetime(ttl: u64, max_ttl: u64) -> Lifetime {
        Lifetime { ttl: Ttl::from_secs(ttl), max_ttl: Ttl::from_secs(max_ttl) }
    }

    #[test]
    fn embedded_lifetimes_are_checked_and_taken_over() {
        let read = |json: &[u8]| LifetimeFields::from_fields(&Fields::from_trusted(json).unwrap());
        let fields = read(br#"{"ttl":"1m","max_ttl":"1h"}"#).unwrap();
        assert_eq!(fields.to_lifetime(), lifetime(60, 3600));
        assert!(fields.validate().is_ok() && read(b"{}").unwrap().validate().is_ok());
        let wrong = read(br#"{"ttl":"2h","max_ttl":"1h"}"#).unwrap();
        assert_eq!(wrong.validate().unwrap_err(), "ttl must not be longer than max_ttl");
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
