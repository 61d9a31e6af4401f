//! [`Acl`]: the policies of one token, compiled.

use std::collections::HashMap;
use std::sync::Arc;

use crate::capability::{Capabilities, Capability};
use crate::language::{Policy, Rule};
use crate::pattern::PathPattern;

/// What a set of policies allows. Of all patterns that match a path, the most specific one alone
/// decides; the same pattern in several policies is merged.
#[derive(Clone, Debug, Default)]
pub struct Acl {
    root: bool,
    exact: HashMap<String, Capabilities>,
    /// The most specific first.
    globs: Vec<(PathPattern, Capabilities)>,
}

impl Acl {
    /// Compiles policies.
    pub fn new<'p>(policies: impl IntoIterator<Item = &'p Policy>) -> Self {
        let mut merged: HashMap<PathPattern, Capabilities> = HashMap::new();
        for policy in policies {
            if policy.unreadable {
                return Self::default();
            }
            for Rule { pattern, capabilities } in &policy.rules {
                let known = merged.entry(pattern.clone()).or_default();
                *known = known.union(*capabilities);
            }
        }
        let mut acl = Self::default();
        for (pattern, capabilities) in merged {
            if pattern.is_exact() {
                acl.exact.insert(pattern.as_str().to_owned(), capabilities);
            } else {
                acl.globs.push((pattern, capabilities));
            }
        }
        acl.globs.sort_by(|(a, _), (b, _)| b.cmp(a));
        acl
    }

    /// Allows everything.
    pub fn root() -> Arc<Self> {
        Arc::new(Self { root: true, ..Self::default() })
    }

    /// Whether everything is allowed.
    pub fn is_root(&self) -> bool {
        self.root
    }

    /// What is granted on a path.
    pub fn capabilities(&self, path: &str) -> Capabilities {
        self.decide(path).map_or(Capabilities::NONE, |(_, granted)| granted)
    }

    /// Whether an operation that needs `capability` may be done at `path`. `sudo` says that the
    /// path is root-protected and needs that capability as well.
    pub fn allows(&self, path: &str, capability: Capability, sudo: bool) -> bool {
        if self.root {
            return true;
        }
        let granted = if matches!(capability, Capability::List | Capability::Scan) {
            self.folder_capabilities(path)
        } else {
            self.capabilities(path)
        };
        granted.allows(capability) && (!sudo || granted.allows(Capability::Sudo))
    }

    /// Whether anything is granted at or below a folder (which ends in a slash).
    pub fn reaches(&self, folder: &str) -> bool {
        let exact = self.exact.iter();
        self.root
            || exact.clone().any(|(path, granted)| !granted.is_empty() && path.starts_with(folder))
            || self.globs.iter().any(|(glob, granted)| !granted.is_empty() && glob.reaches(folder))
    }

    /// The rules for one path each, in no order.
    pub fn exact_rules(&self) -> impl Iterator<Item = (&str, Capabilities)> {
        self.exact.iter().map(|(path, granted)| (path.as_str(), *granted))
    }

    /// The rules for all paths with a prefix, in no order. Those with `+` are neither these nor
    /// exact.
    pub fn prefix_rules(&self) -> impl Iterator<Item = (&str, Capabilities)> {
        self.globs.iter().filter_map(|(glob, granted)| Some((glob.as_prefix()?, *granted)))
    }

    /// What is granted on listing a folder. A rule for the path with its slash and one for the path
    /// without may both speak of it: the more specific decides, and of two exact ones that with the
    /// slash, unless the other denies: a denial can't be walked around with a slash
    /// (GHSA-xp3c-3jw3-4vcr).
    pub fn folder_capabilities(&self, path: &str) -> Capabilities {
        let bare = path.strip_suffix('/').unwrap_or(path);
        match (self.decide(path), self.decide(bare)) {
            (Some((a, with)), Some((b, without))) => match a.cmp(&b) {
                std::cmp::Ordering::Greater => with,
                std::cmp::Ordering::Less => without,
                std::cmp::Ordering::Equal if without.denies() => without,
                std::cmp::Ordering::Equal => with,
            },
            (Some((_, granted)), None) | (None, Some((_, granted))) => granted,
            (None, None) => Capabilities::NONE,
        }
    }

    /// The deciding rule's rank and grant. An exact rule ranks above every glob.
    fn decide(&self, path: &str) -> Option<(Rank<'_>, Capabilities)> {
        if let Some(granted) = self.exact.get(path) {
            return Some((Rank::Exact, *granted));
        }
        let glob = self.globs.iter().find(|(pattern, _)| pattern.matches(path))?;
        Some((Rank::Glob(&glob.0), glob.1))
    }
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Rank<'a> {
    Glob(&'a PathPattern),
    Exact,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acl(texts: &[&str]) -> Acl {
        let policies: Vec<Policy> = texts.iter().map(|text| Policy::parse(text).unwrap()).collect();
        Acl::new(&policies)
    }

    #[test]
    fn the_most_specific_pattern_alone_decides() {
        let acl = acl(&[r#"
            path "secret/*" { capabilities = ["create", "read", "update", "delete", "list"] }
            path "secret/restricted" { capabilities = ["deny"] }
            path "secret/+/ro" { capabilities = ["read"] }
            path "secret/super*" { capabilities = ["list"] }
        "#]);
        assert!(acl.allows("secret/a", Capability::Update, false));
        assert!(!acl.allows("secret/restricted", Capability::Read, false));
        assert!(acl.allows("secret/x/ro", Capability::Read, false));
        assert!(!acl.allows("secret/x/ro", Capability::Update, false));
        assert!(!acl.allows("secret/superuser", Capability::Read, false));
        assert!(!acl.allows("other", Capability::Read, false));
    }

    #[test]
    fn the_same_pattern_in_two_policies_is_merged_and_denial_wins() {
        let read = r#"path "a/*" { capabilities = ["read"] }"#;
        let list = r#"path "a/*" { capabilities = ["list"] }"#;
        let deny = r#"path "a/*" { capabilities = ["deny"] }"#;
        assert_eq!(acl(&[read, list]).capabilities("a/b").names(), ["list", "read"]);
        assert_eq!(acl(&[read, list, deny]).capabilities("a/b").names(), ["deny"]);
    }

    #[test]
    fn sudo_is_needed_beside_the_capability_and_grants_nothing_alone() {
        let acl = acl(&[r#"
            path "a" { capabilities = ["update"] }
            path "b" { capabilities = ["sudo"] }
            path "c" { capabilities = ["update", "sudo"] }
        "#]);
        assert!(!acl.allows("a", Capability::Update, true));
        assert!(!acl.allows("b", Capability::Update, true));
        assert!(acl.allows("c", Capability::Update, true));
    }

    #[test]
    fn ghsa_xp3c_3jw3_4vcr_a_slash_does_not_walk_around_a_denial() {
        for denial in ["secret/hidden", "secret/hidden/", "secret/hid*", "secret/+"] {
            let text = format!(
                "path \"secret/*\" {{ capabilities = [\"list\"] }}\n\
                 path \"{denial}\" {{ capabilities = [\"deny\"] }}"
            );
            let acl = acl(&[&text]);
            assert!(!acl.allows("secret/hidden/", Capability::List, false), "{denial}");
            assert!(acl.allows("secret/", Capability::List, false) || denial == "secret/+");
        }
    }

    #[test]
    fn an_exact_rule_without_slash_counts_for_lists() {
        let acl = acl(&[r#"path "secret/team" { capabilities = ["list"] }"#]);
        assert!(acl.allows("secret/team/", Capability::List, false));
        assert!(!acl.allows("secret/team/", Capability::Read, false));
    }

    #[test]
    fn of_two_exact_rules_the_one_with_the_slash_decides_on_lists() {
        let both = |with: &str, without: &str| {
            acl(&[&format!(
                "path \"a/\" {{ capabilities = [\"{with}\"] }}\n\
                 path \"a\" {{ capabilities = [\"{without}\"] }}"
            )])
        };
        assert!(!both("read", "list").allows("a/", Capability::List, false), "nothing is joined");
        assert!(both("list", "read").allows("a/", Capability::List, false));
        assert!(!both("list", "deny").allows("a/", Capability::List, false));
        assert!(!both("deny", "list").allows("a/", Capability::List, false));
    }

    #[test]
    fn a_policy_that_cannot_be_read_refuses_everything() {
        let all = Policy::parse(r#"path "*" { capabilities = ["read"] }"#).unwrap();
        let lost = Policy::unreadable("path".to_owned());
        assert!(Acl::new([&all]).allows("a", Capability::Read, false));
        assert!(!Acl::new([&all, &lost]).allows("a", Capability::Read, false));
    }

    #[test]
    fn root_needs_no_rules() {
        assert!(Acl::root().allows("anything", Capability::Delete, true));
        assert!(!Acl::default().allows("anything", Capability::Read, false));
    }
}
