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
    #[serde(default = "default_separator")]
    separator: char,
}

impl CredentialName {
    pub(crate) fn new(
        format: &NameFormat,
        role: &str,
        display_name: &str,
        entropy: &dyn Entropy,
    ) -> Self {
        let parts = [format.prefix.as_str(), role, display_name].map(|part| format.plain(part));
        let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        let separator = format.separator;
        Self {
            display: parts.join(separator.encode_utf8(&mut [0; 4])),
            unique: format.unique_part(entropy),
            separator,
        }
    }

    /// The name in at most `max` characters, all of them letters, digits and the separator of the
    /// [`NameFormat`]. Only the readable prefix is shortened, never the random part; a `max` that is
    /// shorter than it (26 characters, or 30 in lower case) counts as its length.
    pub fn fit(&self, max: usize) -> String {
        let room = max.saturating_sub(self.unique.len() + 1);
        let display = self.display.get(..room.min(self.display.len())).unwrap_or_default();
        match display.trim_end_matches(self.separator) {
            "" => self.unique.clone(),
            display => format!("{display}{}{}", self.separator, self.unique),
        }
    }
}

impl fmt::Display for CredentialName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.fit(usize::MAX))
    }
}

/// The separator between the parts of a name.
fn default_separator() -> char {
    '-'
}

/// The form of the names of credentials: the first word, the separator and the alphabet. By default
/// a name is `strongroom-<role>-<display name>-<random>` with letters of both cases.
///
/// ```
/// use strongroom_sdk::NameFormat;
///
/// // For an outside system whose names are lower-case: `acme_reader_token_ci_4k0…`
/// let format = NameFormat::default().prefix("acme").separator('_').lower_case();
/// # drop(format);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameFormat {
    prefix: String,
    separator: char,
    lower_case: bool,
}

impl Default for NameFormat {
    fn default() -> Self {
        Self { prefix: "strongroom".to_owned(), separator: default_separator(), lower_case: false }
    }
}

impl NameFormat {
    /// Length of the unguessable part in characters; 62^26 and 36^30 are above 2^154.
    const MIXED_CASE_CHARS: usize = 26;
    const LOWER_CASE_CHARS: usize = 30;

    /// Sets the first part of the names, which may come from the configuration of the engine.
    /// Characters other than ASCII letters and digits become separators. An empty prefix leaves the
    /// part out.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Sets the separator between the parts: `-`, `_`, `.` or `+`. Other characters are ignored.
    #[must_use]
    pub fn separator(mut self, separator: char) -> Self {
        if matches!(separator, '-' | '_' | '.' | '+') {
            self.separator = separator;
        }
        self
    }

    /// Makes the whole name lower-case, for outside systems that refuse capitals or don't
    /// distinguish them. The random part is longer then, and as hard to guess.
    #[must_use]
    pub fn lower_case(mut self) -> Self {
        self.lower_case = true;
        self
    }

    fn plain(&self, text: &str) -> String {
        let plain = |c: char| match c.is_ascii_alphanumeric() {
            true if self.lower_case => c.to_ascii_lowercase(),
            true => c,
            false => self.separator,
        };
        text.chars().map(plain).collect()
    }

    fn unique_part(&self, entropy: &dyn Entropy) -> String {
        match self.lower_case {
            true => entropy.base36(Self::LOWER_CASE_CHARS),
            false => entropy.base62(Self::MIXED_CASE_CHARS),
        }
    }
}

#[cfg(test)]
mod tests {
    use strongroom_types::entropy::SeededEntropy;

    use super::*;

    fn name_in(format: &NameFormat) -> CredentialName {
        CredentialName::new(format, "dev", "token-Foo Bar", &SeededEntropy::new(1))
    }

    #[test]
    fn names_are_cut_in_the_part_for_people_only() {
        let name = name_in(&NameFormat::default());
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

    #[test]
    fn an_engine_chooses_prefix_separator_and_case() {
        let format = NameFormat::default().prefix("Acme.Corp").separator('_').lower_case();
        let name = name_in(&format);
        let whole = name.to_string();
        assert!(whole.starts_with("acme_corp_dev_token_foo_bar_"), "{whole}");
        assert_eq!(name.fit(0).len(), 30);
        assert!(whole.chars().all(|c| c == '_' || c.is_ascii_lowercase() || c.is_ascii_digit()));
        let bare = name_in(&NameFormat::default().prefix("").separator('x'));
        assert!(bare.to_string().starts_with("dev-token-Foo-Bar-"), "{bare}");
    }

    #[test]
    fn names_stored_without_a_separator_are_read() {
        let name: CredentialName =
            serde_json::from_str(r#"{"display":"a-b","unique":"u"}"#).unwrap();
        assert_eq!(name.to_string(), "a-b-u");
    }
}
