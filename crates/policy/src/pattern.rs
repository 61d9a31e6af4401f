//! [`PathPattern`]: a path with the wildcards `*` (at the end, for any suffix) and `+` (for one
//! whole segment).

use std::cmp::Ordering;

use crate::field_reading::case_folded;

/// The path of a policy rule, which may have wildcards. Patterns are ordered by how specific they
/// are; of two matching ones the greater decides.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PathPattern {
    /// The text as written, without a leading slash.
    text: String,
    /// Length in bytes of the text before the first wildcard.
    literal_bytes: usize,
    /// Whether the pattern ends in `*`.
    is_prefix: bool,
    /// Number of `+` segments.
    wildcard_segments: usize,
}

/// The pattern contains `+*`, which would match nothing in the way its author meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "invalid path: \"+*\" is not allowed; \"*\" may only stand at the end and \"+\" only for a whole segment"
)]
pub struct InvalidPattern;

impl PathPattern {
    /// Parses a pattern and removes one leading slash. `*` is a wildcard only as the last
    /// character, and `+` only as a whole segment; elsewhere they are literal.
    ///
    /// # Errors
    ///
    /// If the pattern contains `+*`.
    pub fn parse(text: &str) -> Result<Self, InvalidPattern> {
        let text = text.strip_prefix('/').unwrap_or(text);
        if text.contains("+*") {
            return Err(InvalidPattern);
        }
        let is_prefix = text.ends_with('*');
        let wildcard_segments = text.split('/').filter(|segment| *segment == "+").count();
        let plus_at =
            segments_with_offsets(text).find(|(_, segment)| *segment == "+").map(|(at, _)| at);
        let star_at = is_prefix.then(|| text.len() - 1);
        let literal_bytes = plus_at.into_iter().chain(star_at).min().unwrap_or(text.len());
        Ok(Self { text: text.to_owned(), literal_bytes, is_prefix, wildcard_segments })
    }

    /// The same pattern for paths folded with [`case_folded`].
    pub(crate) fn case_folded(&self) -> Self {
        let text = case_folded(&self.text).into_owned();
        let literal = self.text.get(..self.literal_bytes).unwrap_or_default();
        let literal_bytes = case_folded(literal).len();
        Self { text, literal_bytes, ..*self }
    }

    /// The text as written, without a leading slash. It includes the wildcards, `+` segments and a
    /// trailing `*`.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the pattern has no wildcard, so that it matches exactly one path.
    /// [`PathPattern::as_str`] is then that path.
    pub fn is_exact(&self) -> bool {
        !self.is_prefix && self.wildcard_segments == 0
    }

    /// The prefix that paths must have, if a trailing `*` is the only wildcard. `None` for exact
    /// patterns and those with `+`.
    pub fn as_prefix(&self) -> Option<&str> {
        let plain = self.is_prefix && self.wildcard_segments == 0;
        self.text.strip_suffix('*').filter(|_| plain)
    }

    /// Whether the pattern matches this path, case-sensitively.
    pub fn matches(&self, path: &str) -> bool {
        let literal = self.text.get(..self.literal_bytes).unwrap_or_default();
        if !path.starts_with(literal) {
            return false;
        }
        if self.wildcard_segments == 0 {
            return self.is_prefix || path.len() == self.text.len();
        }
        self.matches_segments(path)
    }

    /// Whether the pattern matches a folder, given with a trailing slash, and everything below it.
    pub fn covers_folder(&self, folder: &str) -> bool {
        self.is_prefix && self.matches(folder)
    }

    /// Whether the pattern can match anything at or below a folder, given with a trailing slash.
    pub fn may_match_below(&self, folder: &str) -> bool {
        let pattern = self.text.strip_suffix('*').filter(|_| self.is_prefix).unwrap_or(&self.text);
        let mut wanted = pattern.split('/').peekable();
        for have in folder.trim_end_matches('/').split('/') {
            let Some(want) = wanted.next() else { return false };
            if self.is_prefix && wanted.peek().is_none() {
                return have.starts_with(want);
            }
            if want != "+" && want != have {
                return false;
            }
        }
        // Part of the pattern must remain for what lies below, at least the slash.
        wanted.peek().is_some()
    }

    fn matches_segments(&self, path: &str) -> bool {
        let pattern = if self.is_prefix {
            self.text.get(..self.text.len() - 1).unwrap_or_default()
        } else {
            &self.text
        };
        let mut wanted = pattern.split('/').peekable();
        let mut given = path.split('/');
        while let Some(want) = wanted.next() {
            let Some(have) = given.next() else { return false };
            let last = wanted.peek().is_none();
            let fits = if self.is_prefix && last {
                have.starts_with(want)
            } else {
                want == "+" || want == have
            };
            if !fits {
                return false;
            }
        }
        self.is_prefix || given.next().is_none()
    }
}

/// The segments of a path with their byte offsets.
fn segments_with_offsets(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    text.split('/').map(move |segment| {
        let start = at;
        at += segment.len() + 1;
        (start, segment)
    })
}

impl Ord for PathPattern {
    /// The greater pattern is the more specific one. An exact path is greater than every glob. Of
    /// two globs the lower is the one whose first wildcard comes earlier; else the one that ends in
    /// `*`; else the one with more `+`; else the shorter; else the one that sorts first.
    fn cmp(&self, other: &Self) -> Ordering {
        let exact = self.is_exact().cmp(&other.is_exact());
        exact
            .then_with(|| self.literal_bytes.cmp(&other.literal_bytes))
            .then_with(|| other.is_prefix.cmp(&self.is_prefix))
            .then_with(|| other.wildcard_segments.cmp(&self.wildcard_segments))
            .then_with(|| self.text.len().cmp(&other.text.len()))
            .then_with(|| self.text.cmp(&other.text))
    }
}

impl PartialOrd for PathPattern {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_pattern(text: &str) -> PathPattern {
        PathPattern::parse(text).unwrap()
    }

    #[test]
    fn matches_as_vault_documents() {
        let cases: &[(&str, &[&str], &[&str])] = &[
            ("secret/foo", &["secret/foo"], &["secret/foo/", "secret/foobar", "secret"]),
            ("secret/*", &["secret/", "secret/a", "secret/a/b"], &["secret", "secre/a"]),
            ("secret/zip-*", &["secret/zip-", "secret/zip-a/b"], &["secret/zip/a"]),
            (
                "secret/+/team",
                &["secret/a/team"],
                &["secret/a/b/team", "secret/team", "secret/a/teams"],
            ),
            ("secret/+", &["secret/a", "secret/"], &["secret/a/", "secret/a/b", "secret"]),
            ("+/+", &["a/b"], &["a", "a/b/c"]),
            ("a/+/b*", &["a/x/b", "a/x/bc", "a/x/b/c/d"], &["a/x/c", "a/b", "a/x"]),
            ("a/+/*", &["a/x/", "a/x/y/z"], &["a/x", "a/"]),
            ("a/b+", &["a/b+"], &["a/bc", "a/b"]),
            ("a*b", &["a*b"], &["axb"]),
            ("*", &["", "a/b"], &[]),
            ("/a", &["a"], &["/a"]),
        ];
        for (text, yes, no) in cases {
            let pattern = parse_pattern(text);
            for path in *yes {
                assert!(pattern.matches(path), "{text} must match {path}");
            }
            for path in *no {
                assert!(!pattern.matches(path), "{text} must not match {path}");
            }
        }
        assert!(PathPattern::parse("a/+*").is_err());
    }

    #[test]
    fn reaches_folders_it_could_match_something_in() {
        let cases = [
            ("secret/foo", "secret/", true),
            ("secret/", "secret/", true),
            ("secret", "secret/", false),
            ("sec*", "secret/", true),
            ("*", "secret/", true),
            ("+/foo", "secret/", true),
            ("+/foo", "team/kv/", false),
            ("team/+/x", "team/kv/", true),
            ("team/*", "team/kv/", true),
            ("other/*", "secret/", false),
            ("secret/a/b", "secret/a/b/", false),
        ];
        for (text, folder, reached) in cases {
            assert_eq!(parse_pattern(text).may_match_below(folder), reached, "{text} {folder}");
        }
    }

    #[test]
    fn covers_folders_of_which_it_leaves_nothing_out() {
        let cases = [
            ("secret/*", "secret/", true),
            ("sec*", "secret/", true),
            ("*", "secret/", true),
            ("+/*", "secret/", true),
            ("team/+/*", "team/kv/", true),
            ("team/+*".trim_end_matches('*'), "team/kv/", false),
            ("secret/a*", "secret/", false),
            ("secret/", "secret/", false),
            ("secret/+", "secret/", false),
            ("+/+/*", "secret/", false),
        ];
        for (text, folder, covered) in cases {
            assert_eq!(parse_pattern(text).covers_folder(folder), covered, "{text} {folder}");
            for below in ["", "x", "x/", "x/y"] {
                let path = format!("{folder}{below}");
                assert!(!covered || parse_pattern(text).matches(&path), "{text} {path}");
            }
        }
    }

    #[test]
    fn more_specific_is_greater() {
        let rising = [
            ["*", "a*"],
            ["secret/*", "secret/foo*"],
            ["+/b", "a/+"],
            ["a/+*x".trim_end_matches("*x"), "a/b"],
            ["a/*", "a/+"],
            ["a/+/+/c", "a/+/b/c"],
            ["a/+/b", "a/+/bc"],
            ["a/+/b", "a/+/c"],
            ["secret/longer*", "secret/a"],
        ];
        for [low, high] in rising {
            assert!(parse_pattern(low) < parse_pattern(high), "{low} < {high}");
        }
    }

    proptest::proptest! {
        #[test]
        fn order_is_total(a in "[ab/+*]{0,6}", b in "[ab/+*]{0,6}", c in "[ab/+*]{0,6}") {
            if let (Ok(a), Ok(b), Ok(c)) = (PathPattern::parse(&a), PathPattern::parse(&b), PathPattern::parse(&c)) {
                proptest::prop_assert_eq!(a.cmp(&b), b.cmp(&a).reverse());
                if a <= b && b <= c { proptest::prop_assert!(a <= c); }
                proptest::prop_assert_eq!(a.cmp(&b) == Ordering::Equal, a == b);
            }
        }

        /// A naive model: matches segment by segment, without shortcuts.
        #[test]
        fn agrees_with_a_naive_model(text in "[ab/+*]{0,6}", path in "[ab/]{0,8}") {
            if let Ok(pattern) = PathPattern::parse(&text) {
                proptest::prop_assert_eq!(pattern.matches(&path), model_matches(pattern.as_str(), &path), "{} {}", pattern.as_str(), path);
            }
        }
    }

    fn model_matches(pattern: &str, path: &str) -> bool {
        fn match_segments(want: &[&str], have: &[&str], open: bool) -> bool {
            match (want, have) {
                ([], []) => true,
                ([last], [first, ..]) if open => first.starts_with(last),
                ([w, want @ ..], [h, have @ ..]) => {
                    (*w == "+" || w == h) && match_segments(want, have, open)
                }
                _ => false,
            }
        }
        let (body, open) = match pattern.strip_suffix('*') {
            Some(body) => (body, true),
            None => (pattern, false),
        };
        match_segments(
            &body.split('/').collect::<Vec<_>>(),
            &path.split('/').collect::<Vec<_>>(),
            open,
        )
    }
}
