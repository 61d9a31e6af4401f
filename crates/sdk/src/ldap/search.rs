//! [`LdapSearch`] and [`LdapEntry`]: what is searched for, and what a directory answers.

use super::filter::LdapFilter;

/// A search in a directory.
///
/// ```
/// use strongroom_sdk::ldap::{LdapFilter, LdapSearch};
///
/// let filter = LdapFilter::equals("uid", "alice");
/// let search = LdapSearch::below("ou=people,dc=example,dc=com", filter).attributes(["cn"]);
/// # drop(search);
/// ```
#[derive(Clone, Debug)]
pub struct LdapSearch {
    pub(super) base: String,
    pub(super) scope: SearchScope,
    pub(super) filter: LdapFilter,
    pub(super) attributes: Vec<String>,
    pub(super) aliases: AliasDereference,
    pub(super) entry_limit: u32,
    pub(super) page_size: u32,
}

/// Where a search looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SearchScope {
    /// The entry of the base only.
    Entry,
    /// The entry of the base and all entries below it.
    Subtree,
}

/// When a directory follows alias entries (RFC 4511, 4.5.1.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AliasDereference {
    /// Never.
    #[default]
    Never,
    /// Below the base of the search.
    Searching,
    /// At the base of the search.
    Finding,
    /// In both places.
    Always,
}

impl LdapSearch {
    /// Searches the entry `base` and all entries below it.
    pub fn below(base: impl Into<String>, filter: LdapFilter) -> Self {
        Self {
            base: base.into(),
            scope: SearchScope::Subtree,
            filter,
            attributes: Vec::new(),
            aliases: AliasDereference::Never,
            entry_limit: 0,
            page_size: 0,
        }
    }

    /// Reads the entry of this name.
    pub fn entry(name: impl Into<String>) -> Self {
        let search = Self::below(name, LdapFilter::any_entry());
        Self { scope: SearchScope::Entry, ..search }
    }

    /// The attributes to return. Without this call all of the entry are; `1.1` alone asks for none.
    #[must_use]
    pub fn attributes<T: Into<String>>(self, names: impl IntoIterator<Item = T>) -> Self {
        Self { attributes: names.into_iter().map(Into::into).collect(), ..self }
    }

    /// When the directory follows alias entries.
    #[must_use]
    pub fn aliases(self, aliases: AliasDereference) -> Self {
        Self { aliases, ..self }
    }

    /// The number of entries after which the directory stops; 0 leaves it to the directory. A search
    /// that is stopped returns the entries so far.
    #[must_use]
    pub fn entry_limit(self, entry_limit: u32) -> Self {
        Self { entry_limit, ..self }
    }

    /// Asks for the entries in pages of at most this size (RFC 2696), which a directory answers even
    /// if all together are more than it returns at once; 0 asks for all in one.
    #[must_use]
    pub fn page_size(self, page_size: u32) -> Self {
        Self { page_size, ..self }
    }
}

/// An entry, as a directory returned it. It can't be made otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LdapEntry {
    pub(super) name: String,
    pub(super) attributes: Vec<(String, Vec<Vec<u8>>)>,
}

impl LdapEntry {
    /// The distinguished name, in the directory's spelling.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The values of an attribute as bytes. The case of its name doesn't matter.
    pub fn raw_values(&self, attribute: &str) -> impl Iterator<Item = &[u8]> {
        let named = |(name, _): &&(String, Vec<_>)| name.eq_ignore_ascii_case(attribute);
        let found = self.attributes.iter().find(named);
        found.into_iter().flat_map(|(_, values)| values.iter().map(Vec::as_slice))
    }

    /// The values of an attribute that are text.
    pub fn values(&self, attribute: &str) -> impl Iterator<Item = &str> {
        self.raw_values(attribute).filter_map(|value| std::str::from_utf8(value).ok())
    }
}
