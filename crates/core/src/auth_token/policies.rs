//! Which policies a new token gets. A role that says so decides by itself; else a token gets no
//! more than its maker has, unless that may use `sudo`.

use std::collections::BTreeSet;

use strongroom_token::TokenRole;
use strongroom_types::PolicyName;

use crate::error::Error;

/// Who asks for what.
pub(super) struct Asked<'a> {
    /// The maker's policies.
    pub(super) own: &'a [PolicyName],
    /// None asks for those of the maker.
    pub(super) policies: Option<BTreeSet<PolicyName>>,
    pub(super) no_default: bool,
    /// Whether the maker may use `sudo` on the path.
    pub(super) sudo: bool,
    pub(super) role: Option<&'a TokenRole>,
}

impl Asked<'_> {
    /// Sorted, each once. `root` stands alone, and only `root` gives it.
    pub(super) fn decide(self) -> Result<Vec<PolicyName>, Error> {
        let from_root = self.own.iter().any(PolicyName::is_root);
        let no_default = self.no_default || self.role.is_some_and(|role| role.no_default_policy);
        let mut decided = match self.role.filter(|role| role.rules_policies()) {
            Some(role) => self.by_role(role)?,
            None => self.by_maker()?,
        };
        // It makes a wrapping token, and those are made by wrapping something.
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

    fn by_maker(self) -> Result<BTreeSet<PolicyName>, Error> {
        let own: BTreeSet<PolicyName> = self.own.iter().cloned().collect();
        let Some(mut asked) = self.policies else { return Ok(own) };
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

    fn by_role(self, role: &TokenRole) -> Result<BTreeSet<PolicyName>, Error> {
        let adds_default = !self.no_default
            && !role.no_default_policy
            && !role.disallows(&PolicyName::default_policy());
        let asked = self.policies.map(|asked| sanitised(asked, adds_default));
        let asked = asked.filter(|asked| !asked.is_empty());
        let lists_allowed =
            !role.allowed_policies.is_empty() || !role.allowed_policies_glob.is_empty();
        let decided = if lists_allowed {
            let allowed = sanitised(role.allowed_policies.clone(), adds_default);
            match asked {
                Some(asked) => {
                    let fits = |name: &PolicyName| allowed.contains(name) || role.glob_allows(name);
                    if !asked.iter().all(fits) {
                        return Err(Error::invalid(format!(
                            "token policies ({}) must be subset of the role's allowed policies ({}) \
                             or glob policies ({})",
                            quoted(&asked),
                            quoted(&allowed),
                            quoted(&role.allowed_policies_glob),
                        )));
                    }
                    asked
                }
                None => allowed,
            }
        } else {
            let own = self.own.iter().cloned().collect();
            asked.unwrap_or_else(|| sanitised(own, adds_default))
        };
        match decided.iter().find(|name| role.disallows(name)) {
            Some(name) => Err(Error::invalid(format!(
                "token policy {:?} is disallowed by this role",
                name.as_str()
            ))),
            None => Ok(decided),
        }
    }
}

/// `root` leaves room for nothing else.
fn sanitised(mut names: BTreeSet<PolicyName>, adds_default: bool) -> BTreeSet<PolicyName> {
    if names.iter().any(PolicyName::is_root) {
        return BTreeSet::from([PolicyName::root()]);
    }
    if adds_default {
        names.insert(PolicyName::default_policy());
    }
    names
}

fn quoted(names: &BTreeSet<PolicyName>) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("{:?}", name.as_str())).collect();
    format!("[{}]", names.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(texts: &[&str]) -> Vec<PolicyName> {
        texts.iter().map(|text| PolicyName::parse(text).unwrap()).collect()
    }

    fn decide(own: &[&str], asked: Option<&[&str]>, role: &TokenRole) -> Result<String, String> {
        with(own, asked, role, |_| {})
    }

    fn with(
        own: &[&str],
        asked: Option<&[&str]>,
        role: &TokenRole,
        change: impl FnOnce(&mut Asked<'_>),
    ) -> Result<String, String> {
        let own = names(own);
        let policies = asked.map(|asked| names(asked).into_iter().collect());
        let mut asked =
            Asked { own: &own, policies, no_default: false, sudo: false, role: Some(role) };
        change(&mut asked);
        let decided = asked.decide().map_err(|error| error.to_string())?;
        Ok(decided.iter().map(PolicyName::as_str).collect::<Vec<_>>().join(","))
    }

    fn role(lists: [&[&str]; 4]) -> TokenRole {
        let [allowed, allowed_glob, disallowed, disallowed_glob] =
            lists.map(|list| names(list).into_iter().collect());
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
    fn without_lists_a_token_gets_no_more_than_its_maker_has() {
        let plain = TokenRole::default();
        let own = ["default", "p1"];
        let subset = || Err("child policies must be subset of parent".to_owned());
        assert_eq!(decide(&own, None, &plain).unwrap(), "default,p1");
        assert_eq!(decide(&own, Some(&["p1"]), &plain).unwrap(), "default,p1");
        assert_eq!(decide(&own, Some(&["p2"]), &plain), subset());
        assert_eq!(decide(&own, Some(&["root"]), &plain), subset());
        // What the maker lacks is not added, be it the default.
        assert_eq!(decide(&["p1"], Some(&["p1"]), &plain).unwrap(), "p1");
        assert_eq!(decide(&["p1"], Some(&["p1", "default"]), &plain), subset());
        assert_eq!(decide(&["p1"], None, &plain).unwrap(), "p1");
        // Blanks ask for nothing, which isn't the same as not asking.
        assert_eq!(decide(&["root"], Some(NONE), &plain).unwrap(), "default");
        assert_eq!(decide(&["root"], None, &plain).unwrap(), "root");
        assert_eq!(decide(&["root"], Some(&["root", "p1"]), &plain).unwrap(), "root");
        let sudo = |asked: &[&str]| with(&own, Some(asked), &plain, |asked| asked.sudo = true);
        assert_eq!(sudo(&["p2"]).unwrap(), "default,p2");
        assert_eq!(sudo(&[" ROOT"]), Err(NOT_ROOT.to_owned()));
        let bare = |asked| with(&own, asked, &plain, |asked| asked.no_default = true).unwrap();
        assert_eq!((bare(None), bare(Some(&["p1", "default"]))), ("p1".into(), "p1".into()));
        let role = TokenRole { no_default_policy: true, ..TokenRole::default() };
        assert_eq!(decide(&own, None, &role).unwrap(), "p1");
    }

    #[test]
    fn a_role_with_lists_decides_alone() {
        let allowed = role([&["p1", "P2"], NONE, NONE, NONE]);
        assert_eq!(decide(&["x"], None, &allowed).unwrap(), "default,p1,p2");
        assert_eq!(decide(&["x"], Some(&["P1 "]), &allowed).unwrap(), "default,p1");
        assert_eq!(
            decide(&["x"], Some(&["p9"]), &allowed).unwrap_err(),
            "token policies ([\"default\" \"p9\"]) must be subset of the role's allowed policies \
             ([\"default\" \"p1\" \"p2\"]) or glob policies ([])"
        );
        let globs = role([NONE, &["p*"], NONE, NONE]);
        assert_eq!(decide(&["x"], None, &globs).unwrap(), "default");
        assert_eq!(decide(&["x"], Some(&["px"]), &globs).unwrap(), "default,px");
        let disallowed = role([NONE, NONE, &["p1"], &["q*"]]);
        let refused = |name: &str| Err(format!("token policy {name:?} is disallowed by this role"));
        assert_eq!(decide(&["x"], Some(&["p1"]), &disallowed), refused("p1"));
        assert_eq!(decide(&["x"], Some(&["Q7"]), &disallowed), refused("q7"));
        assert_eq!(decide(&["p1"], None, &disallowed), refused("p1"));
        assert_eq!(decide(&["x"], Some(&["p5"]), &disallowed).unwrap(), "default,p5");
        let both = role([&["p1", "p2"], NONE, &["p1"], NONE]);
        assert_eq!(decide(&["x"], None, &both), refused("p1"));
        let no_default = role([NONE, NONE, &["default"], NONE]);
        assert_eq!(decide(&["default"], None, &no_default), refused("default"));
        assert_eq!(decide(&["default"], Some(&["zz"]), &no_default).unwrap(), "zz");
    }

    #[test]
    fn cve_2025_5999_no_role_makes_root_of_less() {
        let roles = [
            role([&["root"], NONE, NONE, NONE]),
            role([&[" ROOT ", "p1"], NONE, NONE, NONE]),
            role([NONE, &["*"], NONE, NONE]),
            role([NONE, &["r*t"], NONE, NONE]),
            role([NONE, NONE, &["p1"], NONE]),
            role([NONE, NONE, NONE, &["p*"]]),
        ];
        for role in &roles {
            for asked in [Some(["root"].as_slice()), Some(&["ROOT"]), Some(&["Root ", "p2"])] {
                let error = decide(&["default", "p1"], asked, role).unwrap_err();
                assert_eq!(error, NOT_ROOT, "{role:?}");
                assert_eq!(decide(&["root"], asked, role).unwrap(), "root");
            }
            // Whatever it says, it isn't root.
            assert_ne!(decide(&["default", "p2"], None, role).as_deref(), Ok("root"));
        }
    }
}
