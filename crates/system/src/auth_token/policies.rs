//! Decides the policies of a new token. A role with policy lists decides alone; otherwise the
//! policies must be a subset of the creator's, unless the creator has `sudo` on the path.

use std::collections::BTreeSet;

use strongroom_core::error::Error;
use strongroom_token::TokenRole;
use strongroom_types::PolicyName;

/// The inputs of the decision.
pub(super) struct PolicyRequest<'a> {
    /// The policies of the creator's token.
    pub(super) parent_policies: &'a [PolicyName],
    /// The requested policies; `None` to inherit the creator's.
    pub(super) requested: Option<BTreeSet<PolicyName>>,
    pub(super) no_default: bool,
    /// Whether the creator has `sudo` on the path.
    pub(super) sudo: bool,
    pub(super) role: Option<&'a TokenRole>,
}

impl PolicyRequest<'_> {
    /// The policies of the new token, sorted and without duplicates. `root` excludes all others,
    /// and only a root token can grant it.
    pub(super) fn resolve(self) -> Result<Vec<PolicyName>, Error> {
        let from_root = self.parent_policies.iter().any(PolicyName::is_root);
        let no_default = self.no_default || self.role.is_some_and(|role| role.no_default_policy);
        let mut decided = match self.role.filter(|role| role.restricts_policies()) {
            Some(role) => self.policies_from_role(role)?,
            None => self.inherit_from_parent()?,
        };
        // This policy marks wrapping tokens, which only response wrapping may create.
        if let Some(name) = decided.iter().find(|name| name.is_response_wrapping()) {
            return Err(Error::invalid(format!("cannot assign policy {:?}", name.as_str())));
        }
        if decided.iter().any(PolicyName::is_root) {
            if !from_root {
                return Err(Error::invalid(
                    "root tokens may not be created without parent token being root",
                ));
            }
            return Ok(vec![PolicyName::root()]);
        }
        if no_default {
            decided.remove(&PolicyName::default_policy());
        }
        Ok(decided.into_iter().collect())
    }

    fn inherit_from_parent(self) -> Result<BTreeSet<PolicyName>, Error> {
        let own: BTreeSet<PolicyName> = self.parent_policies.iter().cloned().collect();
        let Some(mut asked) = self.requested else { return Ok(own) };
        let from_root = own.iter().any(PolicyName::is_root);
        let unbound = self.sudo || from_root;
        if !unbound && !asked.is_subset(&own) {
            return Err(Error::invalid("child policies must be subset of parent"));
        }
        if unbound || own.contains(&PolicyName::default_policy()) {
            asked.insert(PolicyName::default_policy());
        }
        Ok(asked)
    }

    fn policies_from_role(self, role: &TokenRole) -> Result<BTreeSet<PolicyName>, Error> {
        let adds_default = !self.no_default
            && !role.no_default_policy
            && !role.disallows_policy(&PolicyName::default_policy());
        let asked = self.requested.map(|asked| sanitise_policies(asked, adds_default));
        let asked = asked.filter(|asked| !asked.is_empty());
        let lists_allowed =
            !role.allowed_policies.is_empty() || !role.allowed_policies_glob.is_empty();
        let decided = if lists_allowed {
            let allowed = sanitise_policies(role.allowed_policies.clone(), adds_default);
            match asked {
                Some(asked) => {
                    let fits =
                        |name: &PolicyName| allowed.contains(name) || role.glob_allows_policy(name);
                    if !asked.iter().all(fits) {
                        return Err(Error::invalid(format!(
                            "token policies ({}) must be subset of the role's allowed policies ({}) \
                             or glob policies ({})",
                            quote_list(&asked),
                            quote_list(&allowed),
                            quote_list(&role.allowed_policies_glob),
                        )));
                    }
                    asked
                }
                None => allowed,
            }
        } else {
            let own = self.parent_policies.iter().cloned().collect();
            asked.unwrap_or_else(|| sanitise_policies(own, adds_default))
        };
        match decided.iter().find(|name| role.disallows_policy(name)) {
            Some(name) => Err(Error::invalid(format!(
                "token policy {:?} is disallowed by this role",
                name.as_str()
            ))),
            None => Ok(decided),
        }
    }
}

/// Reduces a set that contains `root` to just that; otherwise adds `default` if `adds_default` is
/// set.
fn sanitise_policies(mut names: BTreeSet<PolicyName>, adds_default: bool) -> BTreeSet<PolicyName> {
    if names.iter().any(PolicyName::is_root) {
        return BTreeSet::from([PolicyName::root()]);
    }
    if adds_default {
        names.insert(PolicyName::default_policy());
    }
    names
}

fn quote_list(names: &BTreeSet<PolicyName>) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("{:?}", name.as_str())).collect();
    format!("[{}]", names.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy_names(texts: &[&str]) -> Vec<PolicyName> {
        texts.iter().map(|text| PolicyName::parse(text).unwrap()).collect()
    }

    fn resolve_for(
        own: &[&str],
        asked: Option<&[&str]>,
        role: &TokenRole,
    ) -> Result<String, String> {
        resolve_changed(own, asked, role, |_| {})
    }

    fn resolve_changed(
        own: &[&str],
        asked: Option<&[&str]>,
        role: &TokenRole,
        change: impl FnOnce(&mut PolicyRequest<'_>),
    ) -> Result<String, String> {
        let own = policy_names(own);
        let policies = asked.map(|asked| policy_names(asked).into_iter().collect());
        let mut asked = PolicyRequest {
            parent_policies: &own,
            requested: policies,
            no_default: false,
            sudo: false,
            role: Some(role),
        };
        change(&mut asked);
        let decided = asked.resolve().map_err(|error| error.to_string())?;
        Ok(decided.iter().map(PolicyName::as_str).collect::<Vec<_>>().join(","))
    }

    fn role_with_lists(lists: [&[&str]; 4]) -> TokenRole {
        let [allowed, allowed_glob, disallowed, disallowed_glob] =
            lists.map(|list| policy_names(list).into_iter().collect());
        TokenRole {
            allowed_policies: allowed,
            allowed_policies_glob: allowed_glob,
            disallowed_policies: disallowed,
            disallowed_policies_glob: disallowed_glob,
            ..TokenRole::default()
        }
    }

    const NONE: &[&str] = &[];
    const NOT_ROOT: &str = "root tokens may not be created without parent token being root";

    #[test]
    fn without_role_lists_policies_are_a_subset_of_the_parents() {
        let plain = TokenRole::default();
        let own = ["default", "p1"];
        let subset = || Err("child policies must be subset of parent".to_owned());
        assert_eq!(resolve_for(&own, None, &plain).unwrap(), "default,p1");
        assert_eq!(resolve_for(&own, Some(&["p1"]), &plain).unwrap(), "default,p1");
        assert_eq!(resolve_for(&own, Some(&["p2"]), &plain), subset());
        assert_eq!(resolve_for(&own, Some(&["root"]), &plain), subset());
        // A policy that the creator lacks isn't added, not even the default one.
        assert_eq!(resolve_for(&["p1"], Some(&["p1"]), &plain).unwrap(), "p1");
        assert_eq!(resolve_for(&["p1"], Some(&["p1", "default"]), &plain), subset());
        assert_eq!(resolve_for(&["p1"], None, &plain).unwrap(), "p1");
        // An empty request differs from none: it doesn't inherit.
        assert_eq!(resolve_for(&["root"], Some(NONE), &plain).unwrap(), "default");
        assert_eq!(resolve_for(&["root"], None, &plain).unwrap(), "root");
        assert_eq!(resolve_for(&["root"], Some(&["root", "p1"]), &plain).unwrap(), "root");
        let sudo =
            |asked: &[&str]| resolve_changed(&own, Some(asked), &plain, |asked| asked.sudo = true);
        assert_eq!(sudo(&["p2"]).unwrap(), "default,p2");
        assert_eq!(sudo(&[" ROOT"]), Err(NOT_ROOT.to_owned()));
        let bare =
            |asked| resolve_changed(&own, asked, &plain, |asked| asked.no_default = true).unwrap();
        assert_eq!((bare(None), bare(Some(&["p1", "default"]))), ("p1".into(), "p1".into()));
        let role = TokenRole { no_default_policy: true, ..TokenRole::default() };
        assert_eq!(resolve_for(&own, None, &role).unwrap(), "p1");
    }

    #[test]
    fn role_lists_override_the_parents_policies() {
        let allowed = role_with_lists([&["p1", "P2"], NONE, NONE, NONE]);
        assert_eq!(resolve_for(&["x"], None, &allowed).unwrap(), "default,p1,p2");
        assert_eq!(resolve_for(&["x"], Some(&["P1 "]), &allowed).unwrap(), "default,p1");
        assert_eq!(
            resolve_for(&["x"], Some(&["p9"]), &allowed).unwrap_err(),
            "token policies ([\"default\" \"p9\"]) must be subset of the role's allowed policies \
             ([\"default\" \"p1\" \"p2\"]) or glob policies ([])"
        );
        let globs = role_with_lists([NONE, &["p*"], NONE, NONE]);
        assert_eq!(resolve_for(&["x"], None, &globs).unwrap(), "default");
        assert_eq!(resolve_for(&["x"], Some(&["px"]), &globs).unwrap(), "default,px");
        let disallowed = role_with_lists([NONE, NONE, &["p1"], &["q*"]]);
        let refused = |name: &str| Err(format!("token policy {name:?} is disallowed by this role"));
        assert_eq!(resolve_for(&["x"], Some(&["p1"]), &disallowed), refused("p1"));
        assert_eq!(resolve_for(&["x"], Some(&["Q7"]), &disallowed), refused("q7"));
        assert_eq!(resolve_for(&["p1"], None, &disallowed), refused("p1"));
        assert_eq!(resolve_for(&["x"], Some(&["p5"]), &disallowed).unwrap(), "default,p5");
        let both = role_with_lists([&["p1", "p2"], NONE, &["p1"], NONE]);
        assert_eq!(resolve_for(&["x"], None, &both), refused("p1"));
        let no_default = role_with_lists([NONE, NONE, &["default"], NONE]);
        assert_eq!(resolve_for(&["default"], None, &no_default), refused("default"));
        assert_eq!(resolve_for(&["default"], Some(&["zz"]), &no_default).unwrap(), "zz");
    }

    #[test]
    fn cve_2025_5999_no_role_grants_root_without_a_root_parent() {
        let roles = [
            role_with_lists([&["root"], NONE, NONE, NONE]),
            role_with_lists([&[" ROOT ", "p1"], NONE, NONE, NONE]),
            role_with_lists([NONE, &["*"], NONE, NONE]),
            role_with_lists([NONE, &["r*t"], NONE, NONE]),
            role_with_lists([NONE, NONE, &["p1"], NONE]),
            role_with_lists([NONE, NONE, NONE, &["p*"]]),
        ];
        for role in &roles {
            for asked in [Some(["root"].as_slice()), Some(&["ROOT"]), Some(&["Root ", "p2"])] {
                let error = resolve_for(&["default", "p1"], asked, role).unwrap_err();
                assert_eq!(error, NOT_ROOT, "{role:?}");
                assert_eq!(resolve_for(&["root"], asked, role).unwrap(), "root");
            }
            // Whatever the role allows, the result isn't root.
            assert_ne!(resolve_for(&["default", "p2"], None, role).as_deref(), Ok("root"));
        }
    }
}
