//! Lists whose entries have a form: [`CidrList`] and [`PolicyNames`].

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde_json::value::RawValue;
use strongroom_types::fields::write_string;
use strongroom_types::{Cidr, PolicyName};

use super::kinds::{TOO_MANY_PARTS, write_array};
use super::{CommaList, Field, FieldKind, InvalidValue, LeaseSafe};

/// IP addresses and networks such as `10.0.0.0/8`: parsed from a JSON array or from one text with
/// commas, written as an array. At most 4096 entries.
///
/// An address that is given as a network of one (`10.0.0.1/32`) is written without its prefix
/// length, and an IPv4-mapped IPv6 address as an IPv4 address. Host bits that are set stay, as in
/// Vault: `10.1.2.3/24` names the network that contains that address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CidrList(pub Vec<Cidr>);

impl CidrList {
    /// Whether the list restricts nothing because it is empty, or contains a network with this
    /// address.
    pub fn permits(&self, address: IpAddr) -> bool {
        self.0.is_empty() || self.0.iter().any(|network| network.contains(address))
    }

    /// Whether this list permits every address that `other` permits. An empty list permits every
    /// address, so it covers every list and is covered only by an empty one.
    pub fn covers(&self, other: &Self) -> bool {
        let is_covered = |inner: &Cidr| self.0.iter().any(|outer| outer.covers(inner));
        self.0.is_empty() || (!other.0.is_empty() && other.0.iter().all(is_covered))
    }
}

impl Field for CidrList {
    const KIND: FieldKind = FieldKind::CommaList;

    fn value_if_absent() -> Option<Self> {
        Some(Self::default())
    }

    fn read(raw: &RawValue) -> Result<Self, InvalidValue> {
        const BAD: InvalidValue =
            InvalidValue("a list of IP addresses and networks such as 10.0.0.0/8");
        let texts = read_texts(raw, BAD)?;
        texts.iter().map(|text| Cidr::parse(text).ok_or(BAD)).collect::<Result<_, _>>().map(Self)
    }

    fn write(&self, out: &mut Vec<u8>) -> bool {
        write_array(out, &self.0, |out, network| write_string(out, &network.to_string()));
        true
    }
}

impl LeaseSafe for CidrList {}

/// Names of the policies that a token of a login gets: parsed from a JSON array or from one text
/// with commas; trimmed, lower-cased, sorted and without duplicates, as a JSON array. At most 4096
/// entries.
///
/// The policies `root` and `response-wrapping` are rejected: an auth method can't give them to
/// anybody, so an attempt to configure one is a mistake.
///
/// ```
/// use strongroom_schema::PolicyNames;
///
/// let names = PolicyNames::parse(["Ops", " dev ", "ops"]).unwrap();
/// assert_eq!(names.to_strings(), ["dev", "ops"]);
/// assert!(PolicyNames::parse(["Root"]).is_err());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyNames(Vec<PolicyName>);

impl PolicyNames {
    /// Normalises and checks names.
    ///
    /// # Errors
    ///
    /// [`InvalidValue`] if a name is `root` or `response-wrapping`, is longer than 512 bytes, or
    /// contains unprintable characters.
    pub fn parse<T: AsRef<str>>(names: impl IntoIterator<Item = T>) -> Result<Self, InvalidValue> {
        const BAD: InvalidValue =
            InvalidValue("a list of policy names of at most 512 printable characters each");
        const RESERVED: InvalidValue =
            InvalidValue("policies other than root and response-wrapping, which no login can give");
        let mut sorted = BTreeSet::new();
        for name in names {
            if name.as_ref().trim().is_empty() {
                continue;
            }
            let name = PolicyName::parse(name.as_ref()).map_err(|_| BAD)?;
            if name == PolicyName::root() || name == PolicyName::response_wrapping() {
                return Err(RESERVED);
            }
            sorted.insert(name);
        }
        Ok(Self(sorted.into_iter().collect()))
    }

    /// The names in lower case, sorted and without duplicates.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(PolicyName::as_str)
    }

    /// The names as owned strings, in the order of [`iter`](Self::iter).
    pub fn to_strings(&self) -> Vec<String> {
        self.iter().map(str::to_owned).collect()
    }

    /// The names of both lists.
    #[must_use]
    pub fn with(&self, more: &Self) -> Self {
        let both: BTreeSet<_> = self.0.iter().chain(&more.0).cloned().collect();
        Self(both.into_iter().collect())
    }

    /// Whether the list names no policy.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Field for PolicyNames {
    const KIND: FieldKind = FieldKind::PolicyNames;

    fn value_if_absent() -> Option<Self> {
        Some(Self::default())
    }

    fn read(raw: &RawValue) -> Result<Self, InvalidValue> {
        Self::parse(read_texts(raw, InvalidValue("a list of policies, or one text with commas"))?)
    }

    fn write(&self, out: &mut Vec<u8>) -> bool {
        write_array(out, &self.0, |out, name| write_string(out, name.as_str()));
        true
    }
}

impl LeaseSafe for PolicyNames {}

/// The entries of a list, as [`CommaList`] reads them; `bad` describes anything that is no list.
pub(super) fn read_texts(raw: &RawValue, bad: InvalidValue) -> Result<Vec<String>, InvalidValue> {
    let list = CommaList::read(raw);
    list.map(|list| list.0).map_err(|error| if error == TOO_MANY_PARTS { error } else { bad })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::testing::{read_field, write_field};

    #[test]
    fn networks_are_checked_and_written_in_one_form() {
        for json in [
            "[\"10.0.0.1/32\",\"10.1.2.3/24\",\"::1\"]",
            "\"10.0.0.1, 10.1.2.3/24,::1/128\"",
            "[\"::ffff:10.0.0.1\",\"::ffff:10.1.2.3/120\",\"0:0::1\"]",
        ] {
            let list = read_field::<CidrList>(json).unwrap();
            assert_eq!(write_field(&list), "[\"10.0.0.1\",\"10.1.2.3/24\",\"::1\"]", "{json}");
        }
        for json in ["\"10.0.0.0/33\"", "\"10.0.0.1,localhost\"", "[{}]", "{}", "17", "true"] {
            assert!(read_field::<CidrList>(json).is_err(), "{json}");
        }
        assert_eq!(read_field::<CidrList>("\"\"").unwrap(), CidrList::default());
        let many = format!("\"{}\"", ",".repeat(5000));
        assert_eq!(read_field::<CidrList>(&many), Err(TOO_MANY_PARTS));
    }

    #[test]
    fn an_empty_list_permits_every_address() {
        let address = "10.9.9.9".parse().unwrap();
        assert!(CidrList::default().permits(address));
        assert!(read_field::<CidrList>("\"::1,10.0.0.0/8\"").unwrap().permits(address));
        assert!(!read_field::<CidrList>("\"::1,10.0.0.0/16\"").unwrap().permits(address));
    }

    #[test]
    fn a_list_covers_what_it_permits() {
        let list = |text: &str| read_field::<CidrList>(&format!("\"{text}\"")).unwrap();
        for (outer, inner, covers) in [
            ("", "10.0.0.0/8", true),
            ("", "", true),
            ("10.0.0.0/8", "", false),
            ("10.0.0.0/8", "10.1.0.0/16,10.2.3.4", true),
            ("10.0.0.0/8", "10.1.0.0/16,11.2.3.4", false),
            ("10.0.0.0/8,::1", "::1,10.9.0.0/16", true),
        ] {
            assert_eq!(list(outer).covers(&list(inner)), covers, "{outer:?} {inner:?}");
        }
    }

    #[test]
    fn policy_names_are_normalised() {
        for json in ["\"ops, Dev,dev,,\"", "[\"DEV \",\"ops\",\"\",\"ops\"]"] {
            let names = read_field::<PolicyNames>(json).unwrap();
            assert_eq!(write_field(&names), "[\"dev\",\"ops\"]", "{json}");
        }
        assert!(read_field::<PolicyNames>("\" , \"").unwrap().is_empty());
        assert_eq!(read_field::<PolicyNames>("17").unwrap().to_strings(), ["17"]);
    }

    #[test]
    fn reserved_policies_are_rejected_in_every_spelling() {
        for json in [
            "\"root\"",
            "\"dev, Root \"",
            "[\"ROOT\\t\"]",
            "\"response-wrapping\"",
            "[\"Response-Wrapping\"]",
        ] {
            let error = read_field::<PolicyNames>(json).unwrap_err().to_string();
            assert!(error.contains("other than root and response-wrapping"), "{json}: {error}");
        }
        for json in ["[\"a\\u0007b\"]", "{}", "[[\"root\"]]"] {
            assert!(read_field::<PolicyNames>(json).is_err(), "{json}");
        }
        assert!(read_field::<PolicyNames>("\"root2,rooted\"").is_ok());
    }
}
