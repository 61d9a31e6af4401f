//! [`Cidr`]: a network, such as those that a token may be used from.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An IP address, or a network such as `10.0.0.0/8`. IPv4-mapped IPv6 addresses are treated as
/// IPv4, both here and in addresses compared with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    /// As given: host bits may be set.
    address: IpAddr,
    prefix_bits: u8,
}

impl Cidr {
    /// Parses an address or a network; `None` for anything else. A single address gets the full
    /// prefix length.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.trim().split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text.trim(), None),
        };
        let given: IpAddr = address.parse().ok()?;
        let bits = match bits {
            Some(bits) if bits.bytes().all(|b| b.is_ascii_digit()) => bits.parse().ok()?,
            Some(_) => return None,
            None => address_bits(given),
        };
        let address = given.to_canonical();
        let bits =
            if address_bits(address) == address_bits(given) { bits } else { bits.checked_sub(96)? };
        (bits <= address_bits(address)).then_some(Self { address, prefix_bits: bits })
    }

    /// The network with its prefix length, which [`Display`](fmt::Display) leaves out for a single
    /// address.
    ///
    /// ```
    /// use strongroom_types::Cidr;
    ///
    /// let address = Cidr::parse("10.0.0.1").unwrap();
    /// assert_eq!(address.to_string(), "10.0.0.1");
    /// assert_eq!(address.to_text_with_prefix(), "10.0.0.1/32");
    /// ```
    pub fn to_text_with_prefix(&self) -> String {
        format!("{}/{}", self.address, self.prefix_bits)
    }

    /// Whether the address lies in this network.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let differ = own.to_bits() ^ other.to_bits();
                differ.leading_zeros() >= u32::from(self.prefix_bits)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let differ = own.to_bits() ^ other.to_bits();
                differ.leading_zeros() >= u32::from(self.prefix_bits)
            }
            _ => false,
        }
    }

    /// Whether every address of `other` lies in this network.
    pub fn covers(&self, other: &Self) -> bool {
        self.prefix_bits <= other.prefix_bits && self.contains(other.address)
    }
}

fn address_bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

impl fmt::Display for Cidr {
    /// Prints a single address without a prefix length.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.prefix_bits == address_bits(self.address) {
            return self.address.fmt(f);
        }
        f.write_str(&self.to_text_with_prefix())
    }
}

impl Serialize for Cidr {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Cidr {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("not a network"))
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn networks_contain_their_addresses_and_no_others() {
        let cases = [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
            ("10.1.2.3/24", "10.1.2.200", "10.1.3.3"),
            ("127.0.0.1", "127.0.0.1", "127.0.0.2"),
            ("::1/128", "::1", "127.0.0.1"),
            ("2001:db8::/32", "2001:db8:1::5", "2001:db9::"),
            ("0.0.0.0/0", "255.255.255.255", "::1"),
            ("::/0", "2001::1", "10.0.0.1"),
            ("::ffff:10.1.2.3", "10.1.2.3", "10.1.2.4"),
            ("::ffff:10.0.0.0/104", "10.9.9.9", "11.0.0.0"),
            ("10.0.0.0/8", "::ffff:10.0.0.7", "::ffff:11.0.0.7"),
            ("10.0.0.0/8", "::ffff:a00:7", "::10.0.0.7"),
        ];
        for (network, inside, outside) in cases {
            let network = Cidr::parse(network).unwrap();
            assert!(network.contains(ip(inside)), "{network} {inside}");
            assert!(!network.contains(ip(outside)), "{network} {outside}");
        }
    }

    #[test]
    fn networks_cover_smaller_ones_of_their_kind() {
        let network = |text| Cidr::parse(text).unwrap();
        for (outer, inner, covers) in [
            ("10.0.0.0/8", "10.1.0.0/16", true),
            ("10.0.0.0/8", "10.0.0.0/8", true),
            ("10.0.0.0/8", "10.9.9.9", true),
            ("10.9.9.9", "10.9.9.9/32", true),
            ("10.1.0.0/16", "10.0.0.0/8", false),
            ("10.0.0.0/8", "11.0.0.0/16", false),
            ("10.0.0.0/8", "::ffff:10.0.0.0/112", true),
            ("0.0.0.0/0", "::1", false),
            ("::/0", "10.0.0.0/8", false),
            ("2001:db8::/32", "2001:db8:1::/48", true),
        ] {
            assert_eq!(network(outer).covers(&network(inner)), covers, "{outer} {inner}");
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in [
            "",
            "x",
            "10.0.0.0/33",
            "::1/129",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "10.0.0.0/-1",
            "10.0.0/8",
            "1.2.3.4:80",
            "/run/x.sock",
            "fe80::1%eth0",
            "10.0.0.0/8/8",
            "::ffff:10.0.0.0/8",
            "010.0.0.1",
        ] {
            assert_eq!(Cidr::parse(text), None, "{text}");
        }
    }

    #[test]
    fn prints_as_it_was_given() {
        for (given, shown) in [
            ("10.1.2.3/24", "10.1.2.3/24"),
            ("127.0.0.1/32", "127.0.0.1"),
            ("::1/128", "::1"),
            ("::ffff:10.1.2.3", "10.1.2.3"),
        ] {
            assert_eq!(Cidr::parse(given).unwrap().to_string(), shown);
        }
    }

    proptest::proptest! {
        #[test]
        fn agrees_with_bits_compared_one_by_one(
            own in proptest::num::u32::ANY, other in proptest::num::u32::ANY, bits in 0_u8..=32, near in 0_u8..=32,
        ) {
            // Half of all pairs share a prefix; otherwise almost none would match.
            let other = if near < 32 { own ^ (other >> near) } else { own };
            let network = Cidr::parse(&format!("{}/{bits}", Ipv4Addr::from_bits(own))).unwrap();
            let same = (0..u32::from(bits)).all(|bit| (own ^ other) & (1 << (31 - bit)) == 0);
            proptest::prop_assert_eq!(network.contains(Ipv4Addr::from_bits(other).into()), same);
            let mapped: Ipv6Addr = Ipv4Addr::from_bits(other).to_ipv6_mapped();
            proptest::prop_assert_eq!(network.contains(mapped.into()), same);
            let again = Cidr::parse(&network.to_string()).unwrap();
            proptest::prop_assert_eq!(again, network);
        }
    }
}
