//! [`TokenRole`]: settings for the tokens created through a role, and [`TokenRoleStore`], which
//! stores them.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use strongroom_barrier::{Batch, Version, View};
use strongroom_types::{Cidr, PolicyName, TokenTypeSetting, Ttl};

/// A token role as stored, in JSON. The field names are the format; `v` is its version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRole {
    /// The version of the stored format, currently 1.
    pub v: u8,
    /// Policies its tokens may have. If a role lists allowed or disallowed policies, they replace
    /// the check that a token's policies are a subset of its parent's.
    pub allowed_policies: BTreeSet<PolicyName>,
    /// Patterns for policies its tokens may have, with `*` for any text.
    pub allowed_policies_glob: BTreeSet<PolicyName>,
    /// Policies its tokens may not have.
    pub disallowed_policies: BTreeSet<PolicyName>,
    /// Patterns for policies its tokens may not have, with `*` for any text.
    pub disallowed_policies_glob: BTreeSet<PolicyName>,
    /// Whether its tokens are created without a parent.
    pub orphan: bool,
    /// Whether its tokens can be renewed; true by default.
    pub renewable: bool,
    /// Appended to the creation path recorded in its tokens.
    pub path_suffix: String,
    /// Networks its tokens may be used from; empty for no restriction.
    pub bound_cidrs: Vec<Cidr>,
    /// Maximum age of its tokens, which no renewal can extend; zero for none.
    pub explicit_max_ttl: Ttl,
    /// Lifetime that each renewal gives its tokens, which are then periodic; zero if they aren't.
    pub period: Ttl,
    /// Whether its tokens are created without the policy `default`.
    pub no_default_policy: bool,
    /// Number of requests its tokens may make; zero for no limit.
    pub num_uses: u32,
    /// Whether it creates service or batch tokens, or which of them without a request's choice.
    pub token_type: TokenTypeSetting,
    /// Which values were set by their deprecated names, and are therefore shown under both names.
    #[serde(default)]
    pub legacy: LegacyFieldNames,
}

/// Which values were set by the deprecated field names, those without the prefix `token_`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LegacyFieldNames {
    /// `period` was set rather than `token_period`.
    pub period: bool,
    /// `explicit_max_ttl` was set rather than `token_explicit_max_ttl`.
    pub explicit_max_ttl: bool,
    /// `bound_cidrs` was set rather than `token_bound_cidrs`.
    pub bound_cidrs: bool,
}

impl Default for TokenRole {
    /// The settings of a role created without any parameters.
    fn default() -> Self {
        Self {
            v: 1,
            allowed_policies: BTreeSet::new(),
            allowed_policies_glob: BTreeSet::new(),
            disallowed_policies: BTreeSet::new(),
            disallowed_policies_glob: BTreeSet::new(),
            orphan: false,
            renewable: true,
            path_suffix: String::new(),
            bound_cidrs: Vec::new(),
            explicit_max_ttl: Ttl::ZERO,
            period: Ttl::ZERO,
            no_default_policy: false,
            num_uses: 0,
            token_type: TokenTypeSetting::DefaultService,
            legacy: LegacyFieldNames::default(),
        }
    }
}

impl TokenRole {
    /// Whether the role lists allowed or disallowed policies; if not, those of the parent token
    /// apply.
    pub fn restricts_policies(&self) -> bool {
        !self.allowed_policies.is_empty()
            || !self.allowed_policies_glob.is_empty()
            || !self.disallowed_policies.is_empty()
            || !self.disallowed_policies_glob.is_empty()
    }

    /// Whether the role disallows the policy, by name or by pattern. This does not consider the
    /// role's allowed policies.
    pub fn disallows_policy(&self, policy: &PolicyName) -> bool {
        self.disallowed_policies.contains(policy)
            || matches_any(&self.disallowed_policies_glob, policy)
    }

    /// Whether one of the role's allowed patterns matches the policy. The list of allowed names is
    /// not considered.
    pub fn glob_allows_policy(&self, policy: &PolicyName) -> bool {
        matches_any(&self.allowed_policies_glob, policy)
    }
}

fn matches_any(globs: &BTreeSet<PolicyName>, policy: &PolicyName) -> bool {
    globs.iter().any(|glob| glob_matches(glob.as_str(), policy.as_str()))
}

/// Matches `text` against a pattern in which each `*` stands for any text, including none.
fn glob_matches(glob: &str, text: &str) -> bool {
    let Some((start, rest)) = glob.split_once('*') else { return glob == text };
    let Some(mut text) = text.strip_prefix(start) else { return false };
    let (middle, end) = rest.rsplit_once('*').unwrap_or(("", rest));
    // The first match leaves the most text for the following parts.
    for part in middle.split('*') {
        let Some(at) = text.find(part) else { return false };
        text = text.get(at + part.len()..).unwrap_or_default();
    }
    text.ends_with(end)
}

/// The token roles of a server, one JSON document each. Cheap to clone. Names are the keys of its
/// view.
#[derive(Clone, Debug)]
pub struct TokenRoleStore(View);

impl TokenRoleStore {
    /// Creates the store over the view that holds the roles. Reads nothing. The keys below its
    /// prefix are the names of the roles.
    pub fn new(view: View) -> Self {
        Self(view)
    }

    /// Reads the role with this name, with the version to pass to [`TokenRoleStore::put`]; `None`
    /// if there is none.
    ///
    /// # Errors
    ///
    /// If the stored role can't be decoded, or the error of the barrier.
    pub async fn get(
        &self,
        name: &str,
    ) -> Result<Option<(TokenRole, Version)>, strongroom_barrier::Error> {
        let Some(entry) = self.0.get(name).await? else { return Ok(None) };
        Ok(Some((self.0.decode_json(name, &entry.value)?, entry.version)))
    }

    /// Writes a role, on condition that it still has the version `known`, or still doesn't exist if
    /// that is `None`.
    ///
    /// # Errors
    ///
    /// A failed precondition if the role changed meanwhile, or the error of the barrier.
    ///
    /// # Cancel safety
    ///
    /// A write that has begun completes even if the future is dropped.
    pub async fn put(
        &self,
        name: &str,
        role: &TokenRole,
        known: Option<Version>,
    ) -> Result<(), strongroom_barrier::Error> {
        let mut batch = Batch::new();
        match known {
            Some(version) => self.0.require_unchanged(&mut batch, name, version),
            None => self.0.require_absent(&mut batch, name),
        }
        self.0.put_json(&mut batch, name, role);
        self.0.commit(batch).await.map(|_| ())
    }

    /// Deletes a role; does nothing if it doesn't exist.
    ///
    /// # Errors
    ///
    /// The error of the barrier.
    ///
    /// # Cancel safety
    ///
    /// A write that has begun completes even if the future is dropped.
    pub async fn delete(&self, name: &str) -> Result<(), strongroom_barrier::Error> {
        let mut batch = Batch::new();
        self.0.delete(&mut batch, name);
        self.0.commit(batch).await.map(|_| ())
    }

    /// The names of all roles, sorted.
    ///
    /// # Errors
    ///
    /// The error of the barrier.
    pub async fn names(&self) -> Result<Vec<String>, strongroom_barrier::Error> {
        let mut names: Vec<String> = Vec::new();
        let mut pages = self.0.key_pages("");
        while let Some(page) = pages.next_page().await? {
            names.extend(page);
        }
        Ok(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_as_documented() {
        for (glob, text, fits) in [
            ("*", "root", true),
            ("p*", "p", true),
            ("a*b", "acb", true),
            ("a*b", "ab", true),
            ("a*b", "a", false),
            ("ab*b", "ab", false),
            ("*x*", "axz", true),
            ("*x*y*", "yx", false),
            ("a", "ab", false),
            ("", "", true),
        ] {
            assert_eq!(glob_matches(glob, text), fits, "{glob} {text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn globs_agree_with_a_naive_model(glob in "[ab*]{0,6}", text in "[ab]{0,7}") {
            fn naive(glob: &[u8], text: &[u8]) -> bool {
                match glob {
                    [] => text.is_empty(),
                    [b'*', rest @ ..] => (0..=text.len()).any(|at| naive(rest, &text[at..])),
                    [c, rest @ ..] => text.first() == Some(c) && naive(rest, &text[1..]),
                }
            }
            proptest::prop_assert_eq!(glob_matches(&glob, &text), naive(glob.as_bytes(), text.as_bytes()));
        }
    }
}
