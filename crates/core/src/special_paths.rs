//! Matching of the special paths that an engine declares: its unauthenticated paths, and its root
//! paths, which require `sudo`.

/// Whether any pattern matches; used for root paths. Stricter than servers that consider only the
/// longest matching pattern.
pub(crate) fn any_pattern_matches(patterns: &[String], path: &str) -> bool {
    patterns.iter().any(|pattern| pattern_matches(pattern, path))
}

/// Whether an unauthenticated path matches. Among the patterns without `+`, only the longest one
/// that is a prefix of the path counts, as in the reference server, so that no more paths are
/// unauthenticated here than there.
pub(crate) fn longest_pattern_matches(patterns: &[String], path: &str) -> bool {
    let plain = patterns.iter().filter(|pattern| !has_segment_wildcard(pattern));
    let literal = |pattern: &&String| pattern.strip_suffix('*').unwrap_or(pattern).len();
    let longest = plain
        .filter(|pattern| path.starts_with(pattern.strip_suffix('*').unwrap_or(pattern)))
        .max_by_key(literal);
    if longest.is_some_and(|pattern| pattern_matches(pattern, path)) {
        return true;
    }
    let mut with_segments = patterns.iter().filter(|pattern| has_segment_wildcard(pattern));
    with_segments.any(|pattern| pattern_matches(pattern, path))
}

fn has_segment_wildcard(pattern: &str) -> bool {
    pattern.split('/').any(|segment| segment == "+")
}

/// Matches a pattern: exactly, by prefix if it ends with `*`, and by segment where `+` stands for
/// any one segment.
pub(crate) fn pattern_matches(pattern: &str, path: &str) -> bool {
    let (body, is_prefix) = match pattern.strip_suffix('*') {
        Some(body) => (body, true),
        None => (pattern, false),
    };
    if !has_segment_wildcard(body) {
        return if is_prefix { path.starts_with(body) } else { path == body };
    }
    let mut pattern_segments = body.split('/').peekable();
    let mut path_segments = path.split('/');
    while let Some(want) = pattern_segments.next() {
        let Some(have) = path_segments.next() else { return false };
        let last = pattern_segments.peek().is_none();
        let fits =
            if is_prefix && last { have.starts_with(want) } else { want == "+" || want == have };
        if !fits {
            return false;
        }
    }
    is_prefix || path_segments.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to_strings(patterns: &[&str]) -> Vec<String> {
        patterns.iter().map(|pattern| (*pattern).to_owned()).collect()
    }

    #[test]
    fn the_longest_unauthenticated_entry_decides() {
        let both = to_strings(&["a*", "ab"]);
        assert!(longest_pattern_matches(&both, "ac") && longest_pattern_matches(&both, "ab"));
        assert!(!longest_pattern_matches(&both, "abc"), "the longer entry is exact");
        assert!(longest_pattern_matches(&to_strings(&["login/*"]), "login/bob"));
        assert!(!longest_pattern_matches(&to_strings(&["login"]), "login/bob"));
        assert!(!longest_pattern_matches(&[], "anything"));
    }

    #[test]
    fn segments_are_compared_one_by_one() {
        let pattern = to_strings(&["role/+/login", "oidc/+/x*"]);
        assert!(longest_pattern_matches(&pattern, "role/a/login"));
        assert!(!longest_pattern_matches(&pattern, "role/a/b/login"));
        assert!(longest_pattern_matches(&pattern, "oidc/a/xy/z"));
        assert!(!longest_pattern_matches(&pattern, "oidc/a"));
    }

    #[test]
    fn any_matching_root_path_requires_sudo() {
        let both = to_strings(&["a*", "ab"]);
        assert!(any_pattern_matches(&both, "abc"));
        assert!(!any_pattern_matches(&both, "b"));
    }
}
