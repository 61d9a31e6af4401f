//! [`TokenRole`]: rules after which tokens are made, and [`TokenRoleStore`], where they are kept.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use strongroom_barrier::{Batch, Version, View};
use strongroom_types::{PolicyName, Ttl};

use crate::cidr::Cidr;

/// A role as stored. The field names are the format; `v` is its version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRole {
    /// The version of the format.
    pub v: u8,
    /// Its tokens have these or fewer; if there are any, nothing else is looked at.
    pub allowed_policies: BTreeSet<PolicyName>,
    /// The same, with `*` for any text.
    pub allowed_policies_glob: BTreeSet<PolicyName>,
    /// Its tokens have none of these.
    pub disallowed_policies: BTreeSet<PolicyName>,
    /// The same, with `*` for any text.
    pub disallowed_policies_glob: BTreeSet<PolicyName>,
    /// Its tokens have no parent.
    pub orphan: bool,
    /// Its tokens can be renewed.
    pub renewable: bool,
    /// Added to the path of its tokens.
    pub path_suffix: String,
    /// Where its tokens may be used from; anywhere if there are none.
    pub bound_cidrs: Vec<Cidr>,
    /// The age beyond which no renewal of its tokens goes; zero for none.
    pub explicit_max_ttl: Ttl,
    /// The lifetime that each renewal gives its tokens; zero for none.
    pub period: Ttl,
    /// Its tokens don't get the policy `default`.
    pub no_default_policy: bool,
    /// Requests that its tokens may make; zero for any number.
    pub num_uses: u32,
    /// What sort of tokens it makes.
    pub token_type: TokenTypePolicy,
    /// Which values came by their older names, and are shown under both.
    #[serde(default)]
    pub legacy: LegacyFieldNames,
}

/// Values that were set by the names fields had before they began with `token_`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LegacyFieldNames {
    /// `period`.
    pub period: bool,
    /// `explicit_max_ttl`.
    pub explicit_max_ttl: bool,
    /// `bound_cidrs`.
    pub bound_cidrs: bool,
}

/// What sort of tokens a role makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TokenTypePolicy {
    /// Service tokens only.
    Service,
    /// Batch tokens only.
    Batch,
    /// Service tokens, unless batch is asked for.
    DefaultService,
    /// Batch tokens, unless service is asked for.
    DefaultBatch,
}

impl TokenTypePolicy {
    /// Its name in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Batch => "batch",
            Self::DefaultService => "default-service",
            Self::DefaultBatch => "default-batch",
        }
    }

    /// The type of this name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Service, Self::Batch, Self::DefaultService, Self::DefaultBatch]
            .into_iter()
            .find(|it| it.name() == name)
    }
}

impl Default for TokenRole {
    /// As a role is whose maker said nothing.
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
            token_type: TokenTypePolicy::DefaultService,
            legacy: LegacyFieldNames::default(),
        }
    }
}

impl TokenRole {
    /// Whether the role itself says which policies its tokens may have.
    pub fn restricts_policies(&self) -> bool {
        !self.allowed_policies.is_empty()
            || !self.allowed_policies_glob.is_empty()
            || !self.disallowed_policies.is_empty()
            || !self.disallowed_policies_glob.is_empty()
    }

    /// Whether it forbids a policy.
    pub fn disallows_policy(&self, policy: &PolicyName) -> bool {
        self.disallowed_policies.contains(policy)
            || matches_any(&self.disallowed_policies_glob, policy)
    }

    /// Whether one of its globs allows a policy.
    pub fn glob_allows_policy(&self, policy: &PolicyName) -> bool {
        matches_any(&self.allowed_policies_glob, policy)
    }
}

fn matches_any(globs: &BTreeSet<PolicyName>, policy: &PolicyName) -> bool {
    globs.iter().any(|glob| glob_matches(glob.as_str(), policy.as_str()))
}

/// `*` stands for any text, anywhere and as often as wanted.
fn glob_matches(glob: &str, text: &str) -> bool {
    let Some((start, rest)) = glob.split_once('*') else { return glob == text };
    let Some(mut text) = text.strip_prefix(start) else { return false };
    let (middle, end) = rest.rsplit_once('*').unwrap_or(("", rest));
    // What fits first leaves the most for what follows.
    for part in middle.split('*') {
        let Some(at) = text.find(part) else { return false };
        text = text.get(at + part.len()..).unwrap_or_default();
    }
    text.ends_with(end)
}

/// The token roles of a server. Cheap to clone.
#[derive(Clone, Debug)]
pub struct TokenRoleStore(View);

const PAGE: usize = 256;

impl TokenRoleStore {
    /// Over its view. Reads nothing.
    pub fn new(view: View) -> Self {
        Self(view)
    }

    /// The role of this name, and its version.
    pub async fn get(
        &self,
        name: &str,
    ) -> Result<Option<(TokenRole, Version)>, strongroom_barrier::Error> {
        let Some(entry) = self.0.get(name).await? else { return Ok(None) };
        Ok(Some((self.0.decode_json(name, &entry.value)?, entry.version)))
    }

    /// Writes a role, on condition that it is still at the version it was read at, or still not
    /// there.
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

    /// Removes a role, if it is there.
    pub async fn delete(&self, name: &str) -> Result<(), strongroom_barrier::Error> {
        let mut batch = Batch::new();
        self.0.delete(&mut batch, name);
        self.0.commit(batch).await.map(|_| ())
    }

    /// All names, sorted.
    pub async fn names(&self) -> Result<Vec<String>, strongroom_barrier::Error> {
        let mut names: Vec<String> = Vec::new();
        loop {
            let page = self.0.list_keys("", names.last().map(String::as_str), PAGE).await?;
            let last = page.len() < PAGE;
            names.extend(page);
            if last {
                return Ok(names);
            }
        }
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
