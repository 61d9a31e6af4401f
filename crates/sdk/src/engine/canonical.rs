//! [`FoldedPaths`]: which parts of its paths an engine takes without regard to case, so that a host
//! judges policies on the form that the engine itself uses.

use std::borrow::Cow;

use crate::field::FieldSpec;

/// Which paths below the mount an engine folds to lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum FoldedPaths {
    /// The engine cannot say. A host then lets each rule of a policy that is as specific as the one for
    /// the path as it was sent restrict it, whatever the case in which the rule is written.
    #[default]
    Unknown,
    /// Patterns in which each segment `+`, and the rest that a `*` at the end stands for, is folded.
    /// All other paths are taken as they are; no patterns at all say that case always counts.
    Declared(Vec<String>),
}

/// The one form of a path, of all that an engine takes for the same one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CanonicalPath<'p> {
    /// The engine cannot say: paths that differ in case may be the same one to it.
    Unknown,
    /// Case counts everywhere in the path, and this is the path as it was given.
    CaseSensitive,
    /// Parts of the path are folded; this is the form that counts.
    Folded(Cow<'p, str>),
}

impl FoldedPaths {
    /// The canonical form of a path below the mount.
    pub fn canonical_path<'p>(&self, path: &'p str) -> CanonicalPath<'p> {
        let Self::Declared(patterns) = self else { return CanonicalPath::Unknown };
        let folded = patterns.iter().find_map(|pattern| fold_if_matching(pattern, path));
        folded.map_or(CanonicalPath::CaseSensitive, |folded| {
            CanonicalPath::Folded(if folded == path { path.into() } else { folded.into() })
        })
    }
}

/// The path with what the wildcards of the pattern stand for in lower case; none if it doesn't match.
/// A slash at the end of the path, as lists have it, doesn't count.
fn fold_if_matching(pattern: &str, path: &str) -> Option<String> {
    let (bare, slash) = path.strip_suffix('/').map_or((path, ""), |bare| (bare, "/"));
    let mut given = bare.split('/');
    let mut folded: Vec<Cow<'_, str>> = Vec::new();
    for wanted in pattern.split('/') {
        if wanted == "*" {
            let rest: Vec<&str> = given.by_ref().collect();
            if rest.is_empty() {
                return None;
            }
            folded.push(rest.join("/").to_lowercase().into());
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

/// How an engine reads the fields of requests to one path.
#[derive(Clone, Debug, Default)]
pub enum FieldKinds {
    /// The engine cannot say.
    #[default]
    Unknown,
    /// Fields of any name are taken as they are.
    Untyped,
    /// These fields are read, each by its kind. All others are ignored.
    Declared(Vec<FieldSpec>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_declared_segments_are_folded() {
        let folded = FoldedPaths::Declared(vec!["users/+".to_owned(), "tree/+/of/*".to_owned()]);
        let cases = [
            ("users/Bob", Some("users/bob")),
            ("users/Bob/", Some("users/bob/")),
            ("users/bob", Some("users/bob")),
            ("users/ÄB", Some("users/äb")),
            ("tree/A/of/B/C", Some("tree/a/of/b/c")),
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
}
