//! [`Acl`]: evaluates all policies of one token together.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use strongroom_types::{Fields, Ttl};

use crate::capability::{Capabilities, Capability};
use crate::conditions::PathGrant;
use crate::field_reading::{FieldReadings, case_folded};
use crate::language::{PathRule, Policy};
use crate::pattern::PathPattern;

/// What a set of policies allows. Of all patterns that match a path, only the most specific one
/// decides; rules for the same pattern in several policies are merged.
///
/// It refers to the policies and copies none of their rules, so it costs a few bytes per policy
/// whatever their size, and is built for each request.
#[derive(Clone, Debug, Default)]
pub struct Acl {
    root: bool,
    policies: Vec<Arc<Policy>>,
}

/// Whether the backend of a path may treat paths that differ only in case as the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PathCase {
    /// The backend distinguishes case, or the path is already in the backend's normalised form.
    #[default]
    Distinct,
    /// The backend ignores case, or doesn't declare it. Rules then grant only paths spelled exactly
    /// like them, but restrict paths in every spelling.
    MayFold,
}

/// The parts of a request that policies are evaluated against. It borrows them from the request and
/// is cheap to copy.
#[derive(Clone, Copy)]
pub struct AclRequest<'r> {
    /// The request path in the backend's normalised form.
    pub path: &'r str,
    /// Whether the backend may ignore case in the path.
    pub case: PathCase,
    /// The capability that the operation needs.
    pub capability: Capability,
    /// Whether the path is root-protected and needs `sudo` as well.
    pub sudo: bool,
    /// The fields of the request that are passed to the handler.
    pub fields: &'r Fields,
    /// Whether the request has a body that isn't parsed into fields. No rule with conditions on fields
    /// then permits the request, because they can't be evaluated.
    pub has_raw_body: bool,
    /// How the handler reads the fields; called only if a rule has conditions on fields.
    pub readings: &'r dyn Fn() -> FieldReadings,
    /// The lifetime of the wrapped response, if the client requested response wrapping.
    pub wrap: Option<Ttl>,
}

impl Acl {
    /// Combines policies. If one of them is unreadable, the result allows nothing, because that
    /// policy may have denied something.
    pub fn new(policies: impl IntoIterator<Item = Arc<Policy>>) -> Self {
        let policies: Vec<_> = policies.into_iter().collect();
        // What an unreadable policy denied is unknown.
        if policies.iter().any(|policy| policy.unreadable) {
            return Self::default();
        }
        Self { root: false, policies }
    }

    /// The ACL of the `root` policy, which allows everything. It contains no policies and is not
    /// restricted by conditions.
    pub fn root() -> Self {
        Self { root: true, policies: Vec::new() }
    }

    /// Whether this is the ACL of the `root` policy.
    pub fn is_root(&self) -> bool {
        self.root
    }

    /// The capabilities granted on a path, ignoring conditions on fields and wrapping. The set is
    /// empty if no rule matches, and for the ACL of `root`, which has no rules.
    pub fn capabilities(&self, path: &str, case: PathCase) -> Capabilities {
        self.decide_path(AclTarget::for_path(path), case)
            .map_or(Capabilities::NONE, |it| it.capabilities())
    }

    /// Whether the rules grant `capability` on `path`, ignoring their conditions on fields and
    /// wrapping. `sudo` means that the path is root-protected, so that the `sudo` capability is
    /// required as well.
    pub fn allows(&self, path: &str, capability: Capability, sudo: bool) -> bool {
        self.root
            || self
                .decision_for(path, PathCase::Distinct, capability, sudo)
                .is_some_and(|decision| decision.capabilities().allows(capability))
    }

    /// Whether a request is allowed: as [`Acl::allows`], but considering [`AclRequest::case`], and
    /// its fields and wrapping meet the conditions of the deciding rules.
    pub fn permits_request(&self, asked: &AclRequest<'_>) -> bool {
        let AclRequest { path, case, capability, sudo, fields, has_raw_body, readings, wrap } =
            *asked;
        self.root
            || self.decision_for(path, case, capability, sudo).is_some_and(|decision| {
                let mut grants = decision.all_grants();
                grants.all(|grant| {
                    grant.permits_request(capability, fields, readings, wrap)
                        && !(has_raw_body && grant.has_conditions_on_fields())
                })
            })
    }

    /// The deciding rules; `None` if there are none, or `sudo` is needed and not granted.
    fn decision_for(
        &self,
        path: &str,
        case: PathCase,
        capability: Capability,
        sudo: bool,
    ) -> Option<AclDecision<'_>> {
        let lists = matches!(capability, Capability::List | Capability::Scan);
        let target = if lists { AclTarget::for_folder(path) } else { AclTarget::for_path(path) };
        self.decide_path(target, case)
            .filter(|decision| !sudo || decision.capabilities().allows(Capability::Sudo))
    }

    /// Whether any capability is granted at or below a folder, given with a trailing slash.
    pub fn grants_anything_below(&self, folder: &str) -> bool {
        // A pattern less specific than one that covers the whole folder never decides inside it.
        let patterns = self.all_rules().map(|rule| &rule.pattern);
        let whole = patterns.filter(|pattern| pattern.covers_folder(folder)).max();
        let speaks_of = |pattern: &PathPattern| {
            if pattern.is_exact() {
                pattern.as_str().starts_with(folder)
            } else {
                whole.is_none_or(|whole| pattern >= whole) && pattern.may_match_below(folder)
            }
        };
        self.root
            || self.all_rules().any(|rule| {
                speaks_of(&rule.pattern)
                    && !self.merged_grant(&rule.pattern).capabilities.is_empty()
            })
    }

    /// The capabilities of the rules without wildcards, by path. If several rules have the same
    /// path, their capabilities are merged.
    pub fn exact_rules(&self) -> BTreeMap<&str, Capabilities> {
        let exact = self.all_rules().filter(|rule| rule.pattern.is_exact());
        merge_capabilities(exact.map(|rule| (rule.pattern.as_str(), rule)))
    }

    /// The capabilities of the rules whose only wildcard is a trailing `*`, by prefix. Rules with
    /// `+` are in neither map.
    pub fn prefix_rules(&self) -> BTreeMap<&str, Capabilities> {
        merge_capabilities(
            self.all_rules().filter_map(|rule| Some((rule.pattern.as_prefix()?, rule))),
        )
    }

    /// The capabilities granted on a path, for display. If the path ends in a slash, `list` and
    /// `scan` are decided by the rules for the path without the slash as well; the other
    /// capabilities aren't.
    pub fn folder_capabilities(&self, path: &str, case: PathCase) -> Capabilities {
        use Capability::{List, Scan, Sudo};
        let own = self.capabilities(path, case);
        let folder = self.decide_path(AclTarget::for_folder(path), case);
        let listed = folder.map_or(Capabilities::NONE, |it| it.capabilities());
        if own.is_empty() {
            let lists = [List, Scan, Sudo].into_iter().filter(|it| listed.allows(*it));
            let lists: Capabilities = lists.collect();
            return if lists.is_empty() { listed.intersection(own) } else { lists };
        }
        let granted = Capability::ALL.into_iter().filter(|capability| match capability {
            List | Scan => listed.allows(*capability),
            // `sudo` is reported only if it applies to everything that is granted.
            Sudo => own.allows(Sudo) && (listed.is_empty() || listed.allows(Sudo)),
            _ => own.allows(*capability),
        });
        granted.collect()
    }

    /// The deciding rule, and the rules that restrict it if the backend may ignore case.
    fn decide_path(&self, target: AclTarget<'_>, case: PathCase) -> Option<AclDecision<'_>> {
        let mut decision = self.decide_as_spelled(target)?;
        // Restrictions matter only on a path that some rule decides.
        if case == PathCase::MayFold && !decision.grant.capabilities.is_denied() {
            decision.restrictions = self.case_restrictions(target, &decision);
        }
        Some(decision)
    }

    /// The most specific rule that matches the path in its given spelling.
    fn decide_as_spelled(&self, target: AclTarget<'_>) -> Option<AclDecision<'_>> {
        let bare = target.without_slash.and_then(|bare| self.exact_decision(bare));
        let bare_denies = bare.as_ref().is_some_and(|bare| bare.grant.capabilities.is_denied());
        let whole = if bare_denies { None } else { self.exact_decision(target.path) };
        if whole.is_some() {
            return whole;
        }
        if let Some(bare) = bare {
            return Some(AclDecision { rank: RulePrecedence::WithoutSlash, ..bare });
        }
        let mut best: Option<&PathRule> = None;
        let mut shared = false;
        for policy in &self.policies {
            let matching =
                policy.glob_rules().iter().find(|rule| target.matches_pattern(&rule.pattern));
            let Some(rule) = matching else { continue };
            match best.map_or(Ordering::Less, |best| best.pattern.cmp(&rule.pattern)) {
                Ordering::Less => (best, shared) = (Some(rule), false),
                Ordering::Equal => shared = true,
                Ordering::Greater => {}
            }
        }
        let best = best?;
        let rank = RulePrecedence::Glob(Cow::Borrowed(&best.pattern));
        let grant =
            if shared { self.merged_grant(&best.pattern) } else { Cow::Borrowed(&best.grant) };
        Some(AclDecision { rank, grant, restrictions: Vec::new() })
    }

    /// The merged grant of the exact rules for this path.
    fn exact_decision(&self, path: &str) -> Option<AclDecision<'_>> {
        let rules = self.policies.iter().filter_map(|policy| policy.exact_rule(path));
        let grant = merge_grants(rules.map(|rule| &rule.grant))?;
        Some(AclDecision { rank: RulePrecedence::Exact, grant, restrictions: Vec::new() })
    }

    /// The grants of rules that match the path only in another case and are at least as specific as
    /// the deciding rule, or are exact and deny. The backend may treat the path as one such a rule
    /// is written for, so only what that rule grants as well is granted.
    fn case_restrictions(
        &self,
        spelled: AclTarget<'_>,
        decision: &AclDecision<'_>,
    ) -> Vec<Cow<'_, PathGrant>> {
        let path = case_folded(spelled.path);
        let target = if spelled.without_slash.is_some() {
            AclTarget::for_folder(&path)
        } else {
            AclTarget::for_path(&path)
        };
        let has_capitals = path != spelled.path;
        let deciding = decision.rank.case_folded();
        let mut patterns: Vec<&PathPattern> = Vec::new();
        for policy in &self.policies {
            let exact = |path, rank: RulePrecedence<'static>| {
                let rules = policy.exact_rules_in_any_case(path, has_capitals);
                let counts = rank >= deciding;
                rules.filter(move |rule| counts || rule.grant.capabilities.is_denied())
            };
            patterns.extend(exact(target.path, RulePrecedence::Exact).map(|rule| &rule.pattern));
            let bare = target.without_slash.map(|bare| exact(bare, RulePrecedence::WithoutSlash));
            patterns.extend(bare.into_iter().flatten().map(|rule| &rule.pattern));
            let RulePrecedence::Glob(least) = &deciding else { continue };
            let globs = policy
                .globs_in_any_case(has_capitals)
                .filter(|(folded, _)| **folded >= **least && target.matches_pattern(folded));
            patterns.extend(globs.map(|(_, rule)| &rule.pattern));
        }
        patterns.sort_unstable();
        patterns.dedup();
        let decides = |pattern: &PathPattern| match &decision.rank {
            RulePrecedence::Glob(own) => **own == *pattern,
            RulePrecedence::WithoutSlash => spelled.without_slash == Some(pattern.as_str()),
            RulePrecedence::Exact => spelled.path == pattern.as_str(),
        };
        let others = patterns.into_iter().filter(|pattern| !decides(pattern));
        others.map(|pattern| self.merged_grant(pattern)).collect()
    }

    /// Memory in bytes that this holds apart from the policies it refers to.
    #[cfg(test)]
    pub(crate) fn bytes_held(&self) -> usize {
        self.policies.capacity() * size_of::<Arc<Policy>>()
    }

    fn all_rules(&self) -> impl Iterator<Item = &PathRule> {
        self.policies.iter().flat_map(|policy| &policy.rules)
    }

    /// The merged grant of all policies for one pattern.
    fn merged_grant(&self, pattern: &PathPattern) -> Cow<'_, PathGrant> {
        merge_grants(self.policies.iter().filter_map(|policy| policy.grant_for_pattern(pattern)))
            .unwrap_or_default()
    }
}

/// Merges the grants for one pattern; `None` if there are none.
fn merge_grants<'g>(mut grants: impl Iterator<Item = &'g PathGrant>) -> Option<Cow<'g, PathGrant>> {
    let mut merged = Cow::Borrowed(grants.next()?);
    for grant in grants {
        merged.to_mut().merge_grant(grant);
    }
    Some(merged)
}

fn merge_capabilities<'r>(
    rules: impl Iterator<Item = (&'r str, &'r PathRule)>,
) -> BTreeMap<&'r str, Capabilities> {
    let mut merged: BTreeMap<&str, Capabilities> = BTreeMap::new();
    for (text, rule) in rules {
        let granted = merged.entry(text).or_default();
        *granted = granted.union(rule.grant.capabilities);
    }
    merged
}

/// The path that is to be decided.
#[derive(Clone, Copy)]
struct AclTarget<'t> {
    path: &'t str,
    /// When listing a folder: its path without the trailing slash. Rules for either form apply. The
    /// more specific one decides; of two exact ones that with the slash, unless the other denies,
    /// so that a trailing slash can't bypass a denial (GHSA-xp3c-3jw3-4vcr).
    without_slash: Option<&'t str>,
}

impl<'t> AclTarget<'t> {
    fn for_path(path: &'t str) -> Self {
        Self { path, without_slash: None }
    }

    fn for_folder(path: &'t str) -> Self {
        Self { path, without_slash: path.strip_suffix('/') }
    }

    fn matches_pattern(self, pattern: &PathPattern) -> bool {
        pattern.matches(self.path) || self.without_slash.is_some_and(|bare| pattern.matches(bare))
    }
}

/// The result of matching a path: the deciding grant and its restrictions.
struct AclDecision<'a> {
    rank: RulePrecedence<'a>,
    grant: Cow<'a, PathGrant>,
    /// Grants that must all allow the request as well.
    restrictions: Vec<Cow<'a, PathGrant>>,
}

impl AclDecision<'_> {
    fn all_grants(&self) -> impl Iterator<Item = &PathGrant> {
        std::iter::once(&self.grant).chain(&self.restrictions).map(|grant| &**grant)
    }

    fn capabilities(&self) -> Capabilities {
        let own = self.grant.capabilities;
        self.all_grants().fold(own, |all, grant| all.intersection(grant.capabilities))
    }
}

/// How specific the deciding rule is. An exact rule takes precedence over every glob.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum RulePrecedence<'a> {
    Glob(Cow<'a, PathPattern>),
    /// An exact rule for the path of a folder without its trailing slash.
    WithoutSlash,
    Exact,
}

impl RulePrecedence<'_> {
    fn case_folded(&self) -> RulePrecedence<'static> {
        match self {
            Self::Glob(pattern) => RulePrecedence::Glob(Cow::Owned(pattern.case_folded())),
            Self::WithoutSlash => RulePrecedence::WithoutSlash,
            Self::Exact => RulePrecedence::Exact,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_acl(texts: &[&str]) -> Acl {
        Acl::new(texts.iter().map(|text| Arc::new(Policy::parse(text).unwrap())))
    }

    #[test]
    fn the_most_specific_pattern_alone_decides() {
        let acl = parse_acl(&[r#"
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
        assert_eq!(
            parse_acl(&[read, list]).capabilities("a/b", PathCase::Distinct).names(),
            ["list", "read"]
        );
        assert_eq!(
            parse_acl(&[read, list, deny]).capabilities("a/b", PathCase::Distinct).names(),
            ["deny"]
        );
    }

    #[test]
    fn sudo_is_needed_beside_the_capability_and_grants_nothing_alone() {
        let acl = parse_acl(&[r#"
            path "a" { capabilities = ["update"] }
            path "b" { capabilities = ["sudo"] }
            path "c" { capabilities = ["update", "sudo"] }
        "#]);
        assert!(!acl.allows("a", Capability::Update, true));
        assert!(!acl.allows("b", Capability::Update, true));
        assert!(acl.allows("c", Capability::Update, true));
    }

    #[test]
    fn ghsa_xp3c_3jw3_4vcr_and_cve_2026_63131_a_slash_does_not_walk_around_a_denial() {
        for denial in ["secret/hidden", "secret/hidden/", "secret/hid*", "secret/+"] {
            let text = format!(
                "path \"secret/*\" {{ capabilities = [\"list\"] }}\n\
                 path \"{denial}\" {{ capabilities = [\"deny\"] }}"
            );
            let acl = parse_acl(&[&text]);
            assert!(!acl.allows("secret/hidden/", Capability::List, false), "{denial}");
            assert!(acl.allows("secret/", Capability::List, false) || denial == "secret/+");
        }
    }

    #[test]
    fn cve_2026_93335_a_denial_matches_whatever_the_case() {
        let acl = parse_acl(&[
            r#"path "secret/*" { capabilities = ["read", "list", "sudo"] }
               path "secret/data/hidden" { capabilities = ["deny"] }
               path "secret/Team/*" { capabilities = ["deny"] }
               path "secret/+/private" { capabilities = ["deny"] }
               path "secret/Team/open" { capabilities = ["read"] }"#,
            r#"path "secret/ümlaut" { capabilities = ["deny"] }"#,
        ]);
        let reads = |path, case| acl.capabilities(path, case).allows(Capability::Read);
        for path in [
            "secret/data/Hidden",
            "secret/DATA/HIDDEN",
            "secret/team/a",
            "secret/TEAM/a",
            "secret/x/PRIVATE",
            "secret/ÜMLAUT",
        ] {
            assert!(reads(path, PathCase::Distinct), "{path}");
            assert!(!reads(path, PathCase::MayFold), "{path}");
            assert!(acl.capabilities(path, PathCase::MayFold).is_denied(), "{path}");
        }
        for path in ["secret/data/other", "secret/Team/open", "secret/data/hidden2"] {
            assert!(reads(path, PathCase::MayFold), "{path}");
        }
        // Specificity is compared as usual, and grants apply to the exact spelling only.
        assert!(!reads("secret/team/open", PathCase::MayFold));
        assert!(!reads("Secret/data/other", PathCase::MayFold));
        // Lists are restricted as well, with or without a trailing slash.
        for path in ["secret/TEAM/", "secret/data/HIDDEN/", "secret/data/HIDDEN"] {
            let granted = acl.folder_capabilities(path, PathCase::MayFold);
            assert!(!granted.allows(Capability::List), "{path}");
        }
    }

    #[test]
    fn cve_2026_93335_a_denial_and_a_grant_of_one_path_in_two_cases_deny() {
        let acl = parse_acl(&[r#"
            path "a/Foo*" { capabilities = ["deny"] }
            path "a/foo*" { capabilities = ["read"] }
            path "a/foobar" { capabilities = ["read"] }"#]);
        let reads = |path| acl.capabilities(path, PathCase::MayFold).allows(Capability::Read);
        assert!(!reads("a/foo1") && !reads("a/Foo1"));
        assert!(reads("a/foobar"), "it is more specific");
        assert!(acl.allows("a/foo1", Capability::Read, false), "the backend tells them apart");
    }

    /// The wide rule matches `p/ADMIN`, which the backend may treat as `p/admin`.
    #[test]
    fn cve_2026_93335_a_narrower_rule_restricts_whatever_the_case() {
        let acl = parse_acl(&[r#"
            path "p/*" { capabilities = ["read", "update", "list", "sudo"] }
            path "p/admin" { capabilities = ["read", "delete"] }
            path "p/Team/*" { capabilities = ["read"] }
            path "p/Team/open" { capabilities = ["update"] }
            path "p/x/Locked*" { capabilities = [] }
            path "p/+/Shut" { capabilities = [] }
            path "p/box/" { capabilities = ["read"] }
            path "p/Chest" { capabilities = ["read"] }"#]);
        let names = |path| acl.capabilities(path, PathCase::MayFold).names();
        for (path, wanted) in [
            ("p/admin", &["delete", "read"] as &[_]),
            ("p/ADMIN", &["read"]),
            ("p/Admin2", &["list", "read", "sudo", "update"]),
            ("p/Team/a", &["read"]),
            ("p/team/a", &["read"]),
            ("p/Team/open", &["update"]),
            // Rules that match only in another case grant nothing, not even relative to each other.
            ("p/team/open", &["deny"]),
            ("p/x/lockedaway", &["deny"]),
            ("p/x/shut", &["deny"]),
            ("P/admin", &["deny"]),
        ] {
            assert_eq!(names(path), wanted, "{path}");
        }
        assert!(acl.allows("p/ADMIN", Capability::Update, false), "the backend tells them apart");
        let may = |path: &str, capability, sudo| {
            acl.decision_for(path, PathCase::MayFold, capability, sudo)
                .is_some_and(|decision| decision.capabilities().allows(capability))
        };
        assert!(
            may("p/other", Capability::Update, true) && !may("p/ADMIN", Capability::Read, true)
        );
        for path in ["p/box/", "p/BOX/", "p/Chest/", "p/CHEST/", "p/chest/"] {
            assert!(!may(path, Capability::List, false), "{path}");
        }
        assert!(may("p/BOX2/", Capability::List, false));
    }

    #[test]
    fn cve_2026_93335_conditions_hold_whatever_the_case() {
        let acl = parse_acl(&[r#"
            path "p/*" { capabilities = ["update"] denied_parameters = { "wide" = [] } }
            path "p/denied" { capabilities = ["update"] denied_parameters = { "f" = [] } }
            path "p/required" { capabilities = ["update"] required_parameters = ["f"] }
            path "p/allowed" { capabilities = ["update"] allowed_parameters = { "g" = [], "wide" = [] } }
            path "p/wrapped" { capabilities = ["update"] min_wrapping_ttl = "60s" }"#]);
        let permits = |path: &str, field: &str, case| {
            let mut fields = Fields::new();
            fields.set(field, &"x");
            let (capability, readings) = (Capability::Update, &FieldReadings::unknown);
            let (fields, wrap) = (&fields, None);
            acl.permits_request(&AclRequest {
                path,
                case,
                capability,
                sudo: false,
                fields,
                has_raw_body: false,
                readings,
                wrap,
            })
        };
        for (path, field) in [
            ("p/DENIED", "f"),
            ("p/DENIED", "wide"),
            ("p/Required", "g"),
            ("p/ALLOWED", "f"),
            ("p/ALLOWED", "wide"),
            ("p/Wrapped", "g"),
        ] {
            assert!(!permits(path, field, PathCase::MayFold), "{path} {field}");
            assert_eq!(permits(path, field, PathCase::Distinct), field != "wide", "{path} {field}");
        }
        for (path, field) in [("p/DENIED", "g"), ("p/Required", "f"), ("p/ALLOWED", "g")] {
            assert!(permits(path, field, PathCase::MayFold), "{path} {field}");
        }
    }

    /// The backend may treat two spellings with different capabilities as one path.
    #[test]
    fn cve_2026_93335_rules_for_one_path_in_two_cases_grant_what_both_do() {
        let admin = r#"path "p/Admin" { capabilities = ["read", "update"] }"#;
        let other = r#"path "p/admin" { capabilities = ["read", "delete"] }"#;
        let again = r#"path "p/admin" { capabilities = ["update"] }"#;
        let both = parse_acl(&[admin, other]);
        let merged = parse_acl(&[admin, other, again]);
        for path in ["p/Admin", "p/admin"] {
            assert_eq!(both.capabilities(path, PathCase::MayFold).names(), ["read"], "{path}");
            let names = merged.capabilities(path, PathCase::MayFold).names();
            assert_eq!(names, ["read", "update"], "{path}: one spelling in two policies is merged");
        }
        assert_eq!(both.capabilities("p/ADMIN", PathCase::MayFold).names(), ["deny"]);
    }

    #[test]
    fn an_exact_rule_without_slash_counts_for_lists() {
        let acl = parse_acl(&[r#"path "secret/team" { capabilities = ["list"] }"#]);
        assert!(acl.allows("secret/team/", Capability::List, false));
        assert!(!acl.allows("secret/team/", Capability::Read, false));
    }

    #[test]
    fn of_two_exact_rules_the_one_with_the_slash_decides_on_lists() {
        let both = |with: &str, without: &str| {
            parse_acl(&[&format!(
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
    fn ghsa_hr5j_3j78_4vh2_a_policy_that_cannot_be_read_refuses_everything() {
        let all = Arc::new(Policy::parse(r#"path "*" { capabilities = ["read"] }"#).unwrap());
        let lost = Arc::new(Policy::from_unreadable("path".to_owned()));
        assert!(Acl::new([all.clone()]).allows("a", Capability::Read, false));
        assert!(!Acl::new([all, lost]).allows("a", Capability::Read, false));
    }

    #[test]
    fn root_needs_no_rules() {
        assert!(Acl::root().allows("anything", Capability::Delete, true));
        assert!(!Acl::default().allows("anything", Capability::Read, false));
    }

    /// The documented priority over all rules: an exact rule, else the most specific matching glob.
    fn model_decision<'r>(
        rules: &'r [(String, Capabilities)],
        path: &str,
    ) -> Option<&'r Capabilities> {
        let exact = rules
            .iter()
            .find(|(p, _)| p == path && !p.ends_with('*') && !plus_segments(p).any(|_| true));
        let mut globs: Vec<_> = rules
            .iter()
            .filter(|(p, _)| {
                (p.ends_with('*') || plus_segments(p).any(|_| true)) && model_glob(p, path)
            })
            .collect();
        globs.sort_by(|(a, _), (b, _)| {
            let wild = |p: &str| {
                let star = p.ends_with('*').then(|| p.len() - 1);
                plus_segments(p).chain(star).min().unwrap_or(p.len())
            };
            wild(a)
                .cmp(&wild(b))
                .then(b.ends_with('*').cmp(&a.ends_with('*')))
                .then(plus_segments(b).count().cmp(&plus_segments(a).count()))
                .then(a.len().cmp(&b.len()))
                .then(a.cmp(b))
        });
        exact.or(globs.pop()).map(|(_, granted)| granted)
    }

    /// Positions of the `+` segments.
    fn plus_segments(pattern: &str) -> impl Iterator<Item = usize> {
        let bytes = pattern.as_bytes();
        let edge = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_none_or(|b| *b == b'/');
        pattern
            .match_indices('+')
            .map(|(at, _)| at)
            .filter(move |at| edge(at.checked_sub(1)) && edge(Some(at + 1)))
            .collect::<Vec<_>>()
            .into_iter()
    }

    /// Matches a glob by recursing over pattern and path.
    fn model_glob(pattern: &str, path: &str) -> bool {
        if pattern == "*" {
            return true;
        }
        if let Some(rest) = pattern.strip_prefix('+')
            && (rest.is_empty() || rest.starts_with('/'))
        {
            let after = path.find('/').unwrap_or(path.len());
            return model_glob_tail(rest, &path[after..]);
        }
        let (p, q) = (pattern.find('/'), path.find('/'));
        let (first, rest) = pattern.split_at(p.unwrap_or(pattern.len()));
        if p.is_none() && first.ends_with('*') {
            return path.starts_with(&first[..first.len() - 1]);
        }
        let (have, left) = path.split_at(q.unwrap_or(path.len()));
        first == have && model_glob_tail(rest, left)
    }

    fn model_glob_tail(pattern: &str, path: &str) -> bool {
        match (pattern.strip_prefix('/'), path.strip_prefix('/')) {
            (Some(pattern), Some(path)) => model_glob(pattern, path),
            _ => pattern == path,
        }
    }

    /// Rules for the valid patterns, with the capabilities given by a few bits.
    fn build_rules(patterns: &[(String, u16)]) -> (String, Vec<(String, Capabilities)>) {
        let mut text = String::new();
        let mut rules: Vec<(String, Capabilities)> = Vec::new();
        for (pattern, bits) in patterns {
            let pattern = pattern.trim_start_matches('/');
            if PathPattern::parse(pattern).is_err() {
                continue;
            }
            let chosen = [Capability::Read, Capability::List, Capability::Sudo, Capability::Deny];
            let chosen = chosen.into_iter().enumerate().filter(|(at, _)| bits >> at & 1 == 1);
            let granted: Capabilities = chosen.map(|(_, capability)| capability).collect();
            let names = Capability::ALL.into_iter();
            let names = names.filter(|it| {
                granted.allows(*it) || (granted.is_denied() && *it == Capability::Deny)
            });
            let names: Vec<_> = names.map(Capability::name).collect();
            text.push_str(&format!("path \"{pattern}\" {{ capabilities = {names:?} }}\n"));
            match rules.iter_mut().find(|(known, _)| *known == pattern) {
                Some((_, known)) => *known = known.union(granted),
                None => rules.push((pattern.to_owned(), granted)),
            }
        }
        (text, rules)
    }

    /// The text with those letters in upper case for which `capitals` has a bit.
    fn with_capitals(text: &str, capitals: u32) -> String {
        let letter = |(at, c): (usize, char)| {
            if capitals >> (at % 32) & 1 == 1 { c.to_ascii_uppercase() } else { c }
        };
        text.chars().enumerate().map(letter).collect()
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
            let expected = model_decision(&rules, &path).copied().unwrap_or_default();
            proptest::prop_assert_eq!(parse_acl(&[&text]).capabilities(&path, PathCase::Distinct), expected, "{} {}", text, path);
        }

        /// What the most specific rules matching in any case don't grant is granted on no spelling
        /// of the path.
        #[test]
        fn cve_2026_93335_no_spelling_has_what_the_strictest_rule_does_not_grant(
            patterns in proptest::collection::vec(("([aAbB+]/)?[aAbB]{0,2}\\*?", 0_u16..16), 1..9),
            path in "([ab]/)?[ab]{1,2}/?",
            capitals in proptest::prelude::any::<u32>(),
        ) {
            let (text, rules) = build_rules(&patterns);
            let acl = parse_acl(&[&text]);
            let spelled = with_capitals(&path, capitals);
            let granted = acl.capabilities(&spelled, PathCase::MayFold);
            let exact = acl.capabilities(&spelled, PathCase::Distinct);
            let folded = |pattern: &str| PathPattern::parse(&pattern.to_lowercase()).unwrap();
            let matching = rules.iter().filter(|(pattern, _)| folded(pattern).matches(&path));
            let strictest = matching.clone().map(|(pattern, _)| folded(pattern)).max();
            let bounds = matching.filter(|(pattern, _)| Some(folded(pattern)) == strictest);
            for (pattern, bound) in bounds {
                for capability in Capability::ALL.into_iter().filter(|it| granted.allows(*it)) {
                    proptest::prop_assert!(bound.allows(capability), "{} {} {}", text, spelled, pattern);
                }
            }
            proptest::prop_assert_eq!(granted.intersection(exact), granted, "{} {}", text, spelled);
        }

        /// If all rules are in lower case, no other spelling of a path is granted more than the
        /// lower-case one, in capabilities, lists or conditions.
        #[test]
        fn cve_2026_93335_no_right_is_gained_by_changing_case(
            patterns in proptest::collection::vec(("[ab/+]{0,5}\\*?", 0_u16..16, 0_usize..4), 0..7),
            path in "[ab](/?[ab]){0,3}/?",
            capitals in proptest::prelude::any::<u32>(),
            given in proptest::collection::vec("[fg]", 0..3),
            wrap in proptest::option::of(1_u64..4),
        ) {
            let conditions = ["", "denied_parameters = { \"f\" = [] }", "required_parameters = [\"g\"]", "min_wrapping_ttl = \"2s\""];
            let text: String = patterns.iter().map(|(pattern, bits, at)| {
                let (text, _) = build_rules(&[(pattern.clone(), *bits)]);
                text.replace(" }\n", &format!(" {} }}\n", conditions[*at]))
            }).collect();
            let acl = parse_acl(&[&text]);
            let mut fields = Fields::new();
            for name in given {
                fields.set(name, &1);
            }
            let spelled = with_capitals(&path, capitals);
            for capability in [Capability::Read, Capability::List] {
                for sudo in [false, true] {
                    let permits = |path: &str| acl.permits_request(&AclRequest {
                        path,
                        case: PathCase::MayFold,
                        capability,
                        sudo,
                        fields: &fields,
                        has_raw_body: false,
                        readings: &FieldReadings::unknown,
                        wrap: wrap.map(Ttl::from_secs),
                    });
                    proptest::prop_assert!(!permits(&spelled) || permits(&path), "{} {} {:?}", text, spelled, capability);
                }
            }
        }
    }
}
