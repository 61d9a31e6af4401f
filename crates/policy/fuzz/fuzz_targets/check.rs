//! What must hold for every input. Shared by the fuzz targets and the crate's own tests.
#![allow(dead_code, reason = "each target takes one of them")]

use std::sync::Arc;

use strongroom_policy::{Acl, Capability, PathCase, PathPattern, Policy};

/// As a policy: read or refused, and what is denied at a place is granted nothing there.
pub(crate) fn any_policy(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let policy = match Policy::parse(text) {
        Ok(policy) => Arc::new(policy),
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    let acl = Acl::new([policy.clone()]);
    assert!(!acl.is_root(), "no text makes a root policy");
    for rule in &policy.rules {
        let path = rule.pattern.as_str();
        let granted = acl.capabilities(path, PathCase::Distinct);
        if granted.denies() {
            for capability in [Capability::Read, Capability::Create, Capability::Sudo] {
                assert!(!acl.allows(path, capability, false), "{path:?} is denied");
            }
            // In another case it is denied too, or decided by a rule that is more specific.
            let folded = acl.capabilities(path, PathCase::MayFold);
            assert!(folded.denies(), "{path:?} is denied");
        }
        let _ = (acl.reaches(path), acl.folder_capabilities(path, PathCase::MayFold));
    }
    assert!(
        !acl.allows("no/rule/of/a/fuzzer/says/this", Capability::Sudo, true) || grants_all(&policy)
    );
}

fn grants_all(policy: &Policy) -> bool {
    policy.rules.iter().any(|rule| rule.pattern.matches("no/rule/of/a/fuzzer/says/this"))
}

/// A pattern in the first line, a path in the second.
pub(crate) fn any_pattern(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (pattern, path) = text.split_once('\n').unwrap_or((text, ""));
    let Ok(pattern) = PathPattern::parse(pattern) else { return };
    if pattern.is_exact() {
        assert_eq!(pattern.matches(path), path == pattern.as_str(), "exact is exact");
    }
    if pattern.matches(path) {
        // What it matches, it reaches: every folder on the way, if it has a slash there.
        for (at, _) in path.match_indices('/') {
            let folder = path.get(..=at).unwrap_or_default();
            let inside = path.get(at + 1..).unwrap_or_default();
            if !inside.is_empty() && !folder.contains("//") && !folder.starts_with('/') {
                assert!(pattern.reaches(folder), "{pattern:?} reaches {folder:?}");
            }
        }
    }
    // Of several slashes in front one is taken away each time; no path begins with the rest.
    if !pattern.as_str().starts_with('/') {
        assert_eq!(PathPattern::parse(pattern.as_str()).as_ref(), Ok(&pattern));
    }
}
