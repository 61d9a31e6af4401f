//! The spellings of a name that are one name.

/// A name as directories compare it: without space at the ends, with one space between words, and in
/// lower case (RFC 4518). The server counts failed logins by it.
pub(crate) fn comparable_name(name: &str) -> String {
    let words: Vec<&str> = name.split_whitespace().collect();
    words.join(" ").to_lowercase()
}

/// The name that a client logs in with, for the configured sensitivity to case.
pub(crate) fn login_name(name: &str, is_case_sensitive: bool) -> String {
    match is_case_sensitive {
        true => name.split_whitespace().collect::<Vec<_>>().join(" "),
        false => comparable_name(name),
    }
}

/// The name of a group or user for comparison with the stored ones.
pub(crate) fn stored_name(name: &str, is_case_sensitive: bool) -> String {
    if is_case_sensitive { name.to_owned() } else { name.to_lowercase() }
}

/// Whether a name has no other spelling than those that [`comparable_name`] makes equal. Of names
/// beyond ASCII directories make many more equal: composed and decomposed letters, wide and narrow
/// ones, characters that are not shown.
pub(crate) fn has_one_spelling(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_graphic() || c == ' ')
}

/// Whether a name is the part of a principal name of Active Directory before the domain. The other
/// characters can't be in one, and would make it another kind of name.
pub(crate) fn is_principal_prefix(name: &str) -> bool {
    has_one_spelling(name) && !name.contains(|c| r#""/\[]:;|=,+*?<>@"#.contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cve_2025_6004_spellings_of_a_name_are_one_for_the_lockout() {
        for name in ["alice b", "Alice B", " alice b ", "alice  b", "ALICE\tb"] {
            assert_eq!(comparable_name(name), "alice b", "{name:?}");
            assert_eq!(login_name(name, false), "alice b", "{name:?}");
        }
        assert_eq!(login_name(" Alice  B", true), "Alice B");
    }

    #[test]
    fn principal_names_are_of_one_kind() {
        assert!(is_principal_prefix("alice.b-2"));
        for name in ["alice@other", "cn=alice", "corp\\alice", "a,b", ""] {
            assert!(!is_principal_prefix(name), "{name:?}");
        }
    }

    #[test]
    fn names_beyond_ascii_have_several_spellings() {
        assert!(has_one_spelling("alice.b@example"));
        for name in ["", "al\u{ad}ice", "ａlice", "müller", "mu\u{308}ller", "a\nb"] {
            assert!(!has_one_spelling(name), "{name:?}");
        }
    }
}
