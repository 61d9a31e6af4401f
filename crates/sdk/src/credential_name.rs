//! [`CredentialName`]: the name under which a credential is created in the outside system.

use std::fmt;

use serde::{Deserialize, Serialize};
use strongroom_types::Entropy;

/// The name of a credential in the outside system: a readable prefix and a random, unguessable
/// part. It is chosen and stored before the credential is issued, so that the credential can be
/// found whatever happens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CredentialName {
    display: String,
    unique: String,
}

impl CredentialName {
    /// Length of the unguessable part in characters; 62^26 is above 2^154.
    const UNIQUE_CHARS: usize = 26;

    pub(crate) fn new(role: &str, display_name: &str, entropy: &dyn Entropy) -> Self {
        let plain = |text: &str| -> String {
            text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
        };
        let parts = ["strongroom", &plain(role), &plain(display_name)];
        let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        Self { display: parts.join("-"), unique: entropy.base62(Self::UNIQUE_CHARS) }
    }

    /// The name in at most `max` characters, all of them letters, digits and `-`. Only the readable
    /// prefix is shortened, never the random part; a `max` below 26 is treated as 26.
    pub fn fit(&self, max: usize) -> String {
        let room = max.saturating_sub(Self::UNIQUE_CHARS + 1);
        let display = self.display.get(..room.min(self.display.len())).unwrap_or_default();
        match display.trim_end_matches('-') {
            "" => self.unique.clone(),
            display => format!("{display}-{}", self.unique),
        }
    }
}

impl fmt::Display for CredentialName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.fit(usize::MAX))
    }
}

#[cfg(test)]
mod tests {
    use strongroom_types::entropy::SeededEntropy;

    use super::*;

    #[test]
    fn names_are_cut_in_the_part_for_people_only() {
        let name = CredentialName::new("dev", "token-Foo Bar", &SeededEntropy::new(1));
        let whole = name.to_string();
        assert!(whole.starts_with("strongroom-dev-token-Foo-Bar-"), "{whole}");
        let unique = whole.rsplit('-').next().unwrap();
        assert_eq!(unique.len(), 26);
        for max in [0, 10, 26, 27, 28, 40, 64] {
            let cut = name.fit(max);
            assert!(cut.len() <= max.max(26) && cut.ends_with(unique), "{max}: {cut}");
            assert!(!cut.starts_with('-') && !cut.contains("--"), "{cut}");
        }
    }
}
