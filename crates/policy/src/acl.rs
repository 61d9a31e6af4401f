//! [`Acl`]: the policies of one token, compiled.

use std::collections::HashMap;
use std::sync::Arc;

use strongroom_types::{Fields, Ttl};

use crate::capability::{Capabilities, Capability};
use crate::conditions::Grant;
use crate::language::{Policy, Rule};
use crate::pattern::PathPattern;

/// What a set of policies allows. Of all patterns that match a path, the most specific one alone
/// decides; the same pattern in several policies is merged.
#[derive(Clone, Debug, Default)]
pub struct Acl {
    root: bool,
    exact: HashMap<String, Grant>,
    /// The most specific first.
    globs: Vec<(PathPattern, Grant)>,
}

impl Acl {
    /// Compiles policies.
    pub fn new<'p>(policies: impl IntoIterator<Item = &'p Policy>) -> Self {
        let mut merged: HashMap<PathPattern, Grant> = HashMap::new();
        for policy in policies {
            if policy.unreadable {
                return Self::default();
            }
            for Rule { pattern, grant } in &policy.rules {
                merged.entry(pattern.clone()).or_default().add(grant);
            }
        }
        let mut acl = Self::default();
        for (pattern, grant) in merged {
            if pattern.is_exact() {
                acl.exact.insert(pattern.as_str().to_owned(), grant);
            } else {
                acl.globs.push((pattern, grant));
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
        self.decide(path).map_or(Capabilities::NONE, |(_, grant)| grant.capabilities)
    }

    /// Whether the rules grant `capability` at `path` at all, whatever they ask of a request beside
    /// it. `sudo` says that the path is root-protected and needs that capability as well.
    pub fn allows(&self, path: &str, capability: Capability, sudo: bool) -> bool {
        self.root
            || self
                .granted(path, capability, sudo)
                .is_some_and(|g| g.capabilities.allows(capability))
    }

    /// Whether a request may be made: what [`Acl::allows`] asks, and that the fields it hands on and
    /// the lifetime of its wrapped answer, if it is to be wrapped, are what the rule wants.
    pub fn permits(
        &self,
        path: &str,
        capability: Capability,
        sudo: bool,
        fields: &Fields,
        wrap: Option<Ttl>,
    ) -> bool {
        let grant = |grant: &Grant| grant.permits(capability, fields, wrap);
        self.root || self.granted(path, capability, sudo).is_some_and(grant)
    }

    /// The deciding rule; none if `sudo` is needed and not granted.
    fn granted(&self, path: &str, capability: Capability, sudo: bool) -> Option<&Grant> {
        let grant = if matches!(capability, Capability::List | Capability::Scan) {
            self.decide_folder(path)
        } else {
            self.decide(path).map(|(_, grant)| grant)
        };
        grant.filter(|grant| !sudo || grant.capabilities.allows(Capability::Sudo))
    }

    /// Whether anything is granted at or below a folder (which ends in a slash).
    pub fn reaches(&self, folder: &str) -> bool {
        let grants = |grant: &Grant| !grant.capabilities.is_empty();
        self.root
            || self.exact.iter().any(|(path, grant)| grants(grant) && path.starts_with(folder))
            || self.globs.iter().any(|(glob, grant)| grants(grant) && glob.reaches(folder))
    }

    /// The rules for one path each, in no order.
    pub fn exact_rules(&self) -> impl Iterator<Item = (&str, Capabilities)> {
        self.exact.iter().map(|(path, grant)| (path.as_str(), grant.capabilities))
    }

    /// The rules for all paths with a prefix, in no order. Those with `+` are neither these nor
    /// exact.
    pub fn prefix_rules(&self) -> impl Iterator<Item = (&str, Capabilities)> {
        self.globs.iter().filter_map(|(glob, grant)| Some((glob.as_prefix()?, grant.capabilities)))
    }

    /// What is granted on listing a folder; the same as [`Acl::capabilities`] for a path without a
    /// slash at its end.
    pub fn folder_capabilities(&self, path: &str) -> Capabilities {
        self.decide_folder(path).map_or(Capabilities::NONE, |grant| grant.capabilities)
    }

    /// A rule for the path with its slash and one for the path without may both speak of a folder:
    /// the more specific decides, and of two exact ones that with the slash, unless the other
    /// denies: a denial can't be walked around with a slash (GHSA-xp3c-3jw3-4vcr).
    fn decide_folder(&self, path: &str) -> Option<&Grant> {
        let bare = path.strip_suffix('/').unwrap_or(path);
        match (self.decide(path), self.decide(bare)) {
            (Some((a, with)), Some((b, without))) => match a.cmp(&b) {
                std::cmp::Ordering::Greater => Some(with),
                std::cmp::Ordering::Less => Some(without),
                std::cmp::Ordering::Equal if without.capabilities.denies() => Some(without),
                std::cmp::Ordering::Equal => Some(with),
            },
            (Some((_, grant)), None) | (None, Some((_, grant))) => Some(grant),
            (None, None) => None,
        }
    }

    /// The deciding rule's rank and grant. An exact rule ranks above every glob.
    fn decide(&self, path: &str) -> Option<(Rank<'_>, &Grant)> {
        if let Some(grant) = self.exact.get(path) {
            return Some((Rank::Exact, grant));
        }
        let (pattern, grant) = self.globs.iter().find(|(pattern, _)| pattern.matches(path))?;
        Some((Rank::Glob(pattern), grant))
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

    /// The documented priority, over all rules at once: an exact rule, then of the globs that match
    /// the one that no other beats.
    fn naive<'r>(rules: &'r [(String, Capabilities)], path: &str) -> Option<&'r Capabilities> {
        let exact =
            rules.iter().find(|(p, _)| p == path && !p.ends_with('*') && !plus(p).any(|_| true));
        let mut globs: Vec<_> = rules
            .iter()
            .filter(|(p, _)| (p.ends_with('*') || plus(p).any(|_| true)) && glob(p, path))
            .collect();
        globs.sort_by(|(a, _), (b, _)| {
            let wild = |p: &str| {
                let star = p.ends_with('*').then(|| p.len() - 1);
                plus(p).chain(star).min().unwrap_or(p.len())
            };
            wild(a)
                .cmp(&wild(b))
                .then(b.ends_with('*').cmp(&a.ends_with('*')))
                .then(plus(b).count().cmp(&plus(a).count()))
                .then(a.len().cmp(&b.len()))
                .then(a.cmp(b))
        });
        exact.or(globs.pop()).map(|(_, granted)| granted)
    }

    /// Where the segments `+` stand.
    fn plus(pattern: &str) -> impl Iterator<Item = usize> {
        let bytes = pattern.as_bytes();
        let edge = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_none_or(|b| *b == b'/');
        pattern
            .match_indices('+')
            .map(|(at, _)| at)
            .filter(move |at| edge(at.checked_sub(1)) && edge(Some(at + 1)))
            .collect::<Vec<_>>()
            .into_iter()
    }

    /// A pattern as a walk over both texts.
    fn glob(pattern: &str, path: &str) -> bool {
        if pattern == "*" {
            return true;
        }
        if let Some(rest) = pattern.strip_prefix('+')
            && (rest.is_empty() || rest.starts_with('/'))
        {
            let after = path.find('/').unwrap_or(path.len());
            return glob_tail(rest, &path[after..]);
        }
        let (p, q) = (pattern.find('/'), path.find('/'));
        let (first, rest) = pattern.split_at(p.unwrap_or(pattern.len()));
        if p.is_none() && first.ends_with('*') {
            return path.starts_with(&first[..first.len() - 1]);
        }
        let (have, left) = path.split_at(q.unwrap_or(path.len()));
        first == have && glob_tail(rest, left)
    }

    fn glob_tail(pattern: &str, path: &str) -> bool {
        match (pattern.strip_prefix('/'), path.strip_prefix('/')) {
            (Some(pattern), Some(path)) => glob(pattern, path),
            _ => pattern == path,
        }
    }

    proptest::proptest! {
        #[test]
        fn agrees_with_a_naive_model(
            patterns in proptest::collection::vec(("[ab/+]{0,5}\\*?", 0_usize..11), 0..7),
            path in "[ab](/?[ab]){0,3}/?",
        ) {
            let mut rules: Vec<(String, Capabilities)> = Vec::new();
            let mut text = String::new();
            for (pattern, capability) in patterns {
                let pattern = pattern.strip_prefix('/').unwrap_or(&pattern).to_owned();
                if pattern.starts_with('/') || PathPattern::parse(&pattern).is_err() {
                    continue;
                }
                let capability = Capability::ALL[capability];
                text.push_str(&format!("path \"{pattern}\" {{ capabilities = [\"{}\"] }}\n", capability.name()));
                let granted = Capabilities::NONE.with(capability);
                match rules.iter_mut().find(|(known, _)| *known == pattern) {
                    Some((_, known)) => *known = known.union(granted),
                    None => rules.push((pattern, granted)),
                }
            }
            let expected = naive(&rules, &path).copied().unwrap_or_default();
            proptest::prop_assert_eq!(acl(&[&text]).capabilities(&path), expected, "{} {}", text, path);
        }
    }
}
