//! [`Capabilities`]: what can be granted on a path.

use std::fmt;

/// One thing a token may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u16)]
pub enum Capability {
    /// Refuses everything, whatever else is granted.
    Deny = 1,
    /// Write what isn't there.
    Create = 1 << 1,
    /// Read.
    Read = 1 << 2,
    /// Write what is there.
    Update = 1 << 3,
    /// Delete.
    Delete = 1 << 4,
    /// List.
    List = 1 << 5,
    /// In addition to another one, use a root-protected path.
    Sudo = 1 << 6,
    /// Merge.
    Patch = 1 << 7,
    /// List recursively (OpenBao).
    Scan = 1 << 8,
    /// Subscribe to events (HashiCorp).
    Subscribe = 1 << 9,
    /// Recover from a snapshot (HashiCorp).
    Recover = 1 << 10,
}

impl Capability {
    /// All of them, in the order of their names.
    pub const ALL: [Self; 11] = [
        Self::Create,
        Self::Delete,
        Self::Deny,
        Self::List,
        Self::Patch,
        Self::Read,
        Self::Recover,
        Self::Scan,
        Self::Subscribe,
        Self::Sudo,
        Self::Update,
    ];

    /// Its name in policies and answers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Deny => "deny",
            Self::Create => "create",
            Self::Read => "read",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::List => "list",
            Self::Sudo => "sudo",
            Self::Patch => "patch",
            Self::Scan => "scan",
            Self::Subscribe => "subscribe",
            Self::Recover => "recover",
        }
    }

    /// The capability of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|capability| capability.name() == name)
    }
}

/// A set of capabilities.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Capabilities(u16);

impl Capabilities {
    /// None.
    pub const NONE: Self = Self(0);

    /// With one more.
    #[must_use]
    pub const fn with(self, capability: Capability) -> Self {
        Self(self.0 | capability as u16)
    }

    /// Those of both, where a denial leaves nothing but itself.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        let both = Self(self.0 | other.0);
        if both.is_denied() { Self::NONE.with(Capability::Deny) } else { both }
    }

    /// Those that both have. A denial in one of them denies.
    #[must_use]
    pub fn intersection(self, other: Self) -> Self {
        let denies = self.is_denied() || other.is_denied();
        if denies { Self::NONE.with(Capability::Deny) } else { Self(self.0 & other.0) }
    }

    /// Whether `capability` is granted. A denial grants nothing.
    pub fn allows(self, capability: Capability) -> bool {
        !self.is_denied() && self.0 & capability as u16 != 0
    }

    /// Whether nothing is granted.
    pub fn is_empty(self) -> bool {
        self.0 == 0 || self.is_denied()
    }

    /// Whether everything is refused.
    pub fn is_denied(self) -> bool {
        self.0 & Capability::Deny as u16 != 0
    }

    /// The names, sorted; `deny` alone where nothing is granted.
    pub fn names(self) -> Vec<&'static str> {
        let granted = Capability::ALL.into_iter().filter(|c| self.allows(*c));
        let names: Vec<_> = granted.map(Capability::name).collect();
        if names.is_empty() { vec!["deny"] } else { names }
    }
}

impl fmt::Debug for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

impl FromIterator<Capability> for Capabilities {
    fn from_iter<I: IntoIterator<Item = Capability>>(capabilities: I) -> Self {
        let all = capabilities.into_iter().fold(Self::NONE, Self::with);
        all.union(Self::NONE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn denial_beats_everything() {
        let granted = Capabilities::from_iter([Capability::Read, Capability::Update]);
        let denied = granted.union(Capabilities::NONE.with(Capability::Deny));
        assert!(granted.allows(Capability::Read) && !granted.allows(Capability::List));
        assert!(!denied.allows(Capability::Read));
        assert_eq!(denied.names(), ["deny"]);
        assert_eq!(granted.names(), ["read", "update"]);
        assert_eq!(Capabilities::NONE.names(), ["deny"]);
    }

    #[test]
    fn names_read_back_and_are_sorted() {
        let names = Capability::ALL.map(Capability::name);
        assert!(names.is_sorted());
        for capability in Capability::ALL {
            assert_eq!(Capability::parse(capability.name()), Some(capability));
        }
        assert_eq!(Capability::parse("fly"), None);
    }
}
