//! [`Capabilities`]: the set of operations a policy can grant on a path.

use std::fmt;

/// An operation that a policy rule can grant on a path. Each is one bit of a [`Capabilities`] set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u16)]
pub enum Capability {
    /// Refuses every operation, overriding all other capabilities.
    Deny = 1,
    /// Write at a path where nothing exists yet.
    Create = 1 << 1,
    /// Read the data at a path.
    Read = 1 << 2,
    /// Write at a path where something exists already.
    Update = 1 << 3,
    /// Delete the data at a path.
    Delete = 1 << 4,
    /// List the keys directly under a path.
    List = 1 << 5,
    /// Use a root-protected path, in addition to the operation's own capability.
    Sudo = 1 << 6,
    /// Partially update the data at a path (JSON merge patch).
    Patch = 1 << 7,
    /// List keys recursively; known from OpenBao.
    Scan = 1 << 8,
    /// Subscribe to events; known from Vault, and needed by no operation of this server.
    Subscribe = 1 << 9,
    /// Recover from a snapshot; known from Vault, and needed by no operation of this server.
    Recover = 1 << 10,
}

impl Capability {
    /// All capabilities, sorted by name.
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

    /// The name in lower case, such as `create`, that policies and API responses use.
    /// [`Capability::parse`] accepts the same names.
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

    /// The capability with this name; `None` for any other text. Names are compared exactly, so
    /// upper case is not accepted.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|capability| capability.name() == name)
    }
}

/// A set of capabilities; copying it is free. The default is the empty set, which grants nothing.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Capabilities(u16);

impl Capabilities {
    /// The empty set, which grants nothing.
    pub const NONE: Self = Self(0);

    /// The set with one more capability.
    #[must_use]
    pub const fn with(self, capability: Capability) -> Self {
        Self(self.0 | capability as u16)
    }

    /// The capabilities that either set has; only `deny` if one of them has it.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        let both = Self(self.0 | other.0);
        if both.is_denied() { Self::NONE.with(Capability::Deny) } else { both }
    }

    /// The capabilities that both sets have; only `deny` if one of them has it.
    #[must_use]
    pub fn intersection(self, other: Self) -> Self {
        let denies = self.is_denied() || other.is_denied();
        if denies { Self::NONE.with(Capability::Deny) } else { Self(self.0 & other.0) }
    }

    /// Whether the set grants `capability`; false for every one if it has `deny`.
    pub fn allows(self, capability: Capability) -> bool {
        !self.is_denied() && self.0 & capability as u16 != 0
    }

    /// Whether the set grants nothing: it is empty or has `deny`. Every operation is then refused,
    /// as [`Capabilities::allows`] reports.
    pub fn is_empty(self) -> bool {
        self.0 == 0 || self.is_denied()
    }

    /// Whether the set has `deny`, which refuses every operation. The other capabilities of the set
    /// then have no effect.
    pub fn is_denied(self) -> bool {
        self.0 & Capability::Deny as u16 != 0
    }

    /// The names of the granted capabilities, sorted; just `deny` if there are none. Each of them
    /// is a name that [`Capability::parse`] accepts.
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
