//! Protocol versions: the host offers a set, and the plug-in chooses the highest that it has too.

use std::collections::BTreeSet;
use std::fmt;

/// Backend protocol 5: AutoMTLS, and one process may serve many mounts.
pub const BACKEND_V5: u32 = 5;
/// Backend protocol 4: one process for each mount, certificates by unwrap token.
pub const BACKEND_V4: u32 = 4;
/// Backend protocol 3: like version 4 as far as this crate is concerned.
pub const BACKEND_V3: u32 = 3;
/// Database protocol 6: AutoMTLS, and one process may serve many connections.
pub const DATABASE_V6: u32 = 6;
/// Database protocol 5: one process for each connection.
pub const DATABASE_V5: u32 = 5;

/// The versions that a host supports, as listed in [`super::env::PROTOCOL_VERSIONS`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OfferedVersions(BTreeSet<u32>);

impl OfferedVersions {
    /// An offer of the given versions; duplicates are removed. They are kept in ascending order. An
    /// empty offer is possible.
    pub fn from_versions(versions: impl IntoIterator<Item = u32>) -> Self {
        Self(versions.into_iter().collect())
    }

    /// Parses the comma-separated list. Entries that are no numbers are ignored, as by Go plug-ins.
    pub fn parse(list: &str) -> Self {
        Self(list.split(',').filter_map(|version| version.trim().parse().ok()).collect())
    }

    /// Whether the host supports this version.
    pub fn contains(&self, version: u32) -> bool {
        self.0.contains(&version)
    }
}

impl fmt::Display for OfferedVersions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, version) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            version.fmt(f)?;
        }
        Ok(())
    }
}

/// A plug-in's choice from the versions that a host offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionChoice {
    /// The highest version that both support.
    Agreed(u32),
    /// They have no version in common. The plug-in announces its lowest one all the same, because
    /// only the host can report the mismatch to the operator.
    NoneInCommon(u32),
}

impl VersionChoice {
    /// Chooses for a plug-in that supports the versions `own`; `None` if that list is empty.
    pub fn choose(own: &[u32], offer: &OfferedVersions) -> Option<Self> {
        let lowest = own.iter().copied().min()?;
        let agreed = own.iter().copied().filter(|version| offer.contains(*version)).max();
        Some(agreed.map_or(Self::NoneInCommon(lowest), Self::Agreed))
    }

    /// The version to write into the handshake line. It is the agreed one, or without agreement the
    /// plug-in's lowest.
    pub const fn version(self) -> u32 {
        match self {
            Self::Agreed(version) | Self::NoneInCommon(version) => version,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_common_version_is_taken() {
        let cases = [
            ("5", VersionChoice::Agreed(5)),
            ("3,4", VersionChoice::Agreed(4)),
            ("4,3", VersionChoice::Agreed(4)),
            ("5,3,99", VersionChoice::Agreed(5)),
            ("", VersionChoice::NoneInCommon(3)),
            ("6,7", VersionChoice::NoneInCommon(3)),
            ("five", VersionChoice::NoneInCommon(3)),
            ("five,-1, 4 ", VersionChoice::Agreed(4)),
        ];
        for (list, expected) in cases {
            assert_eq!(
                VersionChoice::choose(&[4, 5, 3], &OfferedVersions::parse(list)),
                Some(expected),
                "{list:?}"
            );
        }
        assert_eq!(VersionChoice::choose(&[], &OfferedVersions::parse("5")), None);
    }

    #[test]
    fn an_offer_reads_back() {
        let offer = OfferedVersions::from_versions([BACKEND_V4, BACKEND_V3]);
        assert_eq!(offer.to_string(), "3,4");
        assert_eq!(OfferedVersions::parse(&offer.to_string()), offer);
    }
}
