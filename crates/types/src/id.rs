//! Names and identifiers. Each is created by a checking `parse`, so values are always valid.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::entropy::Entropy;
use crate::path::{check_segments, is_printable};

/// Why a name or identifier is refused. The message contains no part of the input.
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
            /// The identifier as text, in its normalised form.
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
    /// The id of a lease: the path it was issued at, a slash, and a random suffix.
    LeaseId
}

impl LeaseId {
    /// Accepts a normalised path (see [`crate::path`]) that is not empty and has no trailing slash.
    ///
    /// # Errors
    ///
    /// If the text is empty, ends in a slash, or is not a normalised path.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        if text.is_empty() || text.ends_with('/') || check_segments(text).is_err() {
            return Err(InvalidId("invalid lease"));
        }
        Ok(Self(text.to_owned()))
    }
}

text_id! {
    /// Refers to a token without granting its permissions: it can be used to look the token up,
    /// renew it and revoke it.
    Accessor
}

impl Accessor {
    /// Accepts up to 256 bytes of printable text without slashes or white space.
    ///
    /// # Errors
    ///
    /// If the text is empty, too long, or contains a slash, white space or an unprintable
    /// character.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        if !is_plain_segment(text, 256) {
            return Err(InvalidId("invalid accessor"));
        }
        Ok(Self(text.to_owned()))
    }

    /// The accessor of a batch token: empty, because batch tokens have none.
    pub fn empty() -> Self {
        Self(String::new())
    }
}

text_id! {
    /// The name of a policy: trimmed and lower-cased, so that `Root ` can't bypass a check for
    /// `root`.
    PolicyName
}

impl PolicyName {
    /// Trims and lower-cases the text, then accepts it if it is printable and 1 to 512 bytes long.
    ///
    /// # Errors
    ///
    /// If the trimmed text is empty, longer than 512 bytes, or unprintable.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        let name = text.trim().to_lowercase();
        if name.is_empty() || name.len() > 512 || !name.chars().all(is_printable) {
            return Err(InvalidId("invalid policy name"));
        }
        Ok(Self(name))
    }

    /// Accepts a name read from storage; `None` unless it is already normalised. Names are
    /// normalised before they are stored, so any other text was not written by this server, and
    /// normalising it now could turn it into the name of an existing policy.
    pub fn from_stored(text: &str) -> Option<Self> {
        Self::parse(text).ok().filter(|name| name.as_str() == text)
    }

    /// Deserialises a stored list of names, leaving out texts that can't be the name of a policy.
    ///
    /// # Errors
    /// If the value isn't a list of strings.
    pub fn deserialize_stored<'de, D: serde::Deserializer<'de>>(
        from: D,
    ) -> Result<Vec<Self>, D::Error> {
        let texts = Vec::<String>::deserialize(from)?;
        Ok(texts.iter().filter_map(|text| Self::from_stored(text)).collect())
    }

    /// The `root` policy, which allows every operation.
    pub fn root() -> Self {
        Self("root".to_owned())
    }

    /// The `default` policy, which every token gets unless its creator opts out.
    pub fn default_policy() -> Self {
        Self("default".to_owned())
    }

    /// The `response-wrapping` policy of wrapping tokens. No other token can have it.
    pub fn response_wrapping() -> Self {
        Self("response-wrapping".to_owned())
    }

    /// Whether this is the `root` policy.
    pub fn is_root(&self) -> bool {
        self.0 == "root"
    }

    /// Whether this is the `response-wrapping` policy.
    pub fn is_response_wrapping(&self) -> bool {
        self.0 == "response-wrapping"
    }
}

text_id! {
    /// The UUID of a mount. The mount's storage lies under it, so a new mount at a reused path
    /// never gets old data.
    MountUuid
}

impl MountUuid {
    /// Accepts a hyphenated UUID and lower-cases it.
    ///
    /// # Errors
    ///
    /// If the text is not a hyphenated UUID.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        match uuid::Uuid::try_parse(text) {
            Ok(uuid) if text.len() == 36 => Ok(Self(uuid.to_string())),
            _ => Err(InvalidId("invalid mount UUID")),
        }
    }
}

text_id! {
    /// The UUID of one request, the same in the response, the server's log and the plug-in's log.
    RequestId
}

impl RequestId {
    /// Accepts up to 64 bytes of printable text without slashes or white space.
    ///
    /// # Errors
    ///
    /// If the text is empty, too long, or contains a slash, white space or an unprintable
    /// character.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        if !is_plain_segment(text, 64) {
            return Err(InvalidId("invalid request id"));
        }
        Ok(Self(text.to_owned()))
    }

    /// Generates a random request id (a version 4 UUID).
    pub fn random(entropy: &dyn Entropy) -> Self {
        Self(entropy.uuid())
    }

    /// Builds a request id from 16 random bytes that must be used for nothing else.
    pub fn from_random_bytes(bytes: [u8; 16]) -> Self {
        Self(crate::entropy::uuid_text(bytes))
    }
}

/// The namespace a request acts in. Only the root namespace exists so far; requests carry the field
/// already so that adding namespaces won't change their shape.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Namespace {
    /// The root namespace, which always exists.
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
