//! Names and identifiers. Each is built by `parse`, so an invalid one doesn't exist.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::entropy::Entropy;
use crate::path::{check_segments, is_printable};

/// Why a name or identifier is refused. Carries no part of what was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidId(&'static str);

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// As text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = String::deserialize(from)?;
                Self::parse(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

text_id! {
    /// The id of a lease: the path it was issued at, a slash, and an unguessable tail.
    LeaseId
}

impl LeaseId {
    /// Accepts a normal path; see [`crate::path`].
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        if text.is_empty() || text.ends_with('/') || check_segments(text).is_err() {
            return Err(InvalidId("invalid lease"));
        }
        Ok(Self(text.to_owned()))
    }
}

text_id! {
    /// Names a token without being one: it can look up, renew and revoke, not act.
    Accessor
}

impl Accessor {
    /// Accepts printable text without slashes.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        if !is_plain_segment(text, 256) {
            return Err(InvalidId("invalid accessor"));
        }
        Ok(Self(text.to_owned()))
    }

    /// Of a batch token, which has none: empty, and names nothing.
    pub fn empty() -> Self {
        Self(String::new())
    }
}

text_id! {
    /// The name of a policy: trimmed and lower-cased, so `Root ` can't slip past a check for
    /// `root`.
    PolicyName
}

impl PolicyName {
    /// Normalises, then checks.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        let name = text.trim().to_lowercase();
        if name.is_empty() || name.len() > 512 || !name.chars().all(is_printable) {
            return Err(InvalidId("invalid policy name"));
        }
        Ok(Self(name))
    }

    /// A name as this server stores it; none for any other text. What is stored was normalised when
    /// it came in: a text that isn't normal came by another way, and must not become the name of a
    /// policy by being normalised now.
    pub fn from_stored(text: &str) -> Option<Self> {
        Self::parse(text).ok().filter(|name| name.as_str() == text)
    }

    /// Reads a stored list of names. Texts that no policy can have as its name are left out: they
    /// name nothing.
    ///
    /// # Errors
    /// If it isn't a list of texts.
    pub fn deserialize_stored<'de, D: serde::Deserializer<'de>>(
        from: D,
    ) -> Result<Vec<Self>, D::Error> {
        let texts = Vec::<String>::deserialize(from)?;
        Ok(texts.iter().filter_map(|text| Self::from_stored(text)).collect())
    }

    /// The policy that allows everything.
    pub fn root() -> Self {
        Self("root".to_owned())
    }

    /// The policy every token gets unless it asks not to.
    pub fn default_policy() -> Self {
        Self("default".to_owned())
    }

    /// The policy of wrapping tokens. No other token can have it.
    pub fn response_wrapping() -> Self {
        Self("response-wrapping".to_owned())
    }

    /// Whether this is the policy that allows everything.
    pub fn is_root(&self) -> bool {
        self.0 == "root"
    }

    /// Whether this is the policy of wrapping tokens.
    pub fn is_response_wrapping(&self) -> bool {
        self.0 == "response-wrapping"
    }
}

text_id! {
    /// The UUID of a mount. Its storage lies under this, so a mount path can be used again
    /// without meeting old data.
    MountUuid
}

impl MountUuid {
    /// Accepts a hyphenated UUID.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        match uuid::Uuid::try_parse(text) {
            Ok(uuid) if text.len() == 36 => Ok(Self(uuid.to_string())),
            _ => Err(InvalidId("invalid mount UUID")),
        }
    }
}

text_id! {
    /// The UUID of one request, the same in the answer, the log and the plug-in's log.
    RequestId
}

impl RequestId {
    /// Accepts printable text without slashes.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        if !is_plain_segment(text, 64) {
            return Err(InvalidId("invalid request id"));
        }
        Ok(Self(text.to_owned()))
    }

    /// A new one.
    pub fn random(entropy: &dyn Entropy) -> Self {
        Self(entropy.uuid())
    }

    /// A new one, of bytes that were drawn for it alone.
    pub fn from_random_bytes(bytes: [u8; 16]) -> Self {
        Self(crate::entropy::uuid_text(bytes))
    }
}

/// The namespace a request acts in. Only the root namespace exists so far; everything carries the
/// field all the same, so that nothing will have to guess it later.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Namespace {
    /// The one every server has.
    #[default]
    Root,
}

fn is_plain_segment(text: &str, max: usize) -> bool {
    !text.is_empty()
        && text.len() <= max
        && text.chars().all(|c| is_printable(c) && c != '/' && !c.is_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policy_names_are_normalised_before_anyone_compares() {
        for text in ["root", "ROOT", " Root", "rOOt\t"] {
            assert!(PolicyName::parse(text).unwrap().is_root(), "{text:?}");
        }
        assert!(PolicyName::parse("  ").is_err());
        assert!(PolicyName::parse("ro\u{200b}ot").is_err());
    }

    #[test]
    fn a_new_request_id_is_one_that_can_be_read() {
        let id = RequestId::random(&crate::entropy::SeededEntropy::new(1));
        assert_eq!(RequestId::parse(id.as_str()), Ok(id));
    }

    #[test]
    fn lease_ids_are_normal_paths() {
        assert!(LeaseId::parse("custom/creds/dev/abc").is_ok());
        for text in ["", "a/", "a/../b", "/a", "a//b"] {
            assert!(LeaseId::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn deserialising_checks_too() {
        assert!(serde_json::from_str::<LeaseId>("\"a/../b\"").is_err());
        assert_eq!(serde_json::from_str::<PolicyName>("\" Dev\"").unwrap().as_str(), "dev");
    }
}
