//! [`FoldedPaths`]: which segments of its paths an engine matches case-insensitively. The host
//! checks policies against the same normalised form that the engine uses.

use std::borrow::Cow;

use strongroom_schema::field::FieldSpec;

/// Which paths below the mount an engine converts to lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum FoldedPaths {
    /// The engine doesn't declare it (plug-ins built with other SDKs). To be safe, the host then
    /// lets every policy rule restrict the request that matches the path in any case and is as
    /// specific as the rule for the path as sent.
    #[default]
    Unknown,
    /// Patterns. In a matching path, each segment that a `+` stands for, and the segments that a
    /// `*` stands for, of which only literal segments may follow, are converted to lower case. All
    /// other paths are case-sensitive; so are all paths if the list is empty.
    Declared(Vec<String>),
}

/// The normalised form of a request path, against which policies are checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CanonicalPath<'p> {
    /// The engine doesn't declare it, so paths that differ only in case may name the same object.
    Unknown,
    /// The whole path is case-sensitive and used as it was sent.
    CaseSensitive,
    /// Parts of the path are case-insensitive; this is the path with those parts in lower case.
    Folded(Cow<'p, str>),
}

impl FoldedPaths {
    /// The normalised form of `path`, which is relative to the mount.
    pub fn canonical_path<'p>(&self, path: &'p str) -> CanonicalPath<'p> {
        let Self::Declared(patterns) = self else { return CanonicalPath::Unknown };
        let folded = patterns.iter().find_map(|pattern| fold_if_matching(pattern, path));
        folded.map_or(CanonicalPath::CaseSensitive, |folded| {
            CanonicalPath::Folded(if folded == path { path.into() } else { folded.into() })
        })
    }
}

/// The path with every segment that a wildcard stands for in lower case; `None` if the pattern
/// doesn't match. A trailing slash, as in list requests, is ignored for matching and kept in the
/// result.
fn fold_if_matching(pattern: &str, path: &str) -> Option<String> {
    let (bare, slash) = path.strip_suffix('/').map_or((path, ""), |bare| (bare, "/"));
    let mut given = bare.split('/');
    let mut folded: Vec<Cow<'_, str>> = Vec::new();
    let mut wanted_segments = pattern.split('/');
    while let Some(wanted) = wanted_segments.next() {
        if wanted == "*" {
            let rest: Vec<&str> = given.by_ref().collect();
            let tail: Vec<&str> = wanted_segments.by_ref().collect();
            let (rest, end) = rest.split_at_checked(rest.len().checked_sub(tail.len())?)?;
            if rest.is_empty() || end != tail {
                return None;
            }
            folded.push(rest.join("/").to_lowercase().into());
            folded.extend(tail.into_iter().map(Cow::Borrowed));
            break;
        }
        let segment = given.next()?;
        match wanted {
            "+" => folded.push(segment.to_lowercase().into()),
            literal if literal == segment => folded.push(segment.into()),
            _ => return None,
        }
    }
    given.next().is_none().then(|| folded.join("/") + slash)
}

/// How an engine parses the fields of requests to one path.
#[derive(Clone, Debug, Default)]
pub enum FieldKinds {
    /// The engine doesn't declare how it parses them.
    #[default]
    Unknown,
    /// Fields of any name are accepted and stored as sent.
    Untyped,
    /// These fields are parsed, each according to its kind. All others are ignored.
    Declared(Vec<FieldSpec>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_declared_segments_are_folded() {
        let folded = FoldedPaths::Declared(vec![
            "users/+".to_owned(),
            "tree/+/of/*".to_owned(),
            "set/*/check-out".to_owned(),
        ]);
        let cases = [
            ("users/Bob", Some("users/bob")),
            ("users/Bob/", Some("users/bob/")),
            ("users/bob", Some("users/bob")),
            ("users/ÄB", Some("users/äb")),
            ("tree/A/of/B/C", Some("tree/a/of/b/c")),
            ("set/A/B/check-out", Some("set/a/b/check-out")),
            ("set/A/B/Check-Out", None),
            ("set/A", None),
            ("set/check-out", None),
            ("Users/Bob", None),
            ("users", None),
            ("users/Bob/Keys", None),
            ("tree/A/of", None),
            ("", None),
        ];
        for (path, wanted) in cases {
            let wanted =
                wanted.map_or(CanonicalPath::CaseSensitive, |w| CanonicalPath::Folded(w.into()));
            assert_eq!(folded.canonical_path(path), wanted, "{path}");
        }
        assert_eq!(FoldedPaths::Unknown.canonical_path("a"), CanonicalPath::Unknown);
        assert_eq!(
            FoldedPaths::Declared(Vec::new()).canonical_path("A"),
            CanonicalPath::CaseSensitive
        );
    }

    proptest::proptest! {
        /// The canonical form of a path is its own canonical form, so that every spelling of a name
        /// is one path for policies and one object for the engine.
        #[test]
        fn a_folded_path_is_canonical(
            path in "(users|set)/([a-zA-ZΣσςİıẞK@._-]|/){1,8}(/check-out)?/?",
        ) {
            let folded = FoldedPaths::Declared(vec!["users/+".into(), "set/*/check-out".into(), "set/*".into()]);
            if let CanonicalPath::Folded(once) = folded.canonical_path(&path) {
                let twice = folded.canonical_path(&once);
                proptest::prop_assert_eq!(twice, CanonicalPath::Folded(Cow::Borrowed(&*once)));
                let upper = path.to_ascii_uppercase();
                let of_upper = format!("{}{}", &path[..path.find('/').unwrap_or(0)], &upper[path.find('/').unwrap_or(0)..]);
                if !path.contains("check-out") {
                    let same = folded.canonical_path(&of_upper);
                    proptest::prop_assert_eq!(same, CanonicalPath::Folded(Cow::Borrowed(&*once)));
                }
            }
        }
    }
}
